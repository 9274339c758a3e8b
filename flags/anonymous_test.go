package flags_test

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/httpx"
)

const (
	visitor      = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
	otherVisitor = "ffffffff-ffff-4fff-bfff-ffffffffffff"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// anonymousConfig gives visitors the cookie visitor.
func anonymousConfig(more ...func(*flags.MiddlewareConfig)) flags.MiddlewareConfig {
	cfg := flags.MiddlewareConfig{
		TargetingKey: flags.CookieKey("uid"), Vary: "Cookie", Inject: true,
		Anonymous: &flags.AnonymousCookie{Name: "visitor"},
	}
	for _, change := range more {
		change(&cfg)
	}
	return cfg
}

// a visit is what became of one request.
type visit struct {
	answer *http.Response
	got    *http.Request // by next; nil: it was not asked
	key    string        // that the decisions were made for
}

// set is the cookie that the answer sets, nil when it sets none.
func (v *visit) set(t *testing.T) *http.Cookie {
	t.Helper()
	var found *http.Cookie
	for _, c := range v.answer.Cookies() {
		if c.Name == "visitor" && found != nil {
			t.Error("the cookie is set twice")
		}
		if c.Name == "visitor" {
			found = c
		}
	}
	return found
}

// visiting sends r, to which next answers by answer; nil is an empty 200.
func visiting(m *flags.Middleware, r *http.Request, answer http.HandlerFunc) *visit {
	v := new(visit)
	w := httptest.NewRecorder()
	m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.got, v.key = r, flags.FromContext(r.Context()).TargetingKey()
		if answer != nil {
			answer(w, r)
		}
	})).ServeHTTP(w, r)
	v.answer = w.Result()
	return v
}

func withCookies(lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if len(lines) > 0 {
		r.Header["Cookie"] = lines
	}
	return r
}

// fetching is a request with a browser's Fetch Metadata.
func fetching(dest, site string) *http.Request {
	r := withCookies()
	r.Header.Set("Sec-Fetch-Dest", dest)
	r.Header.Set("Sec-Fetch-Site", site)
	return r
}

func TestVisitorGetsAKeyThatCountsAtOnceAndIsReadBack(t *testing.T) {
	m := middleware(t, anonymousConfig())
	first := visiting(m, withCookies(), nil)
	set := first.set(t)
	if set == nil || !uuid4.MatchString(set.Value) || first.key != set.Value {
		t.Fatalf("key %q, cookie %v", first.key, set)
	}
	if got, _ := first.got.Cookie("visitor"); got == nil || got.Value != set.Value {
		t.Errorf("next does not see the cookie: %q", first.got.Header["Cookie"])
	}
	want := &http.Cookie{
		Name: "visitor", Value: set.Value, Path: "/", MaxAge: 365 * 24 * 60 * 60, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Raw: set.Raw,
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Error(diff)
	}
	again := visiting(m, withCookies("visitor="+set.Value), nil)
	if again.key != set.Value || again.set(t) != nil {
		t.Errorf("the next time: key %q, cookie %v", again.key, again.set(t))
	}
	if diff := cmp.Diff(first.got.Header[flags.HeaderName], again.got.Header[flags.HeaderName]); diff != "" {
		t.Errorf("the next time, another decision: %s", diff)
	}
}

func TestEveryVisitorGetsAnotherKey(t *testing.T) {
	m := middleware(t, anonymousConfig())
	seen := map[string]bool{}
	for range 2000 {
		v := visiting(m, withCookies(), nil)
		if !uuid4.MatchString(v.key) || seen[v.key] {
			t.Fatalf("key %q, the %dth", v.key, len(seen)+1)
		}
		seen[v.key] = true
	}
}

