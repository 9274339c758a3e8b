package webhook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A pointer is a parsed RFC 6901 JSON pointer: the names from the root on.
type pointer []string

// maxPointer is how many names a pointer may have.
const maxPointer = 16

// parsePointer reads a pointer such as "/data/object/id".
func parsePointer(s string) (pointer, bool) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok || rest == "" {
		return nil, false
	}
	names := strings.Split(rest, "/")
	if len(names) > maxPointer {
		return nil, false
	}
	for i, name := range names {
		for at := range len(name) {
			if name[at] == '~' && (at+1 == len(name) || name[at+1] != '0' && name[at+1] != '1') {
				return nil, false
			}
		}
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return names, true
}

// field returns the JSON value at p, as it is written, nil when there is none.
// In an object with several members of a name the last one counts, as it does
// for encoding/json, JavaScript and Python.
//
// The document is walked, not judged: what is found in one that is not JSON
// is some part of it. Its cost is bounded by its length times the length of p.
func field(doc []byte, p pointer) []byte {
	for _, name := range p {
		var found [1][]byte
		switch at := skipSpace(doc, 0); {
		case at == len(doc):
			return nil
		case doc[at] == '{':
			if !members(doc[at:], []string{name}, found[:]) {
				return nil
			}
		case doc[at] == '[':
			found[0] = element(doc[at:], name)
		}
		if doc = found[0]; doc == nil {
			return nil
		}
	}
	return doc
}

// members sets found[i] to the value of the last member called names[i], in
// one pass over an object. An empty name finds nothing. It reports whether the
// object came to its end.
func members(object []byte, names []string, found [][]byte) bool {
	at := skipSpace(object, 1)
	if at < len(object) && object[at] == '}' {
		return true
	}
	for {
		end := stringEnd(object, at)
		if end < 0 {
			return false
		}
		key := object[at+1 : end-1]
		at = skipSpace(object, end)
		if at == len(object) || object[at] != ':' {
			return false
		}
		at = skipSpace(object, at+1)
		end = valueEnd(object, at)
		if end < 0 {
			return false
		}
		for i, name := range names {
			if name != "" && isKey(key, name) {
				found[i] = object[at:end]
			}
		}
		at = skipSpace(object, end)
		switch {
		case at == len(object):
			return false
		case object[at] == '}':
			return true
		case object[at] != ',':
			return false
		}
		at = skipSpace(object, at+1)
	}
}

// element returns the element of an array at a decimal index.
func element(array []byte, index string) []byte {
	n, err := strconv.ParseUint(index, 10, 31)
	if err != nil || index != strconv.FormatUint(n, 10) {
		return nil
	}
	at := skipSpace(array, 1)
	for ; ; n-- {
		end := valueEnd(array, at)
		if end < 0 {
			return nil
		}
		if n == 0 {
			return array[at:end]
		}
		at = skipSpace(array, end)
		if at == len(array) || array[at] != ',' {
			return nil
		}
		at = skipSpace(array, at+1)
	}
}

// isKey reports whether a member's key, without its quotes, is name.
func isKey(key []byte, name string) bool {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key) == name
	}
	s, ok := unquote(key)
	return ok && string(s) == name
}

// text is the text of a string or a number, nil of anything else.
func text(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	switch c := value[0]; {
	case c == '"':
		s := value[1 : len(value)-1]
		if bytes.IndexByte(s, '\\') < 0 {
			return s
		}
		s, _ = unquote(s)
		return s
	case c == '-' || c >= '0' && c <= '9':
		return value
	}
	return nil
}

// unquote decodes a string that holds escapes.
func unquote(s []byte) ([]byte, bool) {
	quoted := make([]byte, 0, len(s)+2)
	quoted = append(append(append(quoted, '"'), s...), '"')
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return nil, false
	}
	return []byte(out), true
}

func skipSpace(doc []byte, at int) int {
	for at < len(doc) && (doc[at] == ' ' || doc[at] == '\n' || doc[at] == '\t' || doc[at] == '\r') {
		at++
	}
	return at
}

// stringEnd returns what comes after the string that begins at at, -1 when
// none begins there or it does not end.
func stringEnd(doc []byte, at int) int {
	if at >= len(doc) || doc[at] != '"' {
		return -1
	}
	for i := at + 1; ; {
		quote := bytes.IndexByte(doc[i:], '"')
		if quote < 0 {
			return -1
		}
		i += quote + 1
		escapes := 0
		for doc[i-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// valueEnd returns what comes after the value that begins at at, -1 when there
// is none or it does not end. Depth costs no stack.
func valueEnd(doc []byte, at int) int {
	if at >= len(doc) {
		return -1
	}
	switch doc[at] {
	case '"':
		return stringEnd(doc, at)
	case '{', '[':
		return containerEnd(doc, at)
	}
	end := at
	for end < len(doc) && !endsScalar(doc[end]) {
		end++
	}
	if end == at {
		return -1
	}
	return end
}

func containerEnd(doc []byte, at int) int {
	depth := 0
	for at < len(doc) {
		switch doc[at] {
		case '"':
			if at = stringEnd(doc, at); at < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return -1
}

func endsScalar(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\n', '\t', '\r', '"', ':', '{', '[':
		return true
	}
	return false
}
