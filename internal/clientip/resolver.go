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
	var id Identity
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		id.Peer = ap.Addr().Unmap().WithZone("")
		id.PeerTrusted = rs.trusted.Contains(id.Peer)
	} else if a, ok := parseHop(r.RemoteAddr); ok {
		id.Peer = a
	} else {
		id.PeerTrusted = onUnixSocket(r)
	}
	id.Client = id.Peer
	if !id.PeerTrusted {
		return id
	}
	walk := rs.hopsOf(r.Header)
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

// NewContext returns ctx with id in it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the Identity that NewContext put into ctx.
func FromContext(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(Identity)
	return id, ok
}
