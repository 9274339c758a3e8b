package ratelimit

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxFieldBytes = 128

// A formField is a field of a form.
type formField struct {
	name  string
	steps []string // of the name as user[email] and user.email are taken apart, folded
	flat  string   // the name as PHP has it, folded
}

// parseField reads a field's name; reason is empty when it is good.
func parseField(name string) (f *formField, reason string) {
	if name == "" || len(name) > maxFieldBytes || !utf8.ValidString(name) {
		return nil, "must name a field of 1 to " + strconv.Itoa(maxFieldBytes) + " bytes, as in form:email"
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, "must be printable"
	}
	f = newField(name)
	if len(f.steps) == 0 {
		return nil, "must have a letter or a digit in it"
	}
	return f, ""
}

func newField(name string) *formField {
	folded := string(appendFolded(nil, name))
	return &formField{name: name, steps: fieldSteps(folded), flat: flatName(folded)}
}

// fieldSteps takes a folded name apart as Rack, PHP, Spring and others do.
func fieldSteps(folded string) []string {
	steps := strings.FieldsFunc(folded, func(r rune) bool { return r == '[' || r == ']' || r == '.' })
	for i, s := range steps {
		steps[i] = strings.TrimSpace(s)
	}
	return slices.DeleteFunc(steps, func(s string) bool { return s == "" })
}

// flatName is what PHP makes of a folded name that it does not take apart.
func flatName(folded string) string {
	return strings.NewReplacer(" ", "_", ".", "_", "[", "_", "]", "").Replace(strings.TrimSpace(folded))
}

// like reports whether a framework may take name for f, for a part of it or for
// what it is a part of: PHP lets FIELD[x] replace FIELD, Rack refuses the two.
func (f *formField) like(name []byte) bool {
	var room [maxFieldBytes]byte
	folded := appendFolded(room[:0], name)
	if !bytes.ContainsAny(folded, "[]. ") && bytes.IndexFunc(folded, unicode.IsSpace) < 0 {
		return string(folded) == f.steps[0] || string(folded) == f.flat
	}
	steps := fieldSteps(string(folded))
	n := min(len(steps), len(f.steps))
	return n > 0 && slices.Equal(steps[:n], f.steps[:n]) || flatName(string(folded)) == f.flat
}

// find returns the value of f in a form. It is not ok unless the field is there
// once, in the body and not in the query as well, which some frameworks read
// first.
func (f *formField) find(t bodyText, query string) (text []byte, ok bool) {
	s := formScan{field: f}
	if t.kind == partsBody {
		ok = s.parts(t)
	} else {
		ok = bytes.IndexByte(t.data, ';') < 0 && s.pairs(t.data)
	}
	if !ok || !s.found {
		return nil, false
	}
	if !f.absent(query) {
		return nil, false
	}
	return s.text, true
}

// absent reports whether a query has neither f nor what may be taken for it.
func (f *formField) absent(query string) bool {
	if query == "" {
		return true
	}
	s := formScan{field: f}
	return s.pairs([]byte(strings.ReplaceAll(query, ";", "&"))) && !s.seen
}

// A formScan reads a form once. Its methods report whether what they read can be
// read in one way only, as far as the field is concerned.
type formScan struct {
	field *formField
	text  []byte
	seen  bool // the field, or what may be taken for it
	found bool // the field, by its very name
}

// meets notes a field's name, and reports whether it is the one looked for.
// There may be one such, and none that says how the others are encoded.
func (s *formScan) meets(name []byte) (is, ok bool) {
	if !utf8.Valid(name) || bytes.IndexByte(name, 0) >= 0 || bytes.EqualFold(name, []byte("_charset_")) {
		return false, false
	}
	if !s.field.like(name) {
		return false, true
	}
	ok = !s.seen
	s.seen = true
	s.found = string(name) == s.field.name
	return s.found, ok
}

// pairs reads application/x-www-form-urlencoded.
func (s *formScan) pairs(form []byte) bool {
	for pair := range bytes.SplitSeq(form, []byte("&")) {
		if len(pair) == 0 {
			continue
		}
		rawName, rawValue, _ := bytes.Cut(pair, []byte("="))
		var room [maxFieldBytes]byte
		name, ok := appendUnescaped(room[:0], rawName)
		if !ok {
			return false
		}
		is, ok := s.meets(name)
		if !ok {
			return false
		}
		if is {
			if s.text, ok = appendUnescaped(make([]byte, 0, len(rawValue)), rawValue); !ok {
				return false
			}
		}
	}
	return true
}

// appendUnescaped decodes + and %xx. It is not ok when an escape is malformed.
func appendUnescaped(b, s []byte) (_ []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return b, false
			}
			var err error
			if b, err = hex.AppendDecode(b, s[i+1:i+3]); err != nil {
				return b, false
			}
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b, true
}
