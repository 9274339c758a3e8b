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

// parsePointer reads a pointer such as "/data/object/id". Its first name is not
// empty.
func parsePointer(s string) (pointer, bool) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok || rest == "" || rest[0] == '/' {
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
// In an object with several members of a name the first one counts.
//
// The document is walked as far as it is needed, not judged: what is found in
// one that is not JSON is some part of it. The cost is bounded by its length
// times the length of p.
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

// members sets found[i] to the value of the first member called names[i], in
// one pass over an object that ends when all are found. An empty name finds
// nothing. It reports false when the object breaks off before.
func members(object []byte, names []string, found [][]byte) bool {
	wanted := 0
	for _, name := range names {
		if name != "" {
			wanted++
		}
	}
	at := skipSpace(object, 1)
	if at < len(object) && object[at] == '}' {
		return true
	}
	for {
		end := stringEnd(object, at)
		if end < 0 {
			return false
		}
		key := plainKey(object[at+1 : end-1])
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
			if string(key) == name && found[i] == nil && name != "" {
				found[i] = object[at:end]
				wanted--
			}
		}
		if wanted == 0 {
			return true
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

// lastString is the value of the last member of the root, when that is called
// name and is a string without escapes: read from the end, where providers put
// the type after all else. In JSON nothing else ends so.
func lastString(doc []byte, name string) []byte {
	rest, ok := cutLast(doc, '}')
	if ok {
		rest, ok = cutLast(rest, '"')
	}
	open := bytes.LastIndexByte(rest, '"')
	if !ok || open < 0 {
		return nil
	}
	value := rest[open+1:]
	rest, ok = cutLast(rest[:open], ':')
	if ok {
		rest, ok = cutLast(rest, '"')
	}
	before := len(rest) - len(name)
	if !ok || before < 1 || string(rest[before:]) != name || rest[before-1] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil
	}
	// The quote before the name must open it, and not be an escaped one.
	rest = rest[:before-1]
	_, more := cutLast(rest, ',')
	_, first := cutLast(rest, '{')
	if !more && !first {
		return nil
	}
	return value
}

// cutLast removes the last byte, which must be c, and the space around it.
func cutLast(doc []byte, c byte) ([]byte, bool) {
	end := len(doc)
	for end > 0 && isSpace(doc[end-1]) {
		end--
	}
	if end == 0 || doc[end-1] != c {
		return nil, false
	}
	return doc[:end-1], true
}

// plainKey is a member's key without its escapes.
func plainKey(key []byte) []byte {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = unquote(key)
	}
	return key
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
		return unquote(s)
	case c == '-' || c >= '0' && c <= '9':
		return value
	}
	return nil
}

// unquote decodes a string that holds escapes, to nil when it is none.
func unquote(s []byte) []byte {
	quoted := make([]byte, 0, len(s)+2)
	quoted = append(append(append(quoted, '"'), s...), '"')
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return nil
	}
	return []byte(out)
}

func skipSpace(doc []byte, at int) int {
	for at < len(doc) && isSpace(doc[at]) {
		at++
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

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
