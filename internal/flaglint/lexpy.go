package flaglint

import "bytes"

func readPython(l *lexer) { l.python(0) }

// python reads up to the closing brace of an f-string's part, or to the end.
func (l *lexer) python(closing byte) {
	if l.nesting++; l.nesting > maxNesting {
		l.pos = l.end
	}
	defer func() { l.nesting-- }()
	for depth := 0; l.space(); {
		switch c := l.src[l.pos]; {
		case c == '#':
			l.lineComment()
		case c == '"' || c == '\'':
			l.pythonString(l.pos, 0)
		case c == '}' && closing == '}' && depth == 0:
			return
		case l.prefixed():
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

// prefixed reads a string with a prefix such as rb or f, if one is there.
func (l *lexer) prefixed() bool {
	n := 0
	for n < 3 && bytes.IndexByte([]byte("rRbBuUfFtT"), l.peek(n)) >= 0 {
		n++
	}
	if q := l.peek(n); n == 0 || n > 2 || q != '"' && q != '\'' {
		return false
	}
	start := l.pos
	prefix := bytes.ToLower(l.src[start : start+n])
	l.pos += n
	var flags stringFlags
	if bytes.IndexByte(prefix, 'r') >= 0 {
		flags |= rawString
	}
	if bytes.ContainsAny(prefix, "ft") {
		flags |= formatString
	}
	l.pythonString(start, flags)
	return true
}

type stringFlags uint8

const (
	rawString stringFlags = 1 << iota
	formatString
)

// pythonString reads a string whose quote is at pos and whose prefix began at
// start.
func (l *lexer) pythonString(start int, flags stringFlags) {
	q := l.src[l.pos]
	closing := string([]byte{q, q, q})
	triple := l.at(closing)
	if !triple {
		closing = closing[:1]
	}
	switch {
	case flags&formatString != 0:
		at := len(l.tokens)
		l.tokens = append(l.tokens, token{kind: computed, start: start})
		l.pos += len(closing)
		l.interpolated(at, closing, "{", func() {
			if l.pos < l.end && l.src[l.pos] == '{' { // {{ is a brace
				l.pos++
				return
			}
			l.python('}')
			l.pos = min(l.pos+1, l.end)
		})
	case triple:
		l.until(closing, 3, true)
		l.tokens[len(l.tokens)-1].start = start
	case l.quoted(q, false):
		t := &l.tokens[len(l.tokens)-1]
		if flags&rawString != 0 {
			t.text = l.src[t.start+1 : t.end-1]
		}
		t.start = start
	}
}
