package flaglint

import "bytes"

// markup is a language of pages with code in delimiters. What stands outside of
// them is text, but for scripts and for attributes that hold code.
type markup struct {
	angle   grammar // of <% %>; nil: these are no delimiters
	php     bool    // <?php ?> are
	curly   bool    // {{ }}, {% %} and {# #} are delimiters
	braces  bool    // { } are delimiters, as in Svelte
	plain   bool    // scripts hold no delimiters
	outside grammar // of what stands outside; nil: a page
}

// A region is what stands between delimiters, src[from:to]. Without a grammar
// it is a comment.
type region struct {
	from, to, end int
	read          grammar
}

func (m markup) read(l *lexer) {
	from := l.pos
	for at := l.pos; at < l.end; {
		step := bytes.IndexAny(l.src[at:l.end], "<{=")
		if step < 0 {
			break
		}
		at += step
		r, ok := m.region(l, at)
		switch {
		case !ok:
			at++
			continue
		case m.outside != nil:
			l.within(m.outside, from, at)
		}
		l.pos = at
		if r.read == nil {
			l.comment(r.end)
		} else {
			if l.within(r.read, r.from, r.to); r.end == 0 { // the reader found it
				r.end = l.pos
			}
			l.mark(';') // no call goes on behind
		}
		from, at = r.end, r.end
		l.pos = at
	}
	if m.outside != nil {
		l.within(m.outside, from, l.end)
	}
	l.pos = l.end
}

// region is what begins at the offset, if anything does.
func (m markup) region(l *lexer, at int) (region, bool) {
	l.pos = at
	switch l.src[at] {
	case '<':
		return m.angled(l)
	case '=':
		if m.outside == nil {
			return attribute(l)
		}
	case '{':
		if m.curly {
			return curled(l)
		}
		if m.braces {
			return braced(l)
		}
	}
	return region{}, false
}

// angled is <% %>, a comment of HTML, or a script.
func (m markup) angled(l *lexer) (region, bool) {
	switch {
	case m.angle != nil && l.at("<%%"):
	case m.angle != nil && l.at("<%#"):
		return l.region(nil, 3, "%>"), true
	case m.angle != nil && l.at("<%"):
		n := 2
		for c := l.peek(n); c == '=' || c == '-' || c == '~' || c == '_'; c = l.peek(n) {
			n++
		}
		return l.region(m.angle, n, "%>"), true
	case m.php && l.at("<?"):
		return l.region(phpStyle.read, 2, "?>"), true
	case m.outside != nil:
	case l.at("<!--"):
		return l.region(nil, 4, "-->"), true
	case l.at("<script"):
		return m.script(l), true
	case l.at("<style"):
		return l.region(func(*lexer) {}, 6, "</style"), true
	}
	return region{}, false
}

func (m markup) script(l *lexer) region {
	open := l.find(">", l.pos)
	code := grammar(readJS)
	if tag := l.src[l.pos:open]; bytes.Contains(tag, []byte(`sx"`)) || bytes.Contains(tag, []byte(`sx'`)) {
		code = readJSX
	}
	if !m.plain {
		code = markup{angle: m.angle, curly: m.curly, outside: code}.read
	}
	return l.region(code, open+1-l.pos, "</script")
}

// region is what stands between the delimiter of open bytes at pos and closing.
func (l *lexer) region(read grammar, open int, closing string) region {
	from := min(l.pos+open, l.end)
	to := l.find(closing, from)
	return region{from: from, to: to, end: min(to+len(closing), l.end), read: read}
}

// curled is {{ }}, {% %}, or a comment of one of the languages that have these.
func curled(l *lexer) (region, bool) {
	switch {
	case l.at("{#"):
		return l.region(nil, 2, "#}"), true
	case l.at("{{!--"):
		return l.region(nil, 5, "--}}"), true
	case l.at("{{! "):
		return l.region(nil, 4, "}}"), true
	case l.at("{{/*"), l.at("{{- /*"):
		return l.region(nil, 4, "*/"), true
	case l.at("{{"):
		return l.expression("}}"), true
	case l.at("{%"):
		if r := l.expression("%}"); string(bytes.Trim(l.src[r.from:r.to], " -")) != "comment" {
			return r, true
		}
		return l.region(nil, 2, "endcomment"), true
	}
	return region{}, false
}

// expression is what stands up to closing, which strings may hold as well.
func (l *lexer) expression(closing string) region {
	from := l.pos + 2
	for i := from; i < l.end; i++ {
		switch c := l.src[i]; c {
		case closing[0]:
			if i+1 < l.end && l.src[i+1] == closing[1] {
				return region{from: from, to: i, end: i + 2, read: readExpression}
			}
		case '"', '\'', '`':
			rest := l.src[i+1 : l.end]
			if end := bytes.IndexByte(rest, c); end >= 0 && bytes.IndexByte(rest[:end], '\n') < 0 {
				i += 1 + end
			}
		case '{':
			if i+1 < l.end && (l.src[i+1] == '{' || l.src[i+1] == '%') && i > from { // it was none
				return region{from: from, to: i, end: i, read: readExpression}
			}
		}
	}
	return region{from: from, to: l.end, end: l.end, read: readExpression}
}

// braced is { } in Svelte, with a sign before a block. Its reader finds its end.
func braced(l *lexer) (region, bool) {
	from := l.pos + 1
	if c := l.peek(1); c == '#' || c == '@' || c == ':' || c == '/' {
		from++
	}
	return region{from: min(from, l.end), to: l.end, read: (*lexer).nested}, true
}

// attribute is the value of an attribute that is code: bound by Vue, Angular or
// Alpine, by the sign before its name or by a prefix.
func attribute(l *lexer) (region, bool) {
	quote := l.peek(1)
	if quote != '"' && quote != '\'' {
		return region{}, false
	}
	begin := l.pos
	for begin > 0 && l.pos-begin < 64 && (wordByte(l.src[begin-1]) || bytes.IndexByte([]byte(":@#*[]().-"), l.src[begin-1]) >= 0) {
		begin--
	}
	name := l.src[begin:l.pos]
	r := l.region(readJS, 2, string(quote))
	if key := string(name); key == "flagKey" || key == "flag-key" {
		equals := l.pos
		r.read = func(l *lexer) {
			l.tokens = append(l.tokens,
				token{kind: word, char: '<', start: begin, end: equals, text: []byte("flagKey")},
				token{kind: punct, char: '=', start: equals, end: equals + 1},
				token{kind: literal, start: r.from, end: r.to, text: l.src[r.from:r.to]})
		}
		return r, true
	}
	bound := len(name) > 0 && bytes.IndexByte([]byte(":@#*[("), name[0]) >= 0
	for _, prefix := range []string{"v-", "x-", "ng-"} {
		bound = bound || bytes.HasPrefix(name, []byte(prefix))
	}
	return r, bound
}