func TestWhoGetsAnAnonymousKey(t *testing.T) {
	const fresh = "fresh"
	m := middleware(t, anonymousConfig())
	preflight := withCookies()
	preflight.Method = "OPTIONS"
	preflight.Header.Set("Origin", "https://a.example")
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	options := withCookies()
	options.Method = "OPTIONS"
	for _, tc := range []struct {
		rule string
		r    *http.Request
		want string // the targeting key
	}{
		{"no cookie at all", withCookies(), fresh},
		{"other cookies", withCookies("a=1; visitors=" + visitor), fresh},
		{"one of ours", withCookies("visitor=" + visitor), visitor},
		{"one of ours in quotes", withCookies(`a=1; visitor="` + visitor + `"`), visitor},
		{"a regular key counts", withCookies("uid=alice; visitor=" + visitor), "alice"},
		{"a regular key alone", withCookies("uid=alice"), "alice"},
		{"a regular key that is too long is none", withCookies("visitor=" + visitor + "; uid=" + strings.Repeat("x", 4096)), visitor},
		{"a regular key that is there twice is none", withCookies("uid=a; visitor=" + visitor + "; uid=b"), visitor},
		{"empty", withCookies("visitor="), fresh},
		{"bare", withCookies("visitor"), fresh},
		{"of another form", withCookies("visitor=admin"), fresh},
		{"too long", withCookies("visitor=" + visitor + "0"), fresh},
		{"4 KiB", withCookies("visitor=" + strings.Repeat("0", 4096)), fresh},
		{"a UUID in capitals", withCookies("visitor=" + strings.ToUpper(visitor)), fresh},
		{"a UUID of another version", withCookies("visitor=0a1b2c3d-4e5f-7a6b-8c7d-9e0f1a2b3c4d"), fresh},
		{"a UUID of another variant", withCookies("visitor=0a1b2c3d-4e5f-4a6b-cc7d-9e0f1a2b3c4d"), fresh},
		{"a UUID without hyphens", withCookies("visitor=0a1b2c3d04e5f04a6b08c7d09e0f1a2b3c4d"), fresh},
		{"bytes that parsers disagree on", withCookies("visitor=a b,c"), fresh},
		{"a name in other letter case is another's", withCookies("Visitor=" + otherVisitor), fresh},
		{"two of ours", withCookies("visitor=" + visitor + "; visitor=" + otherVisitor), ""},
		{"the same twice", withCookies("visitor=" + visitor + "; visitor=" + visitor), ""},
		{"two lines", withCookies("visitor="+visitor, "visitor="+otherVisitor), ""},
		{"ours and one in other letter case", withCookies("visitor=" + visitor + "; Visitor=" + otherVisitor), ""},
		{"ours and one percent-encoded", withCookies("%76isitor=" + otherVisitor + "; visitor=" + visitor), ""},
		{"ours behind a quote left open", withCookies(`a="1; visitor=` + visitor), ""},
		{"a CORS preflight", preflight, ""},
		{"OPTIONS that is none", options, fresh},
		{"a page", fetching("document", "none"), fresh},
		{"a page that another site links to", fetching("document", "cross-site"), fresh},
		{"what a script fetches", fetching("empty", "same-origin"), fresh},
		{"a WebSocket", fetching("websocket", "same-site"), fresh},
		{"a frame", fetching("iframe", "same-origin"), fresh},
		{"a frame in another site's page", fetching("iframe", "cross-site"), ""},
		{"what another site's script fetches", fetching("empty", "cross-site"), ""},
		{"a script", fetching("script", "same-origin"), ""},
		{"a font, fetched without cookies", fetching("font", "same-origin"), ""},
		{"an image", fetching("image", "cross-site"), ""},
		{"a destination that is not known", fetching("hologram", "same-origin"), ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			v := visiting(m, tc.r, nil)
			set := v.set(t)
			if tc.want != fresh {
				if v.key != tc.want || set != nil {
					t.Errorf("key %q, want %q; cookie %v", v.key, tc.want, set)
				}
				return
			}
			if set == nil || v.key != set.Value || !uuid4.MatchString(v.key) {
				t.Errorf("key %q, cookie %v", v.key, set)
			}
		})
	}
}

