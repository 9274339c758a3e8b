package envcheck

import (
	"strings"
)

// maxNesting bounds brackets within brackets.
const maxNesting = 8

// decorator is one @name, @name=value or @name(arguments).
type decorator struct {
	name  string
	at    int
	call  bool       // @name(…)
	value *argument  // @name=…; nil for @name alone
	args  []argument // of a call
}

// argument is a value of a decorator or within brackets.
type argument struct {
	at   int
	key  string // of key=value
	kind argumentKind
	text string     // the text, or the name of a function
	args []argument // of a function, list or object
}

type argumentKind int

const (
	plainText argumentKind = iota
	quotedText
	function
	list
	object
)

// isText reports whether a is a text, quoted or not.
func (a argument) isText() bool { return a.kind == plainText || a.kind == quotedText }

// decoratorLine takes the decorators of a comment line; brackets may go on over
// further comment lines. After a mistake the rest of the line is skipped.
func (c *cursor) decoratorLine() []decorator {
	var out []decorator
	for {
		d, ok := c.decorator()
		if !ok {
			return out
		}
		out = append(out, d)
		start := c.pos
		c.blanks()
		switch {
		case c.peek() == '\n' || c.peek() == '#':
			return out
		case c.peek() != '@' || c.pos == start:
			c.failAt(c.pos, "unexpected text behind a decorator; a comment begins with #")
			return out
		}
	}
}

func (c *cursor) decorator() (decorator, bool) {
	d := decorator{at: c.pos}
	c.eat('@')
	d.name = c.while(wordByte)
	if d.name == "" || !letter(d.name[0]) {
		c.failAt(d.at, "expected the name of a decorator behind @")
		return d, false
	}
	switch c.peek() {
	case '(':
		var ok bool
		d.call = true
		d.args, ok = c.brackets(')', 0)
		return d, ok
	case '=':
		c.eat('=')
		value, ok := c.argument(" #\t", 0)
		d.value = &value
		return d, ok
	case ' ', '\t', '\n':
		return d, true
	}
	c.failAt(c.pos, "unexpected character in the name of a decorator")
	return d, false
}

// argument takes one value; unquoted text ends before the bytes of stop.
func (c *cursor) argument(stop string, depth int) (argument, bool) {
	a := argument{at: c.pos}
	if depth > maxNesting {
		c.failAt(c.pos, "brackets are nested too deeply")
		return a, false
	}
	var ok bool
	switch b := c.peek(); b {
	case '"', '\'', '`':
		a.kind = quotedText
		a.text, ok = c.quoted(string(b), true, false)
		a.text = strings.ReplaceAll(a.text, `\`+string(b), string(b))
		return a, ok
	case '[':
		a.kind = list
		a.args, ok = c.brackets(']', depth+1)
		return a, ok
	case '{':
		a.kind = object
		a.args, ok = c.brackets('}', depth+1)
		return a, ok
	}
	if word := c.while(wordByte); word != "" && letter(word[0]) && c.peek() == '(' {
		a.kind, a.text = function, word
		a.args, ok = c.brackets(')', depth+1)
		return a, ok
	}
	c.while(func(b byte) bool { return b != '\n' && strings.IndexByte(stop, b) < 0 })
	a.text = c.src[a.at:c.pos]
	if a.text == "" {
		c.failAt(c.pos, "expected a value")
		return a, false
	}
	return a, true
}

// brackets takes comma-separated values up to the closing bracket; a comma may
// precede it.
func (c *cursor) brackets(end byte, depth int) ([]argument, bool) {
	open := c.pos
	c.pos++
	out := []argument{}
	for {
		if !c.gap() {
			c.pos = open
			c.failAt(open, "this bracket is not closed; it may go on in further lines that begin with #")
			return nil, false
		}
		if c.eat(end) {
			return out, true
		}
		key := c.argumentKey()
		stop := ",) "
		if end != ')' {
			stop = ",)]} "
		}
		a, ok := c.argument(stop, depth)
		if !ok {
			return nil, false
		}
		a.key = key
		out = append(out, a)
		if c.gap() && c.eat(',') {
			continue
		}
		if c.peek() != end && c.peek() != '\n' {
			c.failAt(c.pos, "expected , or "+string(end))
			return nil, false
		}
	}
}

// argumentKey takes "key=" when that comes next.
func (c *cursor) argumentKey() string {
	start := c.pos
	key := c.while(wordByte)
	if key != "" && letter(key[0]) {
		c.blanks()
		if c.eat('=') {
			c.blanks()
			return key
		}
	}
	c.pos = start
	return ""
}

// gap skips blanks, comments (# and a space) and line ends that a # follows. It
// returns false at the end of the comment.
func (c *cursor) gap() bool {
	for {
		c.blanks()
		if c.peek() == '#' && (c.pos+1 >= len(c.src) || strings.IndexByte(" \t\n", c.src[c.pos+1]) >= 0) {
			c.pos = c.lineEnd()
		}
		if c.peek() != '\n' {
			return true
		}
		end := c.pos
		if c.done() {
			return false
		}
		c.pos++
		c.blanks()
		if !c.eat('#') {
			c.pos = end
			return false
		}
	}
}
