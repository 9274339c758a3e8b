package ratelimit

import (
	"mime"
	"net/http"
	"strings"
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
	boundary string // of partsBody
}

// fits reports whether p can be in a body of this type.
func (t bodyType) fits(p part) bool {
	return p.kind == 'j' && t.kind == otherBody || p.kind == 'f' && (t.kind == formBody || t.kind == partsBody)
}

// typeOf is the type that every framework takes from h. Several types, an
// encoding, a charset other than UTF-8, and what only some parsers see such a
// charset in, make a body unreadable.
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
	name, params, ok := mediaType(values[0])
	switch {
	case !ok:
		return bodyType{kind: unreadable}
	case name == "application/x-www-form-urlencoded":
		return bodyType{kind: formBody}
	case name == "multipart/form-data" && isBoundary(params["boundary"]) && mentionsOnce(values[0], "boundary"):
		return bodyType{kind: partsBody, boundary: params["boundary"]}
	case strings.HasPrefix(name, "multipart/"):
		return bodyType{kind: unreadable}
	}
	return bodyType{kind: otherBody}
}

// mediaType parses a media type of UTF-8. It is not ok when parsers may differ
// on its parameters, as on escapes and those of RFC 2231.
func mediaType(value string) (name string, params map[string]string, ok bool) {
	if strings.ContainsAny(value, `*\`) {
		return "", nil, false
	}
	name, params, err := mime.ParseMediaType(value)
	if err != nil {
		return "", nil, false
	}
	charset, named := params["charset"]
	if !named {
		return name, params, !strings.Contains(strings.ToLower(value), "charset")
	}
	return name, params, mentionsOnce(value, "charset") &&
		(strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8"))
}

func mentionsOnce(value, word string) bool { return strings.Count(strings.ToLower(value), word) == 1 }

// isBoundary accepts what clients make, and every parser ends at the same place.
func isBoundary(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}
