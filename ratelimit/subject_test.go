package ratelimit_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/ratelimit"
)

// recorder keeps the key of the last call, and all of them, and admits
// everything.
type recorder struct{ key, all string }

func (k *recorder) AllowN(_ context.Context, key string, _ ratelimit.Limit, _ int) (ratelimit.Decision, error) {
	k.key = key
	k.all += key
	return ratelimit.Decision{Allowed: true}, nil
}

func (k *recorder) Reset(context.Context, string) error { return nil }

func (k *recorder) Refund(context.Context, string, ratelimit.Limit, ratelimit.Decision) error {
	return nil
}

// keyOf returns a function from requests to the store's key under cfg with one
// policy by key.
func keyOf(t testing.TB, cfg ratelimit.Config, key ...string) func(...func(*http.Request)) string {
	t.Helper()
	k := &recorder{}
	cfg.Policies = []ratelimit.Policy{{Name: "p", Key: key, Limit: 1, Window: time.Minute}}
	cfg.Limiter = k
	m, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Wrap(http.NotFoundHandler())
	return func(edit ...func(*http.Request)) string {
		k.key = ""
		h.ServeHTTP(httptest.NewRecorder(), login(edit...))
		return k.key
	}
}

func TestKeyOfTheStore(t *testing.T) {
	key := keyOf(t, ratelimit.Config{Namespace: "shop"}, "ip")()
	if !regexp.MustCompile(`^handrail:\{shop:p:[A-Za-z0-9_-]{43}\}$`).MatchString(key) {
		t.Errorf("key %q", key)
	}
	if strings.Contains(key, "192.0.2.1") {
		t.Errorf("key %q holds the address", key)
	}
	// Keys outlive processes and are shared between versions, so this one is
	// fixed: SHA-256 of 'i', an empty name and "192.0.2.1/32", each framed.
	if want := "handrail:{shop:p:KvP5RcA_mUXAXQfau79NcVjb_H3AsWkm_j85YCJxIDc}"; key != want {
		t.Errorf("key %q, want %q", key, want)
	}
}

func TestSecretKeysTheDigest(t *testing.T) {
	plain := keyOf(t, ratelimit.Config{}, "header:X-Account")(with("X-Account", "alice"))
	a := keyOf(t, ratelimit.Config{KeySecret: []byte("a")}, "header:X-Account")
	b := keyOf(t, ratelimit.Config{KeySecret: []byte("b")}, "header:X-Account")
	if x, y := a(with("X-Account", "alice")), b(with("X-Account", "alice")); x == y || x == plain || y == plain {
		t.Errorf("plain %s, a %s, b %s", plain, x, y)
	}
	if x, y := a(with("X-Account", "alice")), a(with("X-Account", "alice")); x != y {
		t.Errorf("the same subject has keys %s and %s", x, y)
	}
}

// Keys that were made are kept, more subjects come than there is room for, and
// some are too long to be kept.
func TestTheKeyOfASubjectStaysTheSame(t *testing.T) {
	policies := []ratelimit.Policy{keyed("a", 1, "header:X-Account"), keyed("b", 1, "header:X-Account")}
	run := func(k *recorder) func(i int) string {
		h := wrapped(t, ratelimit.Config{Policies: policies, Limiter: k, KeySecret: []byte("secret")})
		return func(i int) string {
			k.all = ""
			h.ServeHTTP(httptest.NewRecorder(), login(with("X-Account", strings.Repeat("x", i%200)+strconv.Itoa(i))))
			return k.all
		}
	}
	const subjects = 300
	var want [subjects]string
	for i := range subjects {
		want[i] = run(&recorder{})(i) // makes nothing else
	}
	key := run(&recorder{})
	for range 10 * subjects {
		i := rand.N(subjects)
		if got := key(i); got != want[i] {
			t.Fatalf("subject %d: key %q, want %q", i, got, want[i])
		}
	}
}

