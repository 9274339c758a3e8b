package clientip_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/handrail-go/handrail/internal/clientip"
)

func TestIdentityInAContext(t *testing.T) {
	type key struct{}
	first := clientip.Identity{Client: netip.MustParseAddr("203.0.113.7"), PeerTrusted: true}
	second := clientip.Identity{Client: netip.MustParseAddr("203.0.113.8")}
	parent := context.WithValue(t.Context(), key{}, "kept")
	ctx := clientip.NewContext(parent, first)
	below := context.WithValue(ctx, key{}, "kept")
	for _, tc := range []struct {
		rule string
		ctx  context.Context
		want clientip.Identity
		ok   bool
	}{
		{"none", parent, clientip.Identity{}, false},
		{"the context itself", ctx, first, true},
		{"one that comes from it", below, first, true},
		{"the innermost counts", clientip.NewContext(below, second), second, true},
	} {
		if got, ok := clientip.FromContext(tc.ctx); got != tc.want || ok != tc.ok {
			t.Errorf("%s: got %v, %v", tc.rule, got, ok)
		}
	}
	if below.Value(key{}) != "kept" {
		t.Error("a value of the parent is gone")
	}
}

// perRequest is how a server puts the Identity beside what else it keeps.
type perRequest struct {
	clientip.Context
	http.Request
}

func TestIdentityInAStructOfTheCallerDoesNotAllocate(t *testing.T) {
	x := new(perRequest)
	parent, id := t.Context(), clientip.Identity{Client: netip.MustParseAddr("203.0.113.7")}
	if n := testing.AllocsPerRun(200, func() {
		x.Context = clientip.Context{Context: parent, Identity: id}
		var ctx context.Context = x
		identity, _ = clientip.FromContext(ctx)
	}); n != 0 || identity != id {
		t.Errorf("%v allocations, got %v", n, identity)
	}
}

func TestResolveFromIsResolveWithAKnownPeer(t *testing.T) {
	for _, header := range []string{clientip.XForwardedFor, clientip.Forwarded} {
		rs := resolver(t, header, "private")
		for _, remote := range []string{proxy, "192.0.2.1:1", "192.0.2.1", "@", "", "[fe80::1%eth0]:1"} {
			r := request(remote, header, "for=203.0.113.7")
			if header == clientip.XForwardedFor {
				r = request(remote, header, "203.0.113.7")
			}
			if got, want := rs.ResolveFrom(rs.Peer(r), r.Header), rs.Resolve(r); got != want {
				t.Errorf("%s from %q: %v, want %v", header, remote, got, want)
			}
		}
	}
}

func BenchmarkContext(b *testing.B) {
	id := clientip.Identity{Client: netip.MustParseAddr("203.0.113.7")}
	parent := b.Context()
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kept = clientip.NewContext(parent, id)
			identity, _ = clientip.FromContext(kept)
		}
	})
	b.Run("callers-struct", func(b *testing.B) {
		x := new(perRequest)
		b.ReportAllocs()
		for b.Loop() {
			x.Context = clientip.Context{Context: parent, Identity: id}
			kept = x
			identity, _ = clientip.FromContext(kept)
		}
	})
}

var kept context.Context

func BenchmarkResolveFrom(b *testing.B) {
	for name, r := range map[string]*http.Request{
		"direct":    request("203.0.113.7:51034", clientip.XForwardedFor),
		"one-proxy": request(proxy, clientip.XForwardedFor, "203.0.113.7"),
	} {
		rs := resolver(b, clientip.XForwardedFor, "private")
		peer := rs.Peer(r)
		b.Run(name+"/each-request", func(b *testing.B) {
			for b.Loop() {
				identity = rs.Resolve(r)
			}
		})
		b.Run(name+"/known-peer", func(b *testing.B) {
			for b.Loop() {
				identity = rs.ResolveFrom(peer, r.Header)
			}
		})
	}
}
