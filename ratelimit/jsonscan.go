package ratelimit

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxJSONDepth = 100 // as deep as the frameworks with the lowest bound go

// A jsonScan reads a document once, from left to right. Its methods report
// whether what they read is well-formed.
type jsonScan struct {
	pointer *jsonPointer
	doc     []byte
	at      int

	text    []byte // of the value
	found   bool
	unclear bool // which value is meant
}

// astray is the step of values that are not on the way.
const astray = -1

func (s *jsonScan) peek() byte {
	if s.at < len(s.doc) {
		return s.doc[s.at]
	}
	return 0 // no part of a document
}

func (s *jsonScan) blank() {
	for s.at < len(s.doc) && strings.IndexByte(" \t\r\n", s.doc[s.at]) >= 0 {
		s.at++
	}
}

// eat reads c, and the blanks around it.
func (s *jsonScan) eat(c byte) bool {
	s.blank()
	if s.peek() != c {
		return false
	}
	s.at++
	s.blank()
	return true
}

// value reads one. step is how many names of the pointer lead to it.
func (s *jsonScan) value(step, depth int) bool {
	if depth > maxJSONDepth {
		return false
	}
	start := s.at
	switch c := s.peek(); c {
	case '{':
		return s.object(step, depth)
	case '[':
		return s.array(step, depth)
	case '"':
		text, ok := s.str()
		s.offer(step, text)
		return ok
	case 't':
		return s.literal(step, "true")
	case 'f':
		return s.literal(step, "false")
	case 'n':
		return s.literal(astray, "null")
	}
	ok := s.number()
	s.offer(step, s.doc[start:s.at])
	return ok
}

// offer takes text as the value when it is the one that is pointed to.
func (s *jsonScan) offer(step int, text []byte) {
	if step == len(s.pointer.names) {
		s.text, s.found = text, true
	}
}

func (s *jsonScan) literal(step int, word string) bool {
	if !bytes.HasPrefix(s.doc[s.at:], []byte(word)) {
		return false
	}
	s.offer(step, s.doc[s.at:s.at+len(word)])
	s.at += len(word)
	return true
}

func (s *jsonScan) object(step, depth int) bool {
	s.eat('{')
	if s.eat('}') {
		return true
	}
	onWay := step >= 0 && step < len(s.pointer.names)
	seen := false
	for {
		if s.peek() != '"' {
			return false
		}
		name, ok := s.str()
		if !ok || !s.eat(':') {
			return false
		}
		next := astray
		if onWay && s.like(name, step) {
			s.unclear = s.unclear || seen
			seen = true
			if string(name) == s.pointer.names[step] {
				next = step + 1
			}
		}
		if !s.value(next, depth+1) {
			return false
		}
		if !s.eat(',') {
			return s.eat('}')
		}
	}
}

// like reports whether a member may be taken for the next one on the way. Some
// parsers end a name at NUL.
func (s *jsonScan) like(name []byte, step int) bool {
	s.unclear = s.unclear || bytes.IndexByte(name, 0) >= 0
	var room [64]byte
	return string(appendFolded(room[:0], name)) == s.pointer.folded[step]
}

func (s *jsonScan) array(step, depth int) bool {
	s.eat('[')
	if s.eat(']') {
		return true
	}
	wanted := -1
	if step >= 0 && step < len(s.pointer.names) {
		wanted = s.pointer.index[step]
	}
	for i := 0; ; i++ {
		next := astray
		if i == wanted {
			next = step + 1
		}
		if !s.value(next, depth+1) {
			return false
		}
		if !s.eat(',') {
			return s.eat(']')
		}
	}
}

func (s *jsonScan) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	first := s.peek()
	n := s.digits()
	if n == 0 || first == '0' && n > 1 {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if s.digits() == 0 {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits() > 0
	}
	return true
}

func (s *jsonScan) digits() int {
	n, _ := digits(s.doc[s.at:])
	s.at += n
	return n
}

// str reads a string and returns what it says. Without escapes that is a part of
// the document.
func (s *jsonScan) str() (text []byte, ok bool) {
	s.at++
	start := s.at
	for s.at < len(s.doc) {
		switch c := s.doc[s.at]; {
		case c == '"':
			s.at++
			return s.doc[start : s.at-1], true
		case c == '\\':
			return s.escaped(slices.Clone(s.doc[start:s.at]))
		case c < ' ':
			return nil, false
		}
		s.at++
	}
	return nil, false
}

// escaped reads the rest of a string from its first escape.
func (s *jsonScan) escaped(text []byte) ([]byte, bool) {
	for s.at < len(s.doc) {
		c := s.doc[s.at]
		s.at++
		switch {
		case c == '"':
			return text, true
		case c < ' ':
			return nil, false
		case c != '\\':
			text = append(text, c)
			continue
		}
		c = s.peek()
		s.at++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			text = append(text, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		r, ok := s.unicode(c)
		if !ok {
			return nil, false
		}
		text = utf8.AppendRune(text, r)
	}
	return nil, false
}

// unicode reads an escape \uXXXX behind its backslash and c, or two that make a
// pair. Half of a pair is no character.
func (s *jsonScan) unicode(c byte) (rune, bool) {
	r, ok := s.hex4()
	if c != 'u' || !ok {
		return 0, false
	}
	if !utf16.IsSurrogate(r) {
		return r, true
	}
	if !bytes.HasPrefix(s.doc[min(s.at, len(s.doc)):], []byte(`\u`)) {
		return 0, false
	}
	s.at += 2
	low, ok := s.hex4()
	r = utf16.DecodeRune(r, low)
	return r, ok && r != utf8.RuneError
}

func (s *jsonScan) hex4() (rune, bool) {
	if s.at+4 > len(s.doc) {
		return 0, false
	}
	var b [2]byte
	_, err := hex.Decode(b[:], s.doc[s.at:s.at+4])
	s.at += 4
	return rune(b[0])<<8 | rune(b[1]), err == nil
}
