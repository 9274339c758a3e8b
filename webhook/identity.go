package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// source says where in a message a text stands.
type source struct {
	header string
	json   pointer
	digest bool // the SHA-256 of what is signed
}

// parseSource reads "header:NAME", "json:/pointer" or "body". Empty is the
// source of nothing.
func parseSource(s string) (source, bool) {
	if name, ok := strings.CutPrefix(s, "header:"); ok {
		return source{header: http.CanonicalHeaderKey(name)}, isToken(name)
	}
	if p, ok := strings.CutPrefix(s, "json:"); ok {
		pointer, ok := parsePointer(p)
		return source{json: pointer}, ok
	}
	return source{digest: s == "body"}, s == "body" || s == ""
}

// mustSources are those of a table.
func mustSources(all ...string) []source {
	sources := make([]source, len(all))
	for i, s := range all {
		sources[i], _ = parseSource(s)
	}
	return sources
}

// top is the name of the member of the root that s leads through.
func (s source) top() string {
	if len(s.json) == 0 {
		return ""
	}
	return s.json[0]
}

// inHeader is the value of a header that is there once.
func (s source) inHeader(h http.Header) string {
	if values := h[s.header]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// inBody is the text below value, which is what top leads to.
func (s source) inBody(value []byte) []byte {
	if value == nil {
		return nil
	}
	return text(field(value, s.json[1:]))
}

// sources are where a provider's messages say what they are.
type sources struct {
	id         source
	typ        source
	elseType   source
	apiVersion source
}

// identify reads what a message says about itself. The body is walked at
// most once, as far as needed, and not at all when headers say it all.
func (s *sources) identify(m Message) (id, typ, apiVersion string) {
	names := [...]string{s.id.top(), s.typ.top(), s.elseType.top(), s.apiVersion.top()}
	var found [len(names)][]byte
	var types []byte
	if len(s.typ.json) == 1 {
		if types = lastString(m.Body, s.typ.json[0]); types != nil {
			names[1] = ""
		}
	}
	if names != [len(names)]string{} {
		if at := skipSpace(m.Body, 0); at < len(m.Body) && m.Body[at] == '{' {
			if !members(m.Body[at:], names[:], found[:]) {
				clear(found[:])
			}
		} else if s.id.json != nil {
			// A root that is an array has elements and no type.
			return string(text(field(m.Body, s.id.json))), "", ""
		}
	}
	ids, versions := s.id.inBody(found[0]), s.apiVersion.inBody(found[3])
	if types == nil {
		types = s.typ.inBody(found[1])
	}
	if types == nil {
		types = s.elseType.inBody(found[2])
	}
	// One string for the three.
	all := string(ids) + string(types) + string(versions)
	id, typ, apiVersion = all[:len(ids)], all[len(ids):len(ids)+len(types)], all[len(ids)+len(types):]
	if s.id.header != "" {
		id = s.id.inHeader(m.Header)
	}
	if s.typ.header != "" {
		typ = s.typ.inHeader(m.Header)
	}
	if s.apiVersion.header != "" {
		apiVersion = s.apiVersion.inHeader(m.Header)
	}
	return id, typ, apiVersion
}

// digestID names a message by its bytes: the same bytes are the same event.
func digestID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
	}
	return "body-" + hex.EncodeToString(h.Sum(nil))
}

// isToken reports whether s can be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	const special = "!#$%&'*+-.^_`|~"
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte(special, c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
