package clientip

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The forwarding headers a Resolver can read.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded"
)

// maxHops bounds how many hops of a header are looked at, counted from the
// right. No real chain is longer; what lies further left is not believed.
const maxHops = 64

// Identity is who a request comes from.
type Identity struct {
	Peer        netip.Addr // the other end of the connection; invalid for a Unix socket
	Client      netip.Addr // the rightmost untrusted hop; invalid only when Peer is
	PeerTrusted bool       // Peer is a trusted proxy: its forwarding headers count
}

// A Resolver finds the client of a request. It is safe for concurrent use.
type Resolver struct {
	trusted   Prefixes
	forwarded bool
}

// New returns a Resolver that believes what peers within trusted say in one
// header: XForwardedFor, Forwarded, or "" for XForwardedFor.
func New(trusted Prefixes, header string) (*Resolver, error) {
	switch {
	case header == "" || strings.EqualFold(header, XForwardedFor):
		return &Resolver{trusted: trusted}, nil
	case strings.EqualFold(header, Forwarded):
		return &Resolver{trusted: trusted, forwarded: true}, nil
	}
	return nil, fmt.Errorf("forwarding header %q is neither %s nor %s", header, XForwardedFor, Forwarded)
}

// Header is the canonical name of the header that counts.
func (rs *Resolver) Header() string {
	if rs.forwarded {
		return Forwarded
	}
	return XForwardedFor
}

// Resolve tells who r comes from. Walking from the right, trusted hops are
// passed over. A hop that is not an address, or an empty one, ends the walk:
// the hop to its right is the last that is known, and stands for the client.
// When every hop is trusted, the leftmost one is the client. What stands left
// of the nearest untrusted hop changes nothing, whatever it is.
//
// The peer on a Unix socket is trusted, since file permissions decide who
// connects, even when no proxy is named. A RemoteAddr without a port is not
// net/http's but was put there by somebody else: it counts as the peer, and is
// not trusted with more.
func (rs *Resolver) Resolve(r *http.Request) Identity {
	return rs.ResolveFrom(rs.Peer(r), r.Header)
}

// A Peer is the other end of a connection, as one Resolver sees it. It is the
// same for all requests of the connection.
type Peer struct {
	Addr    netip.Addr // invalid for a Unix socket
	Trusted bool       // a trusted proxy
}

// Peer tells the other end of the connection that r came on.
func (rs *Resolver) Peer(r *http.Request) Peer {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		a := ap.Addr().Unmap().WithZone("")
		return Peer{Addr: a, Trusted: rs.trusted.Contains(a)}
	}
	if a, ok := parseHop(r.RemoteAddr); ok {
		return Peer{Addr: a}
	}
	return Peer{Trusted: onUnixSocket(r)}
}

// ResolveFrom is Resolve for a request with the header h from a peer that is
// known from an earlier request of its connection.
func (rs *Resolver) ResolveFrom(peer Peer, h http.Header) Identity {
	id := Identity{Peer: peer.Addr, Client: peer.Addr, PeerTrusted: peer.Trusted}
	if !peer.Trusted {
		return id
	}
	walk := rs.hopsOf(h)
	for range maxHops {
		hop, ok := walk.next()
		if !ok {
			break
		}
		a, ok := parseHop(hop)
		if !ok {
			break
		}
		id.Client = a
		if !rs.trusted.Contains(a) {
			break
		}
	}
	return id
}

// onUnixSocket asks the server's listener, as RemoteAddr depends on the
// platform and may have been rewritten by another middleware.
func onUnixSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

type contextKey struct{}

// A Context is a context with an Identity in it. A caller with a struct of its
// own for each request puts the Context there by value and hands out its
// address, which costs no allocation. Neither field may change once others have
// the context.
type Context struct {
	context.Context // whose values and end it has otherwise

	Identity Identity
}

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if key == (contextKey{}) {
		return &c.Identity
	}
	return c.Context.Value(key)
}

// NewContext returns ctx with id in it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return &Context{Context: ctx, Identity: id}
}

// FromContext returns the Identity of the innermost Context that ctx is or
// comes from.
func FromContext(ctx context.Context) (Identity, bool) {
	if id, ok := ctx.Value(contextKey{}).(*Identity); ok {
		return *id, true
	}
	return Identity{}, false
}