// A browser that keeps what it is given gets at most one cookie, whatever it had:
// either it is read back from then on, or there is none any more.
func TestNoBrowserGetsACookieAgainAndAgain(t *testing.T) {
	m := middleware(t, anonymousConfig())
	for _, jar := range [][]string{
		nil, {"visitor=bad"}, {"Visitor=x"}, {"%76isitor=x"}, {`a="1`}, {`a="visitor=1`}, {"a=1, visitor=2"}, {"visitor=a b"},
	} {
		// The browser sends the cookie of ours behind the ones it had; one of
		// the same host, name and path takes the place of the old.
		send := func(ours string) *visit {
			kept := slices.Clone(jar)
			if ours != "" {
				kept = append(slices.DeleteFunc(kept, func(c string) bool { return strings.HasPrefix(c, "visitor=") }), "visitor="+ours)
			}
			if len(kept) == 0 {
				return visiting(m, withCookies(), nil)
			}
			return visiting(m, withCookies(strings.Join(kept, "; ")), nil)
		}
		ours := ""
		if set := send("").set(t); set != nil {
			ours = set.Value
		}
		for range 2 {
			v := send(ours)
			if v.set(t) != nil || v.key != "" && v.key != ours {
				t.Errorf("%q: key %q, another cookie %v", jar, v.key, v.set(t))
			}
		}
	}
}

func TestNoKeyIsMadeWhereNoFlagPicksByHash(t *testing.T) {
	for _, tc := range []struct {
		rule, definitions string
		want              bool
	}{
		{"between 0 and 100 %", "a: {rolloutPercentage: 0}\nb: {rolloutPercentage: 1}", true},
		{"everyone or nobody", "a: {rolloutPercentage: 100}\nb: {rolloutPercentage: 0}", false},
		{"lists know nobody anonymous", "a: {rolloutPercentage: 0, allowList: [alice]}", false},
		{"the kill switch", "a: {rolloutPercentage: 50, enabled: false}", false},
		{"an expiry gives everyone the same", "a: {rolloutPercentage: 100, expires: 2026-01-01, onExpiry: off}", false},
		{"variants", "a: {rolloutPercentage: 100, variants: [{name: red}, {name: blue}]}", true},
		{"one variant", "a: {rolloutPercentage: 100, variants: [{name: red}, {name: blue, weight: 0}]}", false},
		{"variants at 0 %", "a: {rolloutPercentage: 0, variants: [{name: red}, {name: blue}]}", false},
		{"variants at 0 % until a day", "a: {rolloutPercentage: 0, expires: 2090-01-01, onExpiry: on, variants: [{name: red}, {name: blue}]}", true},
	} {
		m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Client = client(t, tc.definitions) }))
		for range 2 {
			if v := visiting(m, withCookies(), nil); (v.set(t) != nil) != tc.want || (v.key != "") != tc.want {
				t.Errorf("%s: cookie %v, key %q", tc.rule, v.set(t), v.key)
			}
		}
	}
}

func TestNewDefinitionsDecideAnewWhetherKeysAreMade(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 0}")
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Client = s.client(t, flags.Config{}) }))
	if v := visiting(m, withCookies(), nil); v.set(t) != nil {
		t.Errorf("at 0 %%: cookie %v", v.set(t))
	}
	s.deliver(t, "a: {rolloutPercentage: 50}")
	if v := visiting(m, withCookies(), nil); v.set(t) == nil {
		t.Error("at 50 %: no cookie")
	}
}

func TestFreshCookieStandsAmongTheVisitorsOwn(t *testing.T) {
	m := middleware(t, anonymousConfig())
	for _, tc := range []struct {
		rule         string
		sent, behind []string // KEY stands for the new key
	}{
		{"none", nil, []string{"visitor=KEY"}},
		{"others stay", []string{"a=1; b=2"}, []string{"a=1; b=2; visitor=KEY"}},
		{"a bad one goes", []string{"visitor=bad; a=1"}, []string{"a=1; visitor=KEY"}},
		{"a bad one in the middle goes", []string{"a=1; visitor=bad; b=2"}, []string{"a=1; b=2; visitor=KEY"}},
		{"a bad one alone goes", []string{"visitor=bad"}, []string{"visitor=KEY"}},
		{"lines stay apart", []string{"a=1", "b=2"}, []string{"a=1", "b=2; visitor=KEY"}},
		{"a line of its own goes", []string{"a=1", "visitor=bad"}, []string{"a=1; visitor=KEY"}},
	} {
		for _, inPlace := range []bool{false, true} {
			m := m
			if inPlace {
				m = middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.InPlace = true }))
			}
			r := withCookies(tc.sent...)
			before := r.Header.Clone()
			v := visiting(m, r, nil)
			want := slices.Clone(tc.behind)
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], "KEY", v.key)
			}
			if diff := cmp.Diff(want, v.got.Header["Cookie"]); diff != "" {
				t.Errorf("%s, in place %t: %s", tc.rule, inPlace, diff)
			}
			if diff := cmp.Diff(before, r.Header); diff != "" && !inPlace {
				t.Errorf("%s: the caller's request was changed: %s", tc.rule, diff)
			}
			if got, ok := httpx.LoneCookie(v.got, "visitor"); len(tc.behind) == 1 && (!ok || got != v.key) {
				t.Errorf("%s: what next got is read as %q, %t", tc.rule, got, ok)
			}
		}
	}
}

