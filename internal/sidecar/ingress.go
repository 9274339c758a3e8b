package sidecar

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/httpx"
	"github.com/handrail-go/handrail/internal/route"
)

// ingress is the first thing that happens to a request: who sent it, what its
// path is, and which of its headers may go on.
type ingress struct {
	resolver        *clientip.Resolver
	keepSlash       bool
	keepUnderscores bool

	// onForwarded is told of a private peer that sends forwarding headers
	// while nobody configured who is trusted. Nil: somebody did.
	onForwarded func()
}

func newIngress(c *Config) (*ingress, error) {
	trusted, err := clientip.ParsePrefixes(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	resolver, err := clientip.New(trusted, c.ForwardedHeader)
	if err != nil {
		return nil, err
	}
	return &ingress{
		resolver:        resolver,
		keepSlash:       c.Paths.EncodedSlash == "keep",
		keepUnderscores: c.UnderscoreHeaders == "keep",
	}, nil
}

// An inbound is the context of a request: who sent it, and what is wrong with
// its path.
type inbound struct {
	clientip.Context
	badPath error
}

type inboundKey struct{}

// Value implements context.Context.
func (in *inbound) Value(key any) any {
	if key == (inboundKey{}) {
		return in
	}
	return in.Context.Value(key)
}

// prepare makes of r, in place, the request that every rule and the upstream
// see. A path that is refused is marked, so that the refusal
// is logged and counted like any answer; refuse gives it.
func (in *ingress) prepare(r *http.Request) {
	ctx := &inbound{Context: clientip.Context{Context: r.Context(), Identity: in.resolver.Resolve(r)}}
	id := &ctx.Identity
	if in.onForwarded != nil && id.Peer.IsPrivate() && forwards(r.Header) {
		in.onForwarded()
	}
	in.cleanHeader(r.Header, id.PeerTrusted)
	for name := range r.Trailer {
		if in.drop(name, id.PeerTrusted) {
			delete(r.Trailer, name)
		}
	}
	u, err := in.cleanURL(r.URL)
	ctx.badPath = err
	*r = *r.WithContext(ctx)
	r.URL = u
}

// cleanURL returns u with its path in the one form that counts.
func (in *ingress) cleanURL(u *url.URL) (*url.URL, error) {
	path := u.RawPath // as it came: EscapedPath would decode one that holds what it should not
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" && u.Host != "" {
		path = "/" // absolute form without a path
	}
	cleaned, err := route.Clean(path, in.keepSlash)
	if err != nil {
		return u, err
	}
	if cleaned == u.Path && u.RawPath == "" {
		return u, nil
	}
	decoded, err := url.PathUnescape(cleaned)
	if err != nil {
		return u, err
	}
	out := *u
	out.Path, out.RawPath = decoded, cleaned
	return &out, nil
}

// refuse answers requests whose path prepare would not take.
func refuse(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in, ok := r.Context().Value(inboundKey{}).(*inbound); ok && in.badPath != nil {
			httpx.WriteError(w, r, http.StatusBadRequest, "bad_path")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (in *ingress) cleanHeader(h http.Header, peerTrusted bool) {
	for name := range h {
		if in.drop(name, peerTrusted) {
			delete(h, name)
		}
	}
}

// drop reports whether a header field must not go on: ours, one that an
// untrusted peer has no say in, the forwarding header that is not configured,
// and names with an underscore, which CGI-like servers read as a hyphen. Such
// names may be kept, but not where they would stand for a protected field; nor
// does any other sign there, since some servers read all of them alike.
func (in *ingress) drop(name string, peerTrusted bool) bool {
	if i := firstSign(name); i >= 0 {
		if !in.keepUnderscores && strings.Contains(name[i:], "_") {
			return true
		}
		alike := http.CanonicalHeaderKey(strings.Map(signToHyphen, name))
		return isOurs(alike) || isForwarding(alike) || isServerVariable(alike) ||
			alike == "X-Request-Id" || alike == "Idempotency-Key"
	}
	switch {
	case isOurs(name):
		return true
	case isForwarding(name):
		return !peerTrusted || name == in.unconfigured()
	}
	return false
}

// unconfigured is the forwarding header that does not count.
func (in *ingress) unconfigured() string {
	if in.resolver.Header() == clientip.Forwarded {
		return clientip.XForwardedFor
	}
	return clientip.Forwarded
}

// firstSign is where the first byte of name is that is neither a letter, a digit
// nor a hyphen; -1 without one.
func firstSign(name string) int {
	for i := range len(name) {
		if isSign(rune(name[i])) {
			return i
		}
	}
	return -1
}

func isSign(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

func signToHyphen(r rune) rune {
	if isSign(r) {
		return '-'
	}
	return r
}

func isOurs(name string) bool { return strings.HasPrefix(name, "Handrail-") }

// isForwarding tells the fields by which proxies pass on who the client is and
// what it asked for, as libraries and frameworks read them.
func isForwarding(name string) bool {
	switch name {
	case clientip.Forwarded, "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4",
		"Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "Do-Connecting-Ip",
		"X-Appengine-User-Ip", "X-Proxyuser-Ip", "Forwarded-For", "X-Forwarded", "X-Remote-Addr", "X-Remote-Ip",
		"X-Original-Url", "X-Rewrite-Url": // some stacks take the path from these two
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// isServerVariable tells names by which gunicorn lets a proxy cut the path.
func isServerVariable(hyphens string) bool {
	return hyphens == "Script-Name" || hyphens == "Path-Info"
}

func forwards(h http.Header) bool {
	return h[clientip.XForwardedFor] != nil || h[clientip.Forwarded] != nil
}