func TestSubjects(t *testing.T) {
	cookies := func(v string) func(*http.Request) { return with("Cookie", v) }
	none := func(*http.Request) {}
	ip, header, cookie := []string{"ip"}, []string{"header:x-account"}, []string{"cookie:sid"}
	for _, c := range []struct {
		name string
		key  []string
		a, b func(*http.Request)
		same bool
	}{
		{"the port of a peer does not count", ip, from("192.0.2.1:1"), from("192.0.2.1:2"), true},
		{"IPv4 addresses stand for themselves", ip, from("192.0.2.1:1"), from("192.0.2.2:1"), false},
		{"IPv4-mapped is IPv4", ip, from("192.0.2.1:1"), from("[::ffff:192.0.2.1]:1"), true},
		{"IPv6 goes by its first 64 bits", ip, from("[2001:db8:0:1::1]:1"), from("[2001:db8:0:1:ffff::9]:1"), true},
		{"another /64 is another subject", ip, from("[2001:db8:0:1::1]:1"), from("[2001:db8:0:2::1]:1"), false},
		{"a zone does not count", ip, from("[fe80::1%eth0]:1"), from("[fe80::1%eth1]:1"), true},
		{"peers without an address are one subject", ip, from("@"), from(""), true},
		{"no address is no IPv4 address", ip, from("@"), from("0.0.0.0:1"), false},
		{"forwarding headers of a peer that is not trusted do not count", ip, none, with("X-Forwarded-For", "203.0.113.9"), true},
		{"header values differ", header, with("X-Account", "a"), with("X-Account", "b"), false},
		{"header values are case-sensitive", header, with("X-Account", "a"), with("X-Account", "A"), false},
		{"space around a header value does not count", header, with("X-Account", "a"), with("X-Account", " a\t"), true},
		{"an absent header is the empty one", header, none, with("X-Account", ""), true},
		{"a repeated header is the empty one", header, none, with("X-Account", "a", "b"), true},
		{"cookie values differ", cookie, cookies("sid=a"), cookies("sid=b"), false},
		{"other cookies do not count", cookie, cookies("sid=a; x=1"), cookies("y=2; sid=a"), true},
		{"an absent cookie is the empty one", cookie, none, cookies("sid="), true},
		{"a repeated cookie is the empty one", cookie, none, cookies("sid=a; sid=b"), true},
		{"a cookie that does not parse is the empty one", cookie, none, cookies("sid=a\x01"), true},
		{"quotes around a cookie do not count", cookie, cookies("sid=a"), cookies(`sid="a"`), true},
		{"percent escapes of a cookie are decoded", cookie, cookies("sid=ab%2F"), cookies("sid=%61b%2f"), true},
		{"a cookie with bad percent escapes is the empty one", cookie, none, cookies("sid=%61%zz"), true},
		{"a cookie repeated in a form that net/http drops is the empty one", cookie, none, cookies(`sid="\141bc"; sid=b`), true},
		{"a cookie repeated beyond ASCII is the empty one", cookie, none, cookies("sid=abc\xc2\xa0; sid=b"), true},
		{"a cookie repeated in other letter case is the empty one", cookie, none, cookies("SID=a; sid=b"), true},
		{"a cookie repeated with its name encoded is the empty one", cookie, none, cookies("%73id=a; sid=b"), true},
		{"a cookie within quotes is the empty one", cookie, none, cookies(`a="; sid=b; c="`), true},
		{"a cookie of a second line is the empty one", cookie, none, with("Cookie", "a=1", "sid=b"), true},
		{"parts are framed", []string{"header:a", "header:b"}, with("A", "xB"), with("B", "xB"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := keyOf(t, ratelimit.Config{}, c.key...)
			if x, y := key(c.a), key(c.b); (x == y) != c.same || x == "" {
				t.Errorf("keys %s and %s, want same: %v", x, y, c.same)
			}
		})
	}
}

func TestIPv6PrefixIsConfigurable(t *testing.T) {
	for bits, same := range map[int]bool{48: true, 56: true, 64: false, 128: false} {
		k := &recorder{}
		m, err := ratelimit.New(ratelimit.Config{Limiter: k, Policies: []ratelimit.Policy{
			{Name: "p", IPv6Prefix: bits, Limit: 1, Window: time.Minute},
		}})
		if err != nil {
			t.Fatal(err)
		}
		h := m.Wrap(http.NotFoundHandler())
		h.ServeHTTP(httptest.NewRecorder(), login(from("[2001:db8::1]:1")))
		first := k.key
		h.ServeHTTP(httptest.NewRecorder(), login(from("[2001:db8:0:1::1]:1")))
		if (k.key == first) != same {
			t.Errorf("/%d: same subject %v, want %v", bits, !same, same)
		}
	}
}

func TestLeavingAHeaderOutDoesNotEscapeTheLimit(t *testing.T) {
	a := newApp(t, one(keyed("account", 2, "header:X-Account")))
	a.want(200, 2)
	a.want(429, 1)
	a.want(429, 1, with("X-Account", "alice", "mallory"))
	a.want(200, 2, with("X-Account", "alice"))
}

