package envcheck

import (
	"errors"
	"strings"
)

// refMark stands for a $ that may begin a reference, as opposed to one that was
// quoted or escaped. It cannot occur in a file, see readBounded.
const refMark = "\x00"

// maxValueBytes bounds a value after expansion: what Linux takes for one
// variable.
const maxValueBytes = 128 << 10

// Mistakes in references. None names the reference: in "pa$word" it is a piece
// of a password.
var (
	errCommand   = errors.New("command substitution is refused, nothing is ever executed here; single quotes keep $( as it is")
	errReference = errors.New("malformed reference; there are $NAME, ${NAME}, ${NAME:-default} and ${NAME-default}; single quotes keep $ as it is")
	errUndefined = errors.New("refers to a variable that is not defined here; single quotes keep $ as it is")
	errTooLong   = errors.New("grows beyond 128 KiB when its references are expanded")
)

// expand replaces the marked references: $NAME, ${NAME}, ${NAME:-default} (when
// undefined or empty), ${NAME-default} (when undefined). A mark before anything
// else is a plain $. An undefined name without a default is errUndefined, never
// silently nothing.
func expand(marked string, lookup func(name string) (value string, defined bool)) (string, error) {
	return expandNested(marked, lookup, 0)
}

func expandNested(marked string, lookup func(string) (string, bool), depth int) (string, error) {
	if depth > 16 {
		return "", errReference
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(marked, refMark)
		b.WriteString(before)
		if b.Len() > maxValueBytes {
			return "", errTooLong
		}
		if !found {
			return b.String(), nil
		}
		ref, rest, err := cutReference(rest)
		if err != nil {
			return "", err
		}
		marked = rest
		if ref.name == "" {
			b.WriteByte('$')
			continue
		}
		value, defined := lookup(ref.name)
		switch {
		case defined && (value != "" || ref.operator != ":-"):
		case ref.operator != "":
			if value, err = expandNested(ref.otherwise, lookup, depth+1); err != nil {
				return "", err
			}
		default:
			return "", errUndefined
		}
		b.WriteString(value)
	}
}

// reference is one $NAME, ${NAME:-otherwise} or ${NAME-otherwise}; with an empty
// name it is a plain $.
type reference struct {
	name, operator, otherwise string
}

// cutReference reads what follows a mark.
func cutReference(s string) (ref reference, rest string, err error) {
	if strings.HasPrefix(s, "(") {
		return reference{}, "", errCommand
	}
	inner, braced := strings.CutPrefix(s, "{")
	end := 0
	for end < len(inner) && wordByte(inner[end]) && (end > 0 || !('0' <= inner[0] && inner[0] <= '9')) {
		end++
	}
	if !braced {
		return reference{name: s[:end]}, s[end:], nil
	}
	if end == 0 {
		return reference{}, "", errReference
	}
	ref.name, inner = inner[:end], inner[end:]
	for _, op := range []string{"}", ":-", "-"} {
		if after, ok := strings.CutPrefix(inner, op); ok {
			if op == "}" {
				return ref, after, nil
			}
			ref.operator = op
			ref.otherwise, rest, ok = cutBrace(after)
			if !ok {
				break
			}
			return ref, rest, nil
		}
	}
	return reference{}, "", errReference
}

// cutBrace cuts s at the } that closes a reference, across nested references.
func cutBrace(s string) (before, after string, ok bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], refMark+"{"):
			depth++
			i++
		case s[i] == '}' && depth == 0:
			return s[:i], s[i+1:], true
		case s[i] == '}':
			depth--
		}
	}
	return "", "", false
}

// references lists the names that a marked text refers to.
func references(marked string) []string {
	var names []string
	for {
		_, rest, found := strings.Cut(marked, refMark)
		if !found {
			return names
		}
		ref, rest, err := cutReference(rest)
		if err != nil {
			return names // reported by expand
		}
		marked = rest
		if ref.name != "" {
			names = append(names, ref.name)
			names = append(names, references(ref.otherwise)...)
		}
	}
}
