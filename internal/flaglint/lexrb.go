package flaglint

import "bytes"

func readRuby(l *lexer) { l.ruby(0, new([]heredoc)) }

// heredoc is a text that begins in the next line.
type heredoc struct {
	id  string
	raw bool
}

// ruby reads up to the closing brace of an interpolation, or to the end.
func (l *lexer) ruby(closing byte, docs *[]heredoc) {
	if l.nesting++; l.nesting > maxNesting {
		l.pos = l.end
	}
	defer func() { l.nesting-- }()
	for depth := 0; l.pos < l.end; {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.pos++
			l.newLine(docs)
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case c == '#':
			l.lineComment()
		case c == '}' && closing == '}' && depth == 0:
			return
		case l.rubyString(c, docs):
		case !l.rubyWord():
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			l.punct()
		}
	}
}

// newLine reads the heredocs that the line before announced, and a comment from
// =begin to =end.
func (l *lexer) newLine(docs *[]heredoc) {
	pending := *docs
	*docs = nil
	for _, d := range pending {
		l.heredoc(d)
	}
	if l.at("=begin") {
		l.comment(l.lineEnd(l.find("\n=end", l.pos) + 1))
	}
	if l.at("__END__\n") {
		l.pos = l.end
	}
}

// rubyString reads what begins with c when that is a string, a symbol, a list of
// words, or a regular expression.
func (l *lexer) rubyString(c byte, docs *[]heredoc) bool {
	switch {
	case c == '"' || c == '`':
		l.rubyTemplate(l.pos, 1, string(c))
	case c == '\'':
		l.quoted(c, true)
	case c == '/' && l.rubyOperandExpected():
		l.regexp()
	case c == ':' && l.peek(1) == '"' && l.last().end != l.pos:
		l.rubyTemplate(l.pos, 2, `"`)
	case c == ':' && wordByte(l.peek(1)) && !digit(l.peek(1)) && l.last().char != ':':
		l.symbol()
	case c == '%' && l.rubyOperandExpected():
		return l.percent()
	case c == '<' && l.at("<<"):
		return l.announce(docs)
	default:
		return false
	}
	return true
}

// rubyOperandExpected is operandExpected where calls have no parentheses: behind
// a word and a space, a slash that no space follows begins a regular expression.
func (l *lexer) rubyOperandExpected() bool {
	next := l.peek(1)
	if t := l.last(); t.kind == word && !operatorWord(t.text) {
		return t.end < l.pos && next != ' ' && next != '='
	}
	return l.operandExpected()
}

// rubyWord is word with the ? or ! that may end a method's name.
func (l *lexer) rubyWord() bool {
	if !l.word() {
		return false
	}
	c := l.peek(0)
	if t := &l.tokens[len(l.tokens)-1]; t.kind == word && (c == '?' || c == '!') && l.peek(1) != '=' {
		l.pos++
		t.end, t.text = l.pos, l.src[t.start:l.pos]
	}
	return true
}

// symbol reads :name, which is a literal.
func (l *lexer) symbol() {
	start := l.pos
	l.pos++
	for l.pos < l.end && (wordByte(l.src[l.pos]) || l.src[l.pos] == '?' || l.src[l.pos] == '!') {
		l.pos++
	}
	l.literal(start, start+1, l.pos, false)
}

// rubyTemplate reads a string with #{} in it, from width bytes behind start on.
func (l *lexer) rubyTemplate(start, width int, closing string) {
	at := len(l.tokens)
	l.tokens = append(l.tokens, token{kind: computed, start: start})
	l.pos += width
	l.interpolated(at, closing, "#{", l.rubyNested)
}

func (l *lexer) rubyNested() {
	l.ruby('}', new([]heredoc))
	l.pos = min(l.pos+1, l.end)
}

// percent reads %q(…), %Q(…), %(…), %r{…}, and the lists %w[…] and %i[…].
func (l *lexer) percent() bool {
	start, form, n := l.pos, byte('Q'), 1
	if c := l.peek(1); 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
		form, n = c, 2
	}
	open := l.peek(n)
	if open == 0 || wordByte(open) || open == ' ' || open == '\n' || open == '=' || bytes.IndexByte([]byte("qQwWiIrxs"), form) < 0 {
		return false
	}
	closing := open
	if i := bytes.IndexByte([]byte("([{<"), open); i >= 0 {
		closing = ")]}>"[i]
	}
	switch form {
	case 'Q':
		l.rubyTemplate(start, n+1, string(closing))
	case 'w', 'W', 'i', 'I':
		l.wordList(n+1, closing)
	case 'q', 's':
		l.until(string(closing), n+1, true)
	default:
		l.until(string(closing), n+1, true)
		l.tokens[len(l.tokens)-1].kind = other
	}
	return true
}

func (l *lexer) wordList(width int, closing byte) {
	end := l.find(string(closing), min(l.pos+width, l.end))
	l.mark('[')
	for l.pos += width; l.pos < end && l.space(); {
		from := l.pos
		for l.pos < end && l.src[l.pos] > ' ' {
			l.pos++
		}
		if l.pos == from {
			l.pos++ // a control character
			continue
		}
		l.literal(from, from, l.pos, false)
		l.mark(',')
	}
	l.pos = min(end+1, l.end)
	l.mark(']')
}

// announce reads <<~ID, <<-ID, <<ID and their quoted forms, whose text follows in
// the next line. It reports whether one was there.
func (l *lexer) announce(docs *[]heredoc) bool {
	i := 2
	if c := l.peek(i); c == '~' || c == '-' {
		i++
	}
	quote := l.peek(i)
	if quote == '"' || quote == '\'' {
		i++
	} else {
		quote = 0
	}
	from := l.pos + i
	for wordByte(l.peek(i)) {
		i++
	}
	id := string(l.src[from:min(l.pos+i, l.end)])
	if id == "" || len(id) > 64 || id[0] < 'A' || id[0] > 'Z' || quote != 0 && l.peek(i) != quote {
		return false
	}
	if quote != 0 {
		i++
	}
	start := l.pos
	l.pos += i
	*docs = append(*docs, heredoc{id: id, raw: quote == '\''})
	l.add(computed, start, l.pos)
	return true
}

// heredoc reads the text up to the line that holds nothing but its name. It is
// never a key, but may hold code in #{}.
func (l *lexer) heredoc(d heredoc) {
	end := l.pos
	for end < l.end {
		next := l.lineEnd(end)
		if string(bytes.TrimSpace(l.src[end:next])) == d.id {
			break
		}
		end = min(next+1, l.end)
	}
	if !d.raw {
		l.within(readHeredoc, l.pos, end)
	}
	l.pos = min(l.lineEnd(end)+1, l.end)
}

func readHeredoc(l *lexer) {
	for l.pos = l.find("#{", l.pos); l.pos < l.end; l.pos = l.find("#{", l.pos) {
		l.pos += 2
		l.rubyNested()
	}
}
