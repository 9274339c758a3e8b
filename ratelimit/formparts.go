package ratelimit

import (
	"bytes"
	"net/http"
	"strings"
	"unicode/utf8"
)

const maxPartHeader = 1 << 10

// parts reads multipart/form-data as clients write it. Whatever else a lenient
// parser would accept is not ok: another could see other parts in it. Some leave
// the quotes around a boundary, or end it within: then no other line is like one.
func (s *formScan) parts(t bodyText) bool {
	delimiter := []byte("--" + t.boundary)
	form, ok := bytes.CutPrefix(t.data, delimiter)
	for ok {
		if rest, last := bytes.CutPrefix(form, []byte("--")); last {
			return len(rest) == 0 || string(rest) == "\r\n"
		}
		if form, ok = bytes.CutPrefix(form, []byte("\r\n")); !ok {
			return false
		}
		part, rest, found := bytes.Cut(form, delimiter)
		if part, ok = bytes.CutSuffix(part, []byte("\r\n")); !ok || !found || !s.part(part) {
			return false
		}
		if t.quoted && (bytes.HasPrefix(part, []byte("--")) || bytes.Contains(part, []byte("\n--"))) {
			return false
		}
		form = rest
	}
	return false
}

func (s *formScan) part(part []byte) bool {
	head, content, ok := bytes.Cut(part, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	var h partHeader
	if len(head) > maxPartHeader || !h.parse(string(head)) {
		return false
	}
	name := []byte(h.name)
	if decoded, ok := appendUnescaped(nil, name); ok && !bytes.Equal(decoded, name) && s.field.like(decoded) {
		return false // some decode a name, others do not
	}
	is, ok := s.meets(name)
	if is {
		s.text = content
		ok = ok && h.plain(content)
	}
	return ok
}

// A partHeader is what the header of a part says.
type partHeader struct {
	name        string
	disposition bool // it is there
	file        bool
	typ         []string
	encoding    []string
}

// parse is not ok when parsers may differ on the header, whichever part it is
// of: on folded lines, escapes, repetitions, or parts within the part.
func (h *partHeader) parse(head string) bool {
	if !utf8.ValidString(head) || strings.ContainsRune(head, '\\') {
		return false
	}
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
		value = strings.Trim(value, " ")
		switch http.CanonicalHeaderKey(name) {
		case "Content-Disposition":
			if h.disposition || !h.parseDisposition(value) {
				return false
			}
			h.disposition = true
		case "Content-Type":
			h.typ = append(h.typ, value)
		case "Content-Transfer-Encoding":
			h.encoding = append(h.encoding, value)
		}
	}
	typ := strings.ToLower(strings.Join(h.typ, ""))
	return h.disposition && len(h.typ) <= 1 && len(h.encoding) <= 1 &&
		!strings.HasPrefix(typ, "multipart/") && !strings.HasPrefix(typ, "message/")
}

// parseDisposition reads form-data; name="x"; filename="y". There is no other
// name= that a parser could find by searching.
func (h *partHeader) parseDisposition(text string) bool {
	kind, rest, _ := strings.Cut(text, ";")
	if !strings.EqualFold(strings.TrimRight(kind, " "), "form-data") {
		return false
	}
	named, names := false, 0
	for rest != "" {
		key, after, ok := strings.Cut(strings.TrimLeft(rest, " "), "=")
		if !ok {
			return false
		}
		value, after, ok := parameter(after)
		if !ok {
			return false
		}
		rest = after
		switch strings.ToLower(key) {
		case "name":
			if named || h.file {
				return false
			}
			named, h.name = true, value
			names++
		case "filename":
			h.file = true
			names++
		case "filename*":
			h.file = true
		default:
			return false
		}
	}
	return named && strings.Count(strings.ToLower(text), "name=") == names
}

// parameter reads a parameter's value, up to the next semicolon or the end.
func parameter(s string) (value, rest string, ok bool) {
	if quoted, is := strings.CutPrefix(s, `"`); is {
		value, rest, ok = strings.Cut(quoted, `"`)
		rest = strings.TrimLeft(rest, " ")
		if !ok || rest == "" {
			return value, rest, ok
		}
		rest, ok = strings.CutPrefix(rest, ";")
		return value, rest, ok
	}
	value, rest, _ = strings.Cut(s, ";")
	value = strings.TrimRight(value, " ")
	return value, rest, value != "" && !strings.ContainsAny(value, `"' `)
}

// plain reports whether the part is content as it stands: not a file, not encoded.
func (h *partHeader) plain(content []byte) bool {
	for _, encoding := range h.encoding {
		switch strings.ToLower(encoding) {
		case "7bit", "8bit", "binary":
		default:
			return false
		}
	}
	for _, typ := range h.typ {
		if m, ok := parseMediaType(typ); !ok || m.name != "text/plain" || m.ascii && !isASCII(content) {
			return false
		}
	}
	return !h.file
}
