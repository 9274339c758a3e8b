package clientip_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/clientip"
)

func resolver(tb testing.TB, header string, trusted ...string) *clientip.Resolver {
	tb.Helper()
	p, err := clientip.ParsePrefixes(trusted)
	if err != nil {
		tb.Fatal(err)
	}
	rs, err := clientip.New(p, header)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

func request(peer, header string, lines ...string) *http.Request {
	r := &http.Request{RemoteAddr: peer, Header: http.Header{}}
	if lines != nil {
		r.Header[header] = lines
	}
	return r
}

// client is what Resolve says, as text; "" when there is no address.
func client(rs *clientip.Resolver, r *http.Request) string {
	if a := rs.Resolve(r).Client; a.IsValid() {
		return a.String()
	}
	return ""
}

const proxy = "10.0.0.2:4000" // the peer in most tests, trusted

type headerCase struct {
	rule  string
	lines []string
	want  string
}

func checkHeader(t *testing.T, header string, tests []headerCase) {
	rs := resolver(t, header, "private")
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			if got := client(rs, request(proxy, header, tc.lines...)); got != tc.want {
				t.Errorf("%q: client %s, want %s", tc.lines, got, tc.want)
			}
		})
	}
}

func TestResolveXForwardedFor(t *testing.T) {
	tests := []headerCase{
		{"no header: the peer", nil, "10.0.0.2"},
		{"one hop", []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client forged stands left of the proxy's own", []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"trusted hops are passed over", []string{"1.2.3.4, 203.0.113.7, 10.0.0.1, 192.168.1.1"}, "203.0.113.7"},
		{"garbage ends the walk at the last known hop", []string{"203.0.113.7, garbage, 10.0.0.1"}, "10.0.0.1"},
		{"garbage next to the peer leaves the peer", []string{"203.0.113.7, garbage"}, "10.0.0.2"},
		{"garbage left of the client is not looked at", []string{"garbage, 203.0.113.7, 10.0.0.1"}, "203.0.113.7"},
		{"all trusted: the leftmost", []string{"10.0.0.9, 10.0.0.1"}, "10.0.0.9"},
		{"lines are one list", []string{"1.2.3.4", "203.0.113.7", "10.0.0.1"}, "203.0.113.7"},
		{"a line of the proxy's own after a forged one", []string{"1.2.3.4, 5.6.7.8", "203.0.113.7"}, "203.0.113.7"},
		{"blanks do not count", []string{"  1.2.3.4\t,\t 203.0.113.7 \t"}, "203.0.113.7"},
		{"no blanks", []string{"1.2.3.4,203.0.113.7,10.0.0.1"}, "203.0.113.7"},
		{"an empty element is a hop that nobody knows", []string{"203.0.113.7, , 10.0.0.1"}, "10.0.0.1"},
		{"a trailing comma leaves the peer", []string{"203.0.113.7,"}, "10.0.0.2"},
		{"an empty line leaves the peer", []string{"203.0.113.7", ""}, "10.0.0.2"},
		{"an empty header leaves the peer", []string{""}, "10.0.0.2"},
		{"commas alone leave the peer", []string{",,,"}, "10.0.0.2"},
		{"IPv4 with a port", []string{"203.0.113.7:51034"}, "203.0.113.7"},
		{"IPv6", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with a port", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv6 in upper case and full length is the same address", []string{"2001:0DB8:0:0:0:0:0:7"}, "2001:db8::7"},
		{"a zone is dropped", []string{"2606:4700::1%zone"}, "2606:4700::1"},
		{"a zone in brackets is dropped", []string{"[2606:4700::1%zone]:443"}, "2606:4700::1"},
		{"a trusted hop with a zone is trusted", []string{"203.0.113.7, fe80::1%eth0"}, "203.0.113.7"},
		{"IPv4-mapped is IPv4, here a trusted one", []string{"203.0.113.7, ::ffff:10.0.0.5"}, "203.0.113.7"},
		{"IPv4-mapped is IPv4, here the client", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"IPv4-mapped in hexadecimal", []string{"::ffff:cb00:7107"}, "203.0.113.7"},
		{"IPv4-mapped in brackets with port and zone", []string{"[::ffff:203.0.113.7%eth0]:443"}, "203.0.113.7"},
		{"quotes are not for this header", []string{`"203.0.113.7"`}, "10.0.0.2"},
		{"a name is garbage", []string{"client.example"}, "10.0.0.2"},
		{"unknown is garbage", []string{"unknown"}, "10.0.0.2"},
		{"an empty zone is garbage", []string{"fe80::1%"}, "10.0.0.2"},
		{"a zone on IPv4 is garbage", []string{"203.0.113.7%eth0"}, "10.0.0.2"},
		{"a port on IPv4 with a zone is garbage", []string{"203.0.113.7%eth0:80"}, "10.0.0.2"},
		{"IPv4 in brackets is garbage", []string{"[203.0.113.7]:80"}, "10.0.0.2"},
		{"an unclosed bracket is garbage", []string{"[2001:db8::7"}, "10.0.0.2"},
		{"text behind the bracket is garbage", []string{"[2001:db8::7]x"}, "10.0.0.2"},
		{"an empty port is garbage", []string{"203.0.113.7:"}, "10.0.0.2"},
		{"a port that is no number is garbage", []string{"203.0.113.7:http"}, "10.0.0.2"},
		{"a port of six digits is garbage", []string{"203.0.113.7:123456"}, "10.0.0.2"},
		{"leading zeros are garbage", []string{"203.0.113.007"}, "10.0.0.2"},
		{"an integer is garbage", []string{"3405803783"}, "10.0.0.2"},
		{"a CIDR is garbage", []string{"203.0.113.0/24"}, "10.0.0.2"},
		{"an address with text is garbage", []string{"203.0.113.7 evil"}, "10.0.0.2"},
		{"NUL is garbage", []string{"203.0.113.7\x00"}, "10.0.0.2"},
		{"a new line is garbage", []string{"203.0.113.7\n"}, "10.0.0.2"},
	}
	checkHeader(t, clientip.XForwardedFor, tests)
}

func TestResolveForwarded(t *testing.T) {
	tests := []headerCase{
		{"no header: the peer", nil, "10.0.0.2"},
		{"one hop", []string{"for=203.0.113.7"}, "203.0.113.7"},
		{"in any case", []string{"For=203.0.113.7;Proto=https"}, "203.0.113.7"},
		{"parameters in any order", []string{"proto=http;by=10.0.0.2;for=203.0.113.7;host=x"}, "203.0.113.7"},
		{"quoted", []string{`for="203.0.113.7"`}, "203.0.113.7"},
		{"quoted, with escapes", []string{`for="203.0\.113\.7"`}, "203.0.113.7"},
		{"IPv6, as the RFC writes it", []string{`for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{"IPv6, as others write it", []string{"for=[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with a zone", []string{`for="[2606:4700::1%zone]"`}, "2606:4700::1"},
		{"an obfuscated port", []string{`for="203.0.113.7:_port-1"`}, "203.0.113.7"},
		{"IPv4-mapped", []string{`for="[::ffff:203.0.113.7]"`}, "203.0.113.7"},
		{"what the client forged stands left", []string{"for=1.2.3.4, for=203.0.113.7"}, "203.0.113.7"},
		{"trusted hops are passed over", []string{`for=1.2.3.4, for=203.0.113.7;proto=https, for="[fd00::1]";by=x`}, "203.0.113.7"},
		{"lines are one list", []string{"for=1.2.3.4, for=203.0.113.7", `for="[fd00::1]"`}, "203.0.113.7"},
		{"blanks do not count", []string{"for=1.2.3.4\t, \tfor=203.0.113.7 ; proto=https "}, "203.0.113.7"},
		{"an obfuscated identifier is no address", []string{"for=203.0.113.7, for=_hidden, for=10.0.0.1"}, "10.0.0.1"},
		{"unknown is no address", []string{"for=203.0.113.7, for=unknown"}, "10.0.0.2"},
		{"an element without for", []string{"for=203.0.113.7, proto=https"}, "10.0.0.2"},
		{"an empty element", []string{"for=203.0.113.7, , for=10.0.0.1"}, "10.0.0.1"},
		{"a trailing comma", []string{"for=203.0.113.7,"}, "10.0.0.2"},
		{"an empty line", []string{"for=203.0.113.7", ""}, "10.0.0.2"},
		{"for twice in one element", []string{"for=203.0.113.7;for=10.0.0.9"}, "10.0.0.2"},
		{"a bare address", []string{"203.0.113.7"}, "10.0.0.2"},
		{"a parameter without a value", []string{"for=203.0.113.7;secure"}, "10.0.0.2"},
		{"an empty value", []string{"for="}, "10.0.0.2"},
		{"a blank before the equals sign", []string{"for =203.0.113.7"}, "10.0.0.2"},
		{"text behind a quoted string", []string{`for="203.0.113.7"x`}, "10.0.0.2"},
		{"a quote inside a token", []string{`for=203.0.113.7"`}, "10.0.0.2"},

		{"a comma in quotes ends nothing", []string{`for=203.0.113.7;host="a, for=10.0.0.9"`}, "203.0.113.7"},
		{"a semicolon in quotes ends nothing", []string{`for=203.0.113.7;host="a;for=10.0.0.9"`}, "203.0.113.7"},
		{"an escaped quote ends nothing", []string{`for=203.0.113.7;host="a\", for=10.0.0.9"`}, "203.0.113.7"},
		{"an escaped backslash before the end", []string{`for=1.2.3.4, for=203.0.113.7;host="a\\"`}, "203.0.113.7"},
		{"an escaped backslash and an escaped quote", []string{`for=1.2.3.4, for=203.0.113.7;host="\\\", for=6.6.6.6"`}, "203.0.113.7"},

		{"a forged open quote, the own element plain", []string{`for="1.2.3.4, for=203.0.113.7`}, "203.0.113.7"},
		{"a forged open quote, the own element quoted", []string{`for="1.2.3.4, for="203.0.113.7"`}, "203.0.113.7"},
		{"a forged open quote that would swallow the own for", []string{`for=1.2.3.4;x=", for="[2001:db8::7]:443"`}, "2001:db8::7"},
		{"a forged open quote before trusted hops", []string{`for=1.2.3.4;x=", for=203.0.113.7, for="[fd00::1]"`}, "203.0.113.7"},
		{"a forged backslash", []string{`for=1.2.3.4\, for="203.0.113.7"`}, "203.0.113.7"},
		{"a forged quote and backslash", []string{`for="1.2.3.4\", for="203.0.113.7";host="x"`}, "203.0.113.7"},
		{"a forged line with an open quote", []string{`for="1.2.3.4`, "for=203.0.113.7"}, "203.0.113.7"},
		{"an own element that does not parse is not guessed at", []string{`for=1.2.3.4, for=203.0.113.7;by="x`}, "10.0.0.2"},
	}
	checkHeader(t, clientip.Forwarded, tests)
}

func TestResolvePeer(t *testing.T) {
	forged := func(peer string) *http.Request {
		return request(peer, clientip.XForwardedFor, "1.2.3.4, 203.0.113.7")
	}
	onSocket := func(peer string) *http.Request {
		ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/run/app.sock", Net: "unix"}))
		return forged(peer).WithContext(ctx)
	}
	tests := []struct {
		rule    string
		trusted []string
		r       *http.Request
		peer    string
		client  string
		believe bool
	}{
		{"an untrusted peer is the client whatever it says", []string{"private"}, forged("198.51.100.1:9"), "198.51.100.1", "198.51.100.1", false},
		{"an empty trusted set believes nobody", nil, forged("10.0.0.2:9"), "10.0.0.2", "10.0.0.2", false},
		{"a trusted peer is believed", []string{"10.0.0.2"}, forged("10.0.0.2:9"), "10.0.0.2", "203.0.113.7", true},
		{"its neighbour is not", []string{"10.0.0.2"}, forged("10.0.0.3:9"), "10.0.0.3", "10.0.0.3", false},
		{"an IPv6 peer", []string{"fd00::/8"}, forged("[fd00::2]:9"), "fd00::2", "203.0.113.7", true},
		{"an IPv6 peer with a zone", []string{"private"}, forged("[fe80::2%eth0]:9"), "fe80::2", "203.0.113.7", true},
		{"an IPv4-mapped peer is IPv4", []string{"10.0.0.0/8"}, forged("[::ffff:10.0.0.2]:9"), "10.0.0.2", "203.0.113.7", true},
		{"an IPv4-mapped network is IPv4", []string{"::ffff:10.0.0.0/104"}, forged("10.0.0.2:9"), "10.0.0.2", "203.0.113.7", true},
		{"a RemoteAddr without a port is not net/http's, and not trusted", []string{"private"}, forged("10.0.0.2"), "10.0.0.2", "10.0.0.2", false},
		{"a RemoteAddr without an address is nobody", []string{"private"}, forged("pipe"), "", "", false},
		{"nor does its look make it a socket", []string{"private"}, forged("@"), "", "", false},
		{"an empty RemoteAddr is nobody", []string{"private"}, forged(""), "", "", false},
		{"the peer on a Unix socket is trusted", []string{"private"}, onSocket("@"), "", "203.0.113.7", true},
		{"also with an empty trusted set", nil, onSocket("@"), "", "203.0.113.7", true},
		{"also with the name that other systems give", nil, onSocket(""), "", "203.0.113.7", true},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			id := resolver(t, clientip.XForwardedFor, tc.trusted...).Resolve(tc.r)
			var want clientip.Identity
			if tc.peer != "" {
				want.Peer = netip.MustParseAddr(tc.peer)
			}
			if tc.client != "" {
				want.Client = netip.MustParseAddr(tc.client)
			}
			want.PeerTrusted = tc.believe
			if id != want {
				t.Errorf("%+v, want %+v", id, want)
			}
		})
	}
}

// TestResolveOnARealSocket holds what net/http tells about a Unix socket's peer
// against what Resolve expects.
func TestResolveOnARealSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets:", err)
	}
	rs := resolver(t, clientip.XForwardedFor, "private")
	ids := make(chan clientip.Identity, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ids <- rs.Resolve(r) }))
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	tr := &http.Transport{DialContext: dial}
	defer tr.CloseIdleConnections()
	req, _ := http.NewRequest(http.MethodGet, "http://app/", nil)
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	want := clientip.Identity{Client: netip.MustParseAddr("203.0.113.7"), PeerTrusted: true}
	if id := <-ids; id != want {
		t.Errorf("%+v, want %+v", id, want)
	}
}

