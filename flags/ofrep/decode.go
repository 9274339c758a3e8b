package ofrep

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
)

// complaint is why a request cannot be read. It holds nothing of the request.
type complaint string

func (c complaint) Error() string { return string(c) }

const (
	errSyntax    complaint = "the request is not valid JSON"
	errTrailing  complaint = "there is something behind the request"
	errUTF8      complaint = "the request is not valid UTF-8"
	errShape     complaint = "the request must be an object, and its context too"
	errTwice     complaint = "a name is there twice in an object"
	errDeep      complaint = "the context is nested too deep"
	errMany      complaint = "the context has too many attributes"
	errNumber    complaint = "a number is out of range"
	errKeyType   complaint = "the targetingKey must be a string"
	errKeyLength complaint = "the targetingKey is too long"
)

// decoder reads a request, RFC 8259 with nothing left to the reader's taste.
// Strings without escapes share the memory of text.
type decoder struct {
	text   string
	at     int
	count  int // members and elements so far
	bounds bounds
}

// request reads {"context":{…}}. Other members are for later versions of the
// protocol, and looked at no further.
func (d *decoder) request() (ec flags.EvaluationContext, err error) {
	if !utf8.ValidString(d.text) {
		return ec, errUTF8
	}
	if d.space() != '{' {
		return ec, errShape
	}
	var seen map[string]bool
	known := false
	err = d.members(0, func(name string) error {
		if name == "context" {
			if known {
				return errTwice
			}
			known = true
			return d.context(&ec)
		}
		if seen[name] {
			return errTwice
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[name] = true
		_, err := d.value(1)
		return err
	})
	if err == nil && d.space() != 0 {
		err = errTrailing
	}
	if err != nil {
		return flags.EvaluationContext{}, err
	}
	return ec, nil
}

// context reads the evaluation context; null is none.
func (d *decoder) context(ec *flags.EvaluationContext) error {
	if d.space() != '{' {
		if value, err := d.value(1); err != nil || value != nil {
			return firstOf(err, errShape)
		}
		return nil
	}
	known := false
	return d.members(1, func(name string) error {
		if name == "targetingKey" {
			if known {
				return errTwice
			}
			known = true
			return d.targetingKey(ec)
		}
		return d.member(&ec.Attributes, name, 1)
	})
}

func (d *decoder) targetingKey(ec *flags.EvaluationContext) error {
	if d.space() != '"' {
		_, err := d.value(1)
		return firstOf(err, errKeyType)
	}
	key, err := d.string()
	if err == nil && len(key) > flags.MaxTargetingKeyBytes {
		err = errKeyLength
	}
	ec.TargetingKey = key
	return err
}

func firstOf(err error, otherwise complaint) error {
	if err != nil {
		return err
	}
	return otherwise
}

// space skips white space and returns the byte behind, 0 at the end. A byte 0
// itself is no JSON wherever space is asked.
func (d *decoder) space() byte {
	for d.at < len(d.text) {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n':
			d.at++
		case 0:
			return ' ' // which nothing takes for the end
		default:
			return c
		}
	}
	return 0
}

// members reads an object, at whose brace d stands, and calls each at the value
// of each member.
func (d *decoder) members(depth int, each func(name string) error) error {
	if depth > d.bounds.depth {
		return errDeep
	}
	d.at++
	if d.space() == '}' {
		d.at++
		return nil
	}
	for {
		if d.space() != '"' {
			return errSyntax
		}
		name, err := d.string()
		if err != nil {
			return err
		}
		if d.space() != ':' {
			return errSyntax
		}
		d.at++
		if err := d.another(); err != nil {
			return err
		}
		if err := each(name); err != nil {
			return err
		}
		if more, err := d.comma('}'); !more {
			return err
		}
	}
}

// another counts a member or an element.
func (d *decoder) another() error {
	if d.count++; d.count > d.bounds.attributes {
		return errMany
	}
	return nil
}

// comma reads what stands behind a member or an element: a comma, or the end.
func (d *decoder) comma(end byte) (more bool, err error) {
	switch d.space() {
	case ',':
		d.at++
		return true, nil
	case end:
		d.at++
		return false, nil
	}
	return false, errSyntax
}

