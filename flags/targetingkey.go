package flags

import (
	"fmt"
	"net/http"
	"strings"

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
	trusted, err := trustedPeer(trustedProxies)
	if err != nil {
		return nil, err
	}
	name = http.CanonicalHeaderKey(name)
	return func(r *http.Request) string {
		values := r.Header[name]
		if len(values) != 1 || !trusted(r) {
			return ""
		}
		return values[0]
	}, nil
}

// ForwardedHTTPS is an [AnonymousCookie.HTTPS] for services behind proxies: a
// browser came by https where this process terminated TLS, or where a trusted
// proxy says so, in the first value of X-Forwarded-Proto or else in the last
// element of Forwarded. TrustedProxies are as for HeaderKey.
func ForwardedHTTPS(trustedProxies []string) (func(*http.Request) bool, error) {
	trusted, err := trustedPeer(trustedProxies)
	if err != nil {
		return nil, err
	}
	return func(r *http.Request) bool {
		return r.TLS != nil || trusted(r) && strings.EqualFold(forwardedProto(r.Header), "https")
	}, nil
}

func forwardedProto(h http.Header) string {
	if lines := h["X-Forwarded-Proto"]; len(lines) > 0 {
		first, _, _ := strings.Cut(lines[0], ",")
		return trimBlanks(first)
	}
	lines := h[clientip.Forwarded]
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	proto, _ := clientip.ForwardedParameter(last[clientip.LastComma(last)+1:], "proto")
	return proto
}

// trustedPeer tells requests that come from one of trustedProxies.
func trustedPeer(trustedProxies []string) (func(*http.Request) bool, error) {
	prefixes, err := clientip.ParsePrefixes(trustedProxies)
	if err != nil {
		return nil, &ConfigError{Field: "trustedProxies", Reason: err.Error()}
	}
	resolver, err := clientip.New(prefixes, clientip.XForwardedFor)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	return func(r *http.Request) bool {
		if id, known := clientip.FromContext(r.Context()); known {
			return id.PeerTrusted
		}
		return resolver.Resolve(r).PeerTrusted
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
