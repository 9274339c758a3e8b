package ratelimit

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// How a body is read.
const (
	unreadable = iota // in a way that frameworks differ on, or that is not known here
	otherBody         // as JSON, whatever it is called
	formBody          // application/x-www-form-urlencoded
	partsBody         // multipart/form-data
)

type bodyType struct {
	kind     byte
	ascii    bool   // what is not ASCII is not UTF-8
	boundary string // of partsBody
	quoted   bool   // the boundary stands in quotes
}

// fits reports whether p can be in a body of this type.
func (t bodyType) fits(p part) bool {
	return p.alt != nil && t.fits(*p.alt) || p.kind == 'j' && t.kind == otherBody || p.kind == 'f' && (t.kind == formBody || t.kind == partsBody)
}

// typeOf is the type that every framework takes from h. Several types, an
// encoding, a charset that is not known, and what only some parsers see a charset
// in, make a body unreadable.
func typeOf(h http.Header) bodyType {
	for _, encoding := range h["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return bodyType{kind: unreadable}
		}
	}
	values := h["Content-Type"]
	switch {
	case len(values) == 0 || len(values) == 1 && (values[0] == "" || values[0] == "application/json"):
		return bodyType{kind: otherBody}
	case len(values) == 1 && values[0] == "application/x-www-form-urlencoded":
		return bodyType{kind: formBody}
	case len(values) > 1:
		return bodyType{kind: unreadable}
	}
	m, ok := parseMediaType(values[0])
	switch {
	case !ok:
		return bodyType{kind: unreadable}
	case m.name == "application/x-www-form-urlencoded":
		return bodyType{kind: formBody, ascii: m.ascii}
	case m.name == "multipart/form-data" && isBoundary(m.boundary) && findsBoundary(values[0]):
		return bodyType{kind: partsBody, ascii: m.ascii, boundary: m.boundary, quoted: strings.Contains(values[0], `boundary="`)}
	case strings.HasPrefix(m.name, "multipart/"):
		return bodyType{kind: unreadable}
	}
	return bodyType{kind: otherBody, ascii: m.ascii}
}

const maxParameters = 16 // of a media type; clients send one or two

// A mediaType is what counts of a Content-Type.
type mediaType struct {
	name     string
	boundary string
	ascii    bool // the charset is one that has ASCII in common with UTF-8, not more
}

// parseMediaType parses a media type of UTF-8, or of ASCII. It is not ok when
// parsers may differ on its parameters, as on escapes and those of RFC 2231.
func parseMediaType(value string) (m mediaType, ok bool) {
	if strings.ContainsAny(value, `*\`) {
		return m, false
	}
	name, rest, _ := strings.Cut(value, ";")
	m.name = strings.ToLower(strings.Trim(name, " \t"))
	if kind, sub, whole := strings.Cut(m.name, "/"); !isToken(kind) || whole && !isToken(sub) {
		return m, false
	}
	var seen []string
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		key, after, _ := strings.Cut(rest, "=")
		var text string
		if text, rest, ok = parameter(after); !ok || !isToken(key) || after[0] != '"' && !isToken(text) {
			return m, false
		}
		key = strings.ToLower(key)
		if len(seen) == maxParameters || slices.Contains(seen, key) {
			return m, false
		}
		seen = append(seen, key)
		switch key {
		case "boundary":
			m.boundary = text
		case "charset":
			switch strings.ToLower(text) {
			case "utf-8", "utf8":
			case "us-ascii", "iso-8859-1", "windows-1252":
				m.ascii = true
			default:
				return m, false
			}
		}
	}
	charsets := strings.Count(strings.ToLower(value), "charset")
	return m, charsets == 0 || charsets == 1 && slices.Contains(seen, "charset")
}

// findsBoundary reports whether those who search a Content-Type for its boundary
// find the parameter: PHP takes what follows the first "boundary", Rack what
// follows the last "boundary=".
func findsBoundary(value string) bool {
	lower := strings.ToLower(value)
	return strings.Count(lower, "boundary=") == 1 &&
		strings.Index(lower, "boundary") == strings.Index(value, "boundary=")
}

func isASCII(s []byte) bool {
	return !slices.ContainsFunc(s, func(c byte) bool { return c >= utf8.RuneSelf })
}

// isBoundary accepts what clients make (RFC 2046), and every parser ends at the
// same place: not space, nor the comma and the quote, where some do.
func isBoundary(s string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte("-_.+=:/?()", s[i]) < 0 {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}