func TestCookieIsSecureWhereTheBrowserCameByHTTPS(t *testing.T) {
	behind, err := flags.ForwardedHTTPS([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule, name string
		https      func(*http.Request) bool
		peer       string
		header     http.Header
		tls, want  bool
	}{
		{"plain", "v", nil, "10.0.0.1:1", nil, false, false},
		{"TLS", "v", nil, "10.0.0.1:1", nil, true, true},
		{"without HTTPS, no header counts", "v", nil, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, false, false},
		{"TLS behind proxies", "v", behind, "192.0.2.1:1", nil, true, true},
		{"a trusted proxy says https", "v", behind, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, false, true},
		{"in other letter case", "v", behind, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"HTTPS"}}, false, true},
		{"a chain: the first hop", "v", behind, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"https, http"}}, false, true},
		{"a trusted proxy says http", "v", behind, "10.0.0.1:1", http.Header{"X-Forwarded-Proto": {"http"}, "Forwarded": {"proto=https"}}, false, false},
		{"anyone says https", "v", behind, "192.0.2.1:1", http.Header{"X-Forwarded-Proto": {"https"}}, false, false},
		{"Forwarded", "v", behind, "10.0.0.1:1", http.Header{"Forwarded": {"for=192.0.2.1;proto=http, for=10.0.0.2;proto=https"}}, false, true},
		{"Forwarded that says nothing", "v", behind, "10.0.0.1:1", http.Header{"Forwarded": {"for=10.0.0.2"}}, false, false},
		{"__Host- is always secure", "__Host-v", nil, "192.0.2.1:1", nil, false, true},
		{"in any letter case", "__hOST-v", nil, "192.0.2.1:1", nil, false, true},
		{"__Secure- too", "__Secure-v", nil, "192.0.2.1:1", nil, false, true},
	} {
		m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) {
			cfg.Anonymous = &flags.AnonymousCookie{Name: tc.name, HTTPS: tc.https}
		}))
		r := withCookies()
		r.RemoteAddr = tc.peer
		maps.Copy(r.Header, tc.header)
		if tc.tls {
			r.TLS = new(tls.ConnectionState)
		}
		cookies := visiting(m, r, nil).answer.Cookies()
		if len(cookies) != 1 || cookies[0].Secure != tc.want || cookies[0].Name != tc.name || cookies[0].Domain != "" || cookies[0].Path != "/" {
			t.Errorf("%s: %v, want Secure %t", tc.rule, cookies, tc.want)
		}
	}
	if _, err := flags.ForwardedHTTPS([]string{"everyone"}); err == nil {
		t.Error("proxies that are none: no error")
	}
}

func TestMaxAgeOfTheCookie(t *testing.T) {
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) {
		cfg.Anonymous.MaxAge = 90*time.Minute + time.Millisecond
	}))
	if set := visiting(m, withCookies(), nil).set(t); set == nil || set.MaxAge != 5400 {
		t.Errorf("%v", set)
	}
}

func TestEveryProblemOfAnAnonymousCookieIsReported(t *testing.T) {
	for _, tc := range []struct {
		cookie flags.AnonymousCookie
		want   []string
	}{
		{flags.AnonymousCookie{}, []string{"flags: Anonymous.Name: is required"}},
		{
			flags.AnonymousCookie{Name: "a b", MaxAge: time.Millisecond},
			[]string{`flags: Anonymous.Name: "a b": is not the name of a cookie`, `flags: Anonymous.MaxAge: "1ms": must be at least one second`},
		},
		{flags.AnonymousCookie{Name: strings.Repeat("x", 129), MaxAge: -time.Hour}, []string{"Anonymous.Name", `"-1h0m0s"`}},
	} {
		_, err := flags.NewMiddleware(anonymousConfig(func(cfg *flags.MiddlewareConfig) {
			cfg.Client, cfg.Anonymous = client(t, middlewareDefinitions), &tc.cookie
		}))
		wantError(t, err, tc.want...)
	}
}