func TestForgedAndRotatingForwardingHeaders(t *testing.T) {
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP"} {
		t.Run("from an untrusted peer, "+header, func(t *testing.T) {
			a := newApp(t, one(ratelimit.AuthPolicy()))
			for i := range 20 {
				addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String()
				want := 200
				if i >= 8 {
					want = 429
				}
				if header == "Forwarded" {
					addr = "for=" + addr
				}
				a.want(want, 1, with(header, addr))
			}
		})
	}
	t.Run("left of what a trusted proxy wrote", func(t *testing.T) {
		cfg := one(ratelimit.AuthPolicy())
		cfg.TrustedProxies = []string{"192.0.2.0/24"}
		a := newApp(t, cfg)
		for i := range 20 {
			want := 200
			if i >= 8 {
				want = 429
			}
			a.want(want, 1, with("X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()+", 203.0.113.7"))
		}
		a.want(200, 8, with("X-Forwarded-For", "203.0.113.8"))
	})
}

func TestOddAddressesBehindATrustedProxy(t *testing.T) {
	proxy := ratelimit.Config{TrustedProxies: []string{"192.0.2.1", "10.0.0.0/8"}}
	key := keyOf(t, proxy, "ip")
	peer := func(addr string) string { return key(from("[" + addr + "]:1")) }
	for _, c := range []struct{ forwarded, client string }{
		{"203.0.113.7, garbage, 10.0.0.1", "10.0.0.1"}, // what stands left of garbage is not believed
		{"garbage", "::ffff:192.0.2.1"},
		{"", "::ffff:192.0.2.1"},
		{"203.0.113.7, 10.0.0.1", "::ffff:203.0.113.7"},
		{"203.0.113.7:4711, 10.0.0.1", "::ffff:203.0.113.7"},
		{"2606:4700::1%zone", "2606:4700::1"},
		{"[2606:4700::1]:443", "2606:4700::1"},
		{"::ffff:10.0.0.5", "::ffff:10.0.0.5"},
		{"203.0.113.7, ::ffff:10.0.0.5", "::ffff:203.0.113.7"},
		{"1.2.3.4, 203.0.113.7", "::ffff:203.0.113.7"},
	} {
		want := peer(c.client)
		if c.client == "10.0.0.1" || c.client == "::ffff:10.0.0.5" {
			want = key(with("X-Forwarded-For", strings.TrimPrefix(c.client, "::ffff:")))
		}
		if got := key(with("X-Forwarded-For", c.forwarded)); got != want {
			t.Errorf("X-Forwarded-For %q does not count as %s", c.forwarded, c.client)
		}
	}
}

func TestForwardedHeaderThatIsNotConfiguredDoesNotCount(t *testing.T) {
	cfg := ratelimit.Config{TrustedProxies: []string{"private", "192.0.2.1"}, ForwardedHeader: "Forwarded"}
	key := keyOf(t, cfg, "ip")
	if key() != key(with("X-Forwarded-For", "203.0.113.7")) {
		t.Error("X-Forwarded-For counts")
	}
	if key(from("203.0.113.7:1")) != key(with("Forwarded", "for=203.0.113.7")) {
		t.Error("Forwarded does not count")
	}
}

func TestIdentityOfTheContextCounts(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "ip")
	id := clientip.Identity{Client: netip.MustParseAddr("203.0.113.7")}
	got := key(func(r *http.Request) { *r = *r.WithContext(clientip.NewContext(r.Context(), id)) })
	if got != key(from("203.0.113.7:1")) {
		t.Error("the Identity in the context does not count")
	}
}

// FuzzSubject: two requests have one key exactly when their values are the same.
func FuzzSubject(f *testing.F) {
	key := keyOf(f, ratelimit.Config{KeySecret: []byte("k")}, "ip", "header:A", "header:B")
	f.Add("a", "b", "ab", "")
	f.Add("a:b", "c", "a", "b:c")
	f.Add("\x00", "", "", "\x00")
	f.Add(strings.Repeat("x", 300), "y", strings.Repeat("x", 299), "xy")
	f.Fuzz(func(t *testing.T, a1, b1, a2, b2 string) {
		trim := func(s string) string { return strings.Trim(s, " \t") }
		same := trim(a1) == trim(a2) && trim(b1) == trim(b2)
		if x, y := key(with("A", a1), with("B", b1)), key(with("A", a2), with("B", b2)); (x == y) != same {
			t.Errorf("(%q %q) and (%q %q): keys %s and %s", a1, b1, a2, b2, x, y)
		}
	})
}

// FuzzCookieSubject: a request that does not count under the empty cookie
// counts under what net/http reads, and that is one value.
func FuzzCookieSubject(f *testing.F) {
	key := keyOf(f, ratelimit.Config{}, "cookie:sid")
	empty := key()
	f.Add("sid=a")
	f.Add(`sid="\141bc"; sid=r1`)
	f.Add("sid=abc\xc2\xa0; sid=r1")
	f.Add("sid=a%2fb; x=%zz")
	f.Fuzz(func(t *testing.T, line string) {
		got := key(with("Cookie", line))
		if got == empty {
			return
		}
		r := login(with("Cookie", line))
		if c := r.CookiesNamed("sid"); len(c) != 1 || got != key(with("Cookie", "sid="+c[0].Value)) {
			t.Errorf("%q counts as one cookie, net/http reads %v", line, c)
		}
	})
}
