package clientip_test

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/clientip"
)

// The elements that trusted proxies wrote about an attacker at 203.0.113.66,
// the nearest of them last: nothing to their left may change that address.
var ownElements = map[string][]string{
	clientip.XForwardedFor: {
		"203.0.113.66",
		"203.0.113.66:51034",
		"203.0.113.66, 10.0.0.1",
		"203.0.113.66,fe80::1%eth0 ,\t[fd00::1]:443",
		"::ffff:203.0.113.66, ::ffff:10.0.0.5",
	},
	clientip.Forwarded: {
		"for=203.0.113.66",
		`for="203.0.113.66:51034";proto=https;host="x, y"`,
		`by=_edge;for="[::ffff:203.0.113.66]", for="[fd00::1]";host="a\"b\\"`,
		`for=203.0.113.66, for=10.0.0.1;by="[fd00::1]"`,
		`For="203.0\.113.66" ; host="\", for=10.0.0.9"	,for=10.0.0.1`,
	},
}

const attacker = "203.0.113.66"

// holds reports a broken promise: left stands before the own elements, on
// their line or on lines above it.
func holds(t *testing.T, rs *clientip.Resolver, header, left string) {
	t.Helper()
	for _, own := range ownElements[header] {
		for _, lines := range [][]string{{left + "," + own}, {left + ", " + own}, {left, own}, {own, left, own}} {
			if got := client(rs, request(proxy, header, lines...)); got != attacker {
				t.Fatalf("%s %q: client %s, want %s", header, lines, got, attacker)
			}
		}
	}
}

func TestNothingLeftOfTheNearestUntrustedHopChangesTheClient(t *testing.T) {
	pieces := []string{
		`"`, `\`, `,`, `;`, `=`, ` `, "\t", `for=`, `for="`, `by="`, `host=`, `1.2.3.4`, `10.0.0.1`, `[fd00::1]`, `"[`, `]:443"`,
		`unknown`, `_x`, `%`, `%eth0`, `::ffff:10.0.0.5`, `fe80::1%"`, `\"`, `\\`, "\x00", "\xff", `203.0.113.66`, `for=10.0.0.1, `,
	}
	for header := range ownElements {
		rs := resolver(t, header, "private")
		rng := rand.New(rand.NewPCG(1, 2))
		holds(t, rs, header, "")
		for range 20_000 {
			var left strings.Builder
			for range rng.IntN(12) {
				left.WriteString(pieces[rng.IntN(len(pieces))])
			}
			holds(t, rs, header, left.String())
		}
	}
}

func FuzzNothingLeftOfTheNearestUntrustedHopChangesTheClient(f *testing.F) {
	for _, left := range []string{"", "1.2.3.4", "garbage, 10.0.0.1", `for="1.2.3.4`, `for=1.2.3.4;x="`, `\`, `for="a\"`, ",,,", `"""\\"`} {
		f.Add(left)
	}
	rs := map[string]*clientip.Resolver{}
	for header := range ownElements {
		rs[header] = resolver(f, header, "private")
	}
	f.Fuzz(func(t *testing.T, left string) {
		for header, r := range rs {
			holds(t, r, header, left)
		}
	})
}

// byTheBook is X-Forwarded-For as its description reads: one list, from the
// right, past what is trusted.
func byTheBook(trusted clientip.Prefixes, peer string, lines []string) string {
	last := netip.MustParseAddrPort(peer).Addr()
	if len(lines) == 0 {
		return last.String()
	}
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-64; i-- {
		a, err := netip.ParseAddr(strings.Trim(hops[i], " \t"))
		if err != nil {
			break
		}
		last = a.Unmap().WithZone("")
		if !trusted.Contains(last) {
			break
		}
	}
	return last.String()
}

func TestResolveAgreesWithTheBook(t *testing.T) {
	trusted, _ := clientip.ParsePrefixes([]string{"private"})
	rs := resolver(t, clientip.XForwardedFor, "private")
	pieces := []string{"203.0.113.7", "10.0.0.1", "192.168.0.9", "fd00::1", "2001:db8::1%z", "::ffff:10.0.0.5", "junk", "", " ", "fe80::1%eth0"}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50_000 {
		lines := make([]string, rng.IntN(3))
		for i := range lines {
			hops := make([]string, 1+rng.IntN(4))
			for j := range hops {
				hops[j] = pieces[rng.IntN(len(pieces))]
			}
			lines[i] = strings.Join(hops, ", ")
		}
		if got, want := client(rs, request(proxy, clientip.XForwardedFor, lines...)), byTheBook(trusted, proxy, lines); got != want {
			t.Fatalf("%q: client %s, want %s", lines, got, want)
		}
	}
}

