package flaglint

import "bytes"

// maxConstants bounds the names that are remembered of a code base.
const maxConstants = 200_000

// constants are names to which code gives a string once and for all, with that
// string. A name with two values has none: "", false.
type constants map[constant]string

// A constant is a name in a family of languages.
type constant struct {
	family family
	name   string
}

// ambiguous stands for the value of a name that has several. No key is like it.
const ambiguous = "\x00"

func (c constants) add(k constant, value string) {
	if old, ok := c[k]; ok && old != value {
		c[k] = ambiguous
	} else if len(c) < maxConstants {
		c[k] = value
	}
}

// note remembers the string tokens[i] when a constant gets it: NAME = "k" and
// NAME Type = "k" where NAME can be none of a variable, and Name: "k" in an
// object.
func (c constants) note(tokens []token, i int, in family) {
	if i < 2 || tokens[i-1].kind != punct || len(tokens[i].text) > maxKeyBytes {
		return
	}
	var name *token
	switch tokens[i-1].char {
	case '=':
		name = declaredName(tokens[max(0, i-8) : i-1])
	case ':':
		if in&javascript != 0 && tokens[i-2].kind == word {
			name = &tokens[i-2]
		}
	}
	if name != nil && constantName(name.text) {
		c.add(constant{in.main(), string(name.text)}, string(tokens[i].text))
	}
}

// declaredName is the name that what stands before "=" declares, nil for
// anything but a name with maybe a type.
func declaredName(before []token) *token {
	n := len(before)
	if n == 0 || before[n-1].kind != word {
		return nil
	}
	name := &before[n-1]
	switch {
	case n > 1 && before[n-2].char == ':' && n > 2 && before[n-3].kind == word: // NAME: Type
		return &before[n-3]
	case n > 1 && before[n-2].kind == word && !declares(before[n-2].text): // NAME Type
		return &before[n-2]
	}
	return name
}

func declares(s []byte) bool {
	switch string(s) {
	case "const", "var", "let", "readonly", "static", "final", "val", "export", "public", "private":
		return true
	}
	return false
}

// constantName reports whether a name is hardly that of a parameter or a
// variable: it begins with a capital, or speaks of flags.
func constantName(s []byte) bool {
	return 'A' <= s[0] && s[0] <= 'Z' || bytes.Contains(bytes.ToLower(s), []byte("flag")) && len(s) > len("flagkey")
}

// constantIn is the last part of the name that an argument consists of, "" when
// it is anything else.
func constantIn(arg []token) string {
	for i := range arg {
		if t := &arg[i]; i%2 == 0 && t.kind != word || i%2 == 1 && t.char != '.' {
			return ""
		}
	}
	if len(arg)%2 == 0 || !constantName(arg[len(arg)-1].text) {
		return ""
	}
	return string(arg[len(arg)-1].text)
}
