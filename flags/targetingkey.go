package flags

import (
	"fmt"
	"net/http"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/httpx"
)

// CookieKey takes the targeting key from a cookie, as it is sent, but for quotes
// around it. A cookie that applications could read differently counts as none:
// one that is there twice, in other letter case or in several Cookie headers,
// or whose value holds blanks, commas, quotes, backslashes or bytes beyond
// ASCII. A visitor can set the cookie to any value and so choose where to fall:
// flags are not authorization.
func CookieKey(name string) func(*http.Request) string {
	return func(r *http.Request) string {
		value, _ := httpx.LoneCookie(r, name)
		return value
	}
}

// HeaderKey takes the targeting key from a request header, which counts only
// when the request's peer is one of trustedProxies and sent the header once.
// The entries are CIDRs, addresses, "private" and "loopback"; none means that
// the header never counts. The proxy must remove the header from what its own
// clients send.
//
// Behind the sidecar's own address handling the identity that stands in the
// request's context decides instead of trustedProxies.
func HeaderKey(name string, trustedProxies []string) (func(*http.Request) string, error) {
	if !validToken(name) {
		return nil, &ConfigError{Field: "name", Value: shorten(name), Reason: "is not the name of a header"}
	}
	prefixes, err := clientip.ParsePrefixes(trustedProxies)
	if err != nil {
		return nil, &ConfigError{Field: "trustedProxies", Reason: err.Error()}
	}
	resolver, err := clientip.New(prefixes, clientip.XForwardedFor)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	name = http.CanonicalHeaderKey(name)
	return func(r *http.Request) string {
		values := r.Header[name]
		if len(values) != 1 {
			return ""
		}
		id, known := clientip.FromContext(r.Context())
		if !known {
			id = resolver.Resolve(r)
		}
		if !id.PeerTrusted {
			return ""
		}
		return values[0]
	}, nil
}

// validToken reports whether s may name a header: RFC 9110 section 5.6.2.
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !alphanumeric(c) && !isTokenMark(c) {
			return false
		}
	}
	return s != ""
}

func isTokenMark(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}