func TestClosedGateGivesTheKeyItDecidedBy(t *testing.T) {
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) {
		cfg.Gates = []flags.Gate{{Flag: "half", Paths: []string{"/"}}}
	}))
	for range 100 {
		v := visiting(m, withCookies(), nil)
		if v.got != nil {
			continue // open for this one
		}
		set := v.set(t)
		if set == nil || v.answer.StatusCode != 404 || v.answer.Header.Get("Cache-Control") != "no-store" || v.answer.Header.Get("Vary") != "Cookie" {
			t.Fatalf("%d, %v", v.answer.StatusCode, v.answer.Header)
		}
		if again := visiting(m, withCookies("visitor="+set.Value), nil); again.got != nil || again.set(t) != nil {
			t.Error("the next time, another decision, or another cookie")
		}
		return
	}
	t.Error("closed for none of 100 visitors")
}

// FuzzAnonymousCookie holds that a key is either of our form or none, and that
// a browser with any cookies gets at most one.
func FuzzAnonymousCookie(f *testing.F) {
	for _, s := range []string{"", "visitor=" + visitor, "visitor=bad", `a="; visitor=` + visitor, "VISITOR=1; visitor=2", "visitor,visitor=", "%76isitor=1", ";;=;"} {
		f.Add(s)
	}
	c, err := flags.New(f.Context(), flags.Config{Source: flags.Static("flags.yaml", []byte(middlewareDefinitions))})
	if err != nil {
		f.Fatal(err)
	}
	m, err := flags.NewMiddleware(anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Client, cfg.TargetingKey = c, nil }))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		first := visiting(m, withCookies(line), nil)
		if first.key != "" && !uuid4.MatchString(first.key) {
			t.Fatalf("%q: key %q", line, first.key)
		}
		if first.set(t) == nil {
			return
		}
		second := visiting(m, withCookies(first.got.Header["Cookie"]...), nil)
		if second.set(t) != nil || second.key != "" && second.key != first.key {
			t.Fatalf("%q: then %q: key %q, cookie %v", line, first.got.Header["Cookie"], second.key, second.set(t))
		}
	})
}

func TestVisitorsAreServedWhileDefinitionsChange(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 50}")
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Client = s.client(t, flags.Config{}) }))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				first := visiting(m, withCookies(), nil)
				if set := first.set(t); (set == nil) != (first.key == "") || set != nil && set.Value != first.key {
					t.Errorf("key %q, cookie %v", first.key, set)
				}
			}
		})
	}
	for i := range 50 {
		s.deliver(t, []string{"a: {rolloutPercentage: 100}", "a: {rolloutPercentage: 50}"}[i%2])
	}
	wg.Wait()
}

func BenchmarkVisitor(b *testing.B) {
	c := client(b, "a: {rolloutPercentage: 25}")
	for _, bb := range []struct {
		name, cookie string
		anonymous    *flags.AnonymousCookie
	}{
		{"off", "theme=dark", nil},
		{"fresh", "theme=dark", &flags.AnonymousCookie{Name: "visitor"}},
		{"known", "theme=dark; visitor=" + visitor, &flags.AnonymousCookie{Name: "visitor"}},
		{"user", "theme=dark; uid=alice", &flags.AnonymousCookie{Name: "visitor"}},
	} {
		m, err := flags.NewMiddleware(flags.MiddlewareConfig{
			Client: c, TargetingKey: flags.CookieKey("uid"), Vary: "Cookie", Anonymous: bb.anonymous, Inject: true, InPlace: true, Settled: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			flags.SettleHeader(r.Context(), 200, http.Header{"Cache-Control": {"public"}})
		}))
		original, w := withCookies(bb.cookie), httptest.NewRecorder()
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			var r http.Request
			for b.Loop() {
				r = *original
				r.Header = http.Header{"Cookie": {bb.cookie}}
				h.ServeHTTP(w, &r)
			}
		})
	}
}
