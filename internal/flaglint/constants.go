package flaglint

import (
	"bytes"
	"strings"
)

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

// note remembers the string tokens[i] when a constant gets it: NAME = "k", in Go
// NAME Type = "k", and Name: "k" in an object that has a name, as Object.Name.
func (c constants) note(tokens []token, i int, in family) {
	if i < 2 || tokens[i-1].kind != punct || len(tokens[i].text) > maxKeyBytes {
		return
	}
	switch tokens[i-1].char {
	case '=':
		if name := declaredName(tokens[max(0, i-8):i-1], in); name != nil && constantName(name.text) {
			c.add(constant{in.main(), string(name.text)}, string(tokens[i].text))
		}
	case ':':
		member := &tokens[i-2]
		if in&javascript == 0 || member.kind != word || !constantName(member.text) {
			return
		}
		if object := objectName(tokens, i-2); object != "" {
			c.add(constant{in.main(), object + "." + string(member.text)}, string(tokens[i].text))
		}
	}
}

// declaredName is the name that what stands before "=" declares, nil for
// anything but a name with maybe a type.
func declaredName(before []token, in family) *token {
	n := len(before)
	if n == 0 || before[n-1].kind != word {
		return nil
	}
	switch {
	case n > 2 && before[n-2].char == ':' && before[n-3].kind == word: // NAME: Type
		return &before[n-3]
	case n > 1 && in == golang && before[n-2].kind == word && string(before[n-2].text) != "const" && string(before[n-2].text) != "var":
		return &before[n-2] // NAME Type
	}
	return &before[n-1]
}

// objectName is the name of the object of which tokens[i] is a member, as in
// const Name = {…} and Name = Object.freeze({…}); "" when it has none.
func objectName(tokens []token, i int) string {
	depth := 0
	for j := i - 1; j > 1 && j > i-maxCallTokens; j-- {
		if tokens[j].kind != punct {
			continue
		}
		switch tokens[j].char {
		case ')', ']', '}':
			depth++
		case '(', '[', '{':
			if depth--; depth >= 0 {
				continue
			}
			if tokens[j-1].char == '(' { // behind a function
				for j -= 2; j > 1 && (tokens[j].kind == word || tokens[j].char == '.'); {
					j--
				}
				j++
			}
			if tokens[j-1].char == '=' && tokens[j-2].kind == word {
				return string(tokens[j-2].text)
			}
			return ""
		}
	}
	return ""
}

// constantName reports whether a name is hardly that of a parameter or a
// variable: it begins with a capital, or speaks of flags.
func constantName(s []byte) bool {
	return 'A' <= s[0] && s[0] <= 'Z' || bytes.Contains(bytes.ToLower(s), []byte("flag")) && len(s) > len("flagkey")
}

// constantIn is the name that an argument consists of, by its last two parts at
// most, "" when it is anything else.
func constantIn(arg []token) string {
	for i := range arg {
		if t := &arg[i]; i%2 == 0 && t.kind != word || i%2 == 1 && t.char != '.' {
			return ""
		}
	}
	if len(arg)%2 == 0 || !constantName(arg[len(arg)-1].text) {
		return ""
	}
	name := string(arg[len(arg)-1].text)
	if len(arg) > 2 {
		name = string(arg[len(arg)-3].text) + "." + name
	}
	return name
}

// value is the string that a constant stands for, by its whole name or, as it
// may be that of a package or a class, by the last part.
func (c constants) value(in family, name string) (value string, ok bool) {
	for {
		if value = c[constant{in.main(), name}]; value != "" {
			return value, value != ambiguous
		}
		_, last, cut := strings.Cut(name, ".")
		if !cut {
			return "", false
		}
		name = last
	}
}