// FuzzResolve holds that no bytes make Resolve panic, that an untrusted peer
// is the client, and that a client is an address in its one form.
func FuzzResolve(f *testing.F) {
	f.Add("10.0.0.2:1", "203.0.113.7, garbage, 10.0.0.1", "")
	f.Add("[fe80::1%eth0]:1", "2606:4700::1%zone", "[::ffff:10.0.0.5%z]:443")
	f.Add("198.51.100.1:1", `for="[2001:db8::1]:443";host="a, b"`, `for="1.2.3.4`)
	f.Add("10.0.0.2:1", `for="\`, `for="1.2.3.4\"`)
	f.Add("@", "[", "]")
	xff, fwd := resolver(f, clientip.XForwardedFor, "private"), resolver(f, clientip.Forwarded, "private")
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{
			clientip.XForwardedFor: {first, second}, clientip.Forwarded: {first, second},
		}}
		for _, rs := range []*clientip.Resolver{xff, fwd} {
			id := rs.Resolve(r)
			if !id.PeerTrusted && id.Client != id.Peer {
				t.Errorf("untrusted peer %s, client %s", id.Peer, id.Client)
			}
			if id.Client.Zone() != "" || id.Client.Is4In6() {
				t.Errorf("client %s is not in its one form", id.Client)
			}
			if id.Peer.IsValid() && !id.Client.IsValid() {
				t.Errorf("peer %s, and no client", id.Peer)
			}
		}
	})
}

func TestResolveDoesNotAllocate(t *testing.T) {
	tests := []struct {
		rule, header string
		lines        []string
	}{
		{"no header", clientip.XForwardedFor, nil},
		{"one hop", clientip.XForwardedFor, []string{"203.0.113.7"}},
		{"one hop with a port", clientip.XForwardedFor, []string{"203.0.113.7:51034"}},
		{"one IPv6 hop with a zone", clientip.XForwardedFor, []string{"[2001:db8::7%eth0]:443"}},
		{"a forged hop and three proxies", clientip.XForwardedFor, []string{"garbage, 203.0.113.7, 10.0.0.1", "fd00::1,10.0.0.3"}},
		{"one element of Forwarded", clientip.Forwarded, []string{"for=203.0.113.7;proto=https;host=example.com"}},
		{"one quoted element of Forwarded", clientip.Forwarded, []string{`for=1.2.3.4, for="[2001:db8::7]:443";proto=https`}},
	}
	for _, tc := range tests {
		rs := resolver(t, tc.header, "private")
		r := request(proxy, tc.header, tc.lines...)
		if n := testing.AllocsPerRun(200, func() { identity = rs.Resolve(r) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tc.rule, n)
		}
	}
}

var identity clientip.Identity

func BenchmarkResolve(b *testing.B) {
	for _, tc := range []struct{ name, header, line string }{
		{"hop", clientip.XForwardedFor, "203.0.113.7"},
		{"proxies", clientip.XForwardedFor, "203.0.113.7, 10.0.0.1, 10.0.0.3, 192.168.1.1"},
		{"forwarded", clientip.Forwarded, `for="[2001:db8::7]:443";proto=https`},
		{"adversarial-xff", clientip.XForwardedFor, strings.Repeat("10.0.0.1, ", 100_000)},
		{"adversarial-hops", clientip.XForwardedFor, strings.Repeat("10.0.0.1, ", 1000) + "10.0.0.1"},
		{"adversarial-forwarded", clientip.Forwarded, strings.Repeat(`\`, 500_000) + `"` + strings.Repeat(`\"`, 250_000) + `x"`},
	} {
		b.Run(tc.name, func(b *testing.B) {
			rs := resolver(b, tc.header, "private")
			r := request(proxy, tc.header, tc.line)
			b.ReportAllocs()
			for b.Loop() {
				identity = rs.Resolve(r)
			}
		})
	}
}