// member reads a value into object, which it makes when there is none.
func (d *decoder) member(object *map[string]any, name string, depth int) error {
	if _, known := (*object)[name]; known {
		return errTwice
	}
	value, err := d.value(depth + 1)
	if err != nil {
		return err
	}
	if *object == nil {
		*object = map[string]any{}
	}
	(*object)[name] = value
	return nil
}

// value reads any value. Depth is that of an object or list that begins here.
func (d *decoder) value(depth int) (any, error) {
	switch c := d.space(); {
	case c == '"':
		return d.string()
	case c == '{':
		object := map[string]any{}
		err := d.members(depth, func(name string) error { return d.member(&object, name, depth) })
		return object, err
	case c == '[':
		return d.list(depth)
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case d.literal("true"):
		return true, nil
	case d.literal("false"):
		return false, nil
	case d.literal("null"):
		return nil, nil
	}
	return nil, errSyntax
}

func (d *decoder) literal(word string) bool {
	if !strings.HasPrefix(d.text[d.at:], word) {
		return false
	}
	d.at += len(word)
	return true
}

func (d *decoder) list(depth int) (any, error) {
	if depth > d.bounds.depth {
		return nil, errDeep
	}
	list := []any{}
	d.at++
	if d.space() == ']' {
		d.at++
		return list, nil
	}
	for {
		if err := d.another(); err != nil {
			return nil, err
		}
		element, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, element)
		if more, err := d.comma(']'); !more {
			return list, err
		}
	}
}

// number reads an int64 where the number is written as an integer that one can
// hold, and a float64 otherwise.
func (d *decoder) number() (any, error) {
	start, integer := d.at, true
	if d.peek() == '-' {
		d.at++
	}
	if d.peek() == '0' {
		d.at++
	} else if !d.digits() {
		return nil, errSyntax
	}
	if d.peek() == '.' {
		d.at++
		if integer = false; !d.digits() {
			return nil, errSyntax
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.at++
		if c := d.peek(); c == '+' || c == '-' {
			d.at++
		}
		if integer = false; !d.digits() {
			return nil, errSyntax
		}
	}
	text := d.text[start:d.at]
	if integer {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errNumber
	}
	return f, nil
}

func (d *decoder) peek() byte {
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

func (d *decoder) digits() bool {
	start := d.at
	for c := d.peek(); '0' <= c && c <= '9'; c = d.peek() {
		d.at++
	}
	return d.at > start
}

// string reads a string, at whose quote d stands.
func (d *decoder) string() (string, error) {
	d.at++
	start := d.at
	for d.at < len(d.text) {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			return d.text[start : d.at-1], nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return "", errSyntax
		}
		d.at++
	}
	return "", errSyntax
}

// escaped goes on with a string that began at start, from its first escape.
func (d *decoder) escaped(start int) (string, error) {
	out := append(make([]byte, 0, 2*(d.at-start)+16), d.text[start:d.at]...)
	for d.at < len(d.text) {
		c := d.text[d.at]
		d.at++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", errSyntax
		case c != '\\':
			out = append(out, c)
			continue
		}
		r, err := d.escape()
		if err != nil {
			return "", err
		}
		out = utf8.AppendRune(out, r)
	}
	return "", errSyntax
}

// escape reads what stands behind a backslash. Half of a surrogate pair is no
// character, and so no text.
func (d *decoder) escape() (rune, error) {
	c := d.peek()
	d.at++
	if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
		return rune("\"\\/\b\f\n\r\t"[at]), nil
	}
	if c != 'u' {
		return 0, errSyntax
	}
	r, ok := d.hex()
	if !ok {
		return 0, errSyntax
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if !d.literal(`\u`) {
		return 0, errUTF8
	}
	low, ok := d.hex()
	if !ok {
		return 0, errSyntax
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errUTF8
	}
	return r, nil
}

func (d *decoder) hex() (rune, bool) {
	if d.at+4 > len(d.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(d.text[d.at:d.at+4], 16, 16)
	d.at += 4
	return rune(n), err == nil
}
