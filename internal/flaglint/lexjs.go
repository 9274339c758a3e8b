package flaglint

import "bytes"

// readJS reads JavaScript and TypeScript, readJSX the same with elements.
func readJS(l *lexer)  { l.jsx = false; l.js(0) }
func readJSX(l *lexer) { l.jsx = true; l.js(0) }

// js reads up to the brace that closes what is nested, or to the end.
func (l *lexer) js(closing byte) {
	if l.nesting++; l.nesting > maxNesting {
		l.pos = l.end
	}
	defer func() { l.nesting-- }()
	for depth := 0; l.space(); {
		switch c := l.src[l.pos]; {
		case l.at("//"):
			l.lineComment()
		case l.at("/*"):
			l.blockComment("*/")
		case c == '"' || c == '\'':
			l.quoted(c, false)
		case c == '`':
			l.template()
		case c == '/' && l.operandExpected():
			l.regexp()
		case c == '<' && l.jsx && l.operandExpected() && l.elementBegins():
			l.guessElement()
		case c == '}' && closing == '}' && depth == 0:
			return
		case !l.word():
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

// template reads a template literal, whose parts in ${} are code.
func (l *lexer) template() {
	at := len(l.tokens)
	l.tokens = append(l.tokens, token{kind: computed, start: l.pos})
	l.pos++
	l.interpolated(at, "`", "${", l.nested)
}

// nested reads an expression up to its closing brace, and passes over that.
func (l *lexer) nested() {
	l.js('}')
	l.pos = min(l.pos+1, l.end)
}

// interpolated reads the rest of the string whose token stands at l.tokens[at],
// up to closing. What stands behind opening is read by nested. The string is a
// literal when there was no such thing.
func (l *lexer) interpolated(at int, closing, opening string, nested func()) {
	from, to := l.pos, l.end
	for l.pos < l.end && to == l.end {
		switch c := l.src[l.pos]; {
		case c == closing[0] && l.at(closing):
			to = l.pos
			l.pos += len(closing)
		case c == '\\':
			l.pos = min(l.pos+2, l.end)
		case c == opening[0] && l.at(opening):
			l.pos += len(opening)
			l.mark('{')
			nested()
			l.mark('}')
		default:
			l.pos++
		}
	}
	t := &l.tokens[at]
	t.end = l.pos
	if len(l.tokens) == at+1 && to < l.end {
		t.kind, t.text = literal, unescape(l.src[from:to])
	}
}

// operandExpected reports whether a slash begins a regular expression here and
// not a division, by the token before.
func (l *lexer) operandExpected() bool {
	switch t := l.last(); t.kind {
	case literal, computed, other:
		return false
	case punct:
		return t.char != ')' && t.char != ']' && t.char != '}'
	case word:
		return operatorWord(t.text)
	}
	return true
}

// operatorWord reports whether a value follows the keyword s.
func operatorWord(s []byte) bool {
	switch string(s) {
	case "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "instanceof",
		"yield", "await", "default", "and", "or", "not", "if", "unless", "while", "until", "when", "then", "elsif":
		return true
	}
	return false
}

// regexp reads a regular expression, which ends in its line.
func (l *lexer) regexp() {
	start, i, class := l.pos, l.pos+1, false
	for ; i < l.end && start >= *l.openUntil('/'); i++ {
		switch c := l.src[i]; {
		case c == '/' && !class:
			for l.pos = i + 1; l.pos < l.end && wordByte(l.src[l.pos]); {
				l.pos++
			}
			l.add(other, start, l.pos)
			return
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '\\':
			i++
		}
		if i < l.end && l.src[i] == '\n' {
			break
		}
	}
	l.unclosed('/', i)
}

// elementBegins tells an element from the type parameters of an arrow function.
func (l *lexer) elementBegins() bool {
	c := l.peek(1)
	if c == '>' {
		return true
	}
	if !wordByte(c) || digit(c) {
		return false
	}
	i := 1
	for wordByte(l.peek(i)) {
		i++
	}
	rest := bytes.TrimLeft(l.src[min(l.pos+i, l.end):l.end], " \t\r\n")
	return !bytes.HasPrefix(rest, []byte(",")) && !bytes.HasPrefix(rest, []byte("extends "))
}

// guessElement reads an element. When it comes to no end it was none: what was
// read is forgotten and the sign passed over, a few times for each file.
func (l *lexer) guessElement() {
	start, tokens, marks := l.pos, len(l.tokens), len(l.marks)
	if l.element() {
		l.add(other, l.pos, l.pos) // an operand, to what follows
		return
	}
	l.pos, l.tokens, l.marks = start, l.tokens[:tokens], l.marks[:marks]
	if l.guesses++; l.guesses > maxGuesses {
		l.jsx = false
	}
	l.punct()
}

// element reads <tag …>…</tag> or <tag … />, and reports whether it ended.
func (l *lexer) element() bool {
	if l.nesting++; l.nesting > maxNesting {
		l.pos = l.end
	}
	defer func() { l.nesting-- }()
	l.pos++
	closed, ok := l.tag()
	if closed || !ok {
		return ok
	}
	for l.pos < l.end {
		switch {
		case l.at("</"):
			end := l.find(">", l.pos)
			l.pos = min(end+1, l.end)
			return end < l.end
		case l.src[l.pos] == '<':
			if !l.element() {
				return false
			}
		case l.src[l.pos] == '{':
			l.punct()
			l.nested()
			l.mark('}')
		default:
			l.pos++
		}
	}
	return false
}

// tag reads the name and the attributes of an element. It reports whether the
// element has no content, and whether the tag ended.
func (l *lexer) tag() (closed, ok bool) {
	for l.space() {
		switch c := l.src[l.pos]; {
		case l.at("/>"):
			l.pos += 2
			return true, true
		case c == '>':
			l.pos++
			return false, true
		case l.at("//"):
			l.lineComment()
		case l.at("/*"):
			l.blockComment("*/")
		case c == '{':
			l.punct()
			l.nested()
			l.mark('}')
		case c == '"' || c == '\'':
			l.until(string(c), 1, false)
		case l.word():
			l.tokens[len(l.tokens)-1].char = '<'
		default:
			l.punct()
		}
	}
	return false, false
}