func TestResolveReadsTheConfiguredHeaderAlone(t *testing.T) {
	r := &http.Request{RemoteAddr: proxy, Header: http.Header{
		"X-Forwarded-For": {"203.0.113.1"}, "Forwarded": {"for=203.0.113.2"}, "X-Real-Ip": {"203.0.113.3"},
	}}
	for header, want := range map[string]string{
		"": "203.0.113.1", "X-Forwarded-For": "203.0.113.1", "x-forwarded-for": "203.0.113.1",
		"Forwarded": "203.0.113.2", "forwarded": "203.0.113.2",
	} {
		if got := client(resolver(t, header, "private"), r); got != want {
			t.Errorf("%q: client %s, want %s", header, got, want)
		}
	}
	for _, header := range []string{"X-Real-IP", "X-Forwarded-For, Forwarded", " Forwarded"} {
		if _, err := clientip.New(clientip.Prefixes{}, header); err == nil {
			t.Errorf("New took %q", header)
		}
	}
}

func TestResolveLooksAtABoundedNumberOfHops(t *testing.T) {
	for header, hop := range map[string]string{clientip.XForwardedFor: "10.0.0.1", clientip.Forwarded: "for=10.0.0.1"} {
		rs := resolver(t, header, "private")
		far := strings.TrimSuffix(hop, "10.0.0.1") + "203.0.113.7"
		chain := func(n int) string { return far + strings.Repeat(", "+hop, n) }
		if got := client(rs, request(proxy, header, chain(63))); got != "203.0.113.7" {
			t.Errorf("%s behind 63 proxies: %s", header, got)
		}
		if got := client(rs, request(proxy, header, chain(1000))); got != "10.0.0.1" {
			t.Errorf("%s behind 1,000 proxies: %s, want the last hop that was looked at", header, got)
		}
		lines := strings.Split(chain(1000), ", ")
		if got := client(rs, request(proxy, header, lines...)); got != "10.0.0.1" {
			t.Errorf("%s behind 1,000 proxies, a line each: %s", header, got)
		}
	}
}

func TestContextCarriesTheIdentity(t *testing.T) {
	if _, ok := clientip.FromContext(context.Background()); ok {
		t.Error("an identity in an empty context")
	}
	want := clientip.Identity{Peer: netip.MustParseAddr("10.0.0.2"), Client: netip.MustParseAddr("203.0.113.7"), PeerTrusted: true}
	if got, ok := clientip.FromContext(clientip.NewContext(context.Background(), want)); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
}
