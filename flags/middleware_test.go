package flags_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/clientip"
)

const middlewareDefinitions = `
half: {rolloutPercentage: 50, salt: ""}
all: {rolloutPercentage: 100}
none: {rolloutPercentage: 0}
some: {rolloutPercentage: 100, denyList: [eve]}
secret: {rolloutPercentage: 100, inject: false}
`

// Targeting keys inside and outside of half: buckets 49,999 and 50,000.
const inHalf, outOfHalf = "SI7p-", "6LvT0"

func middleware(t *testing.T, cfg flags.MiddlewareConfig) *flags.Middleware {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = client(t, middlewareDefinitions)
	}
	m, err := flags.NewMiddleware(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// serve returns the answer and the request that next got, nil when it got none.
func serve(m *flags.Middleware, r *http.Request) (*httptest.ResponseRecorder, *http.Request) {
	var got *http.Request
	w := httptest.NewRecorder()
	m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.WriteHeader(http.StatusOK)
	})).ServeHTTP(w, r)
	return w, got
}

func request(method, path, cookie string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "uid", Value: cookie})
	}
	return r
}

func TestInjectedHeaderHoldsTheFlagsThatAreOn(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{TargetingKey: flags.CookieKey("uid"), Inject: true})
	for _, tc := range []struct{ name, cookie, want string }{
		{"in the rollout", inHalf, `"all", "half", "some"`},
		{"out of the rollout", outOfHalf, `"all", "some"`},
		{"denied", "eve", `"all"`},
		{"nobody known", "", `"all", "some"`},
		{"a key that is too long counts as none", strings.Repeat("x", flags.MaxTargetingKeyBytes+1), `"all", "some"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got := serve(m, request("GET", "/", tc.cookie))
			if diff := cmp.Diff([]string{tc.want}, got.Header[flags.HeaderName]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoFlagOnMeansNoHeader(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{Client: client(t, "none: {rolloutPercentage: 0}"), Inject: true})
	if _, got := serve(m, request("GET", "/", "")); got.Header[flags.HeaderName] != nil {
		t.Errorf("got %q", got.Header[flags.HeaderName])
	}
}

func TestForgedHeaderIsRemovedInEverySpelling(t *testing.T) {
	for _, inject := range []bool{false, true} {
		m := middleware(t, flags.MiddlewareConfig{Client: client(t, "none: {rolloutPercentage: 0}"), Inject: inject})
		r := request("GET", "/", "")
		for _, name := range []string{"Handrail-Flags", "handrail-flags", "Handrail_Flags", "HANDRAIL_flags"} {
			r.Header[name] = []string{`"none"`}
		}
		r.Header.Set("Handrail-Flagship", "stays")
		before := r.Header.Clone()
		_, got := serve(m, r)
		want := http.Header{"Handrail-Flagship": {"stays"}}
		if diff := cmp.Diff(want, got.Header); diff != "" {
			t.Errorf("inject %t: %s", inject, diff)
		}
		if diff := cmp.Diff(before, r.Header); diff != "" {
			t.Errorf("inject %t: the caller's request was changed: %s", inject, diff)
		}
	}
}

func TestInPlaceChangesTheRequestItself(t *testing.T) {
	for _, tc := range []struct {
		rule, definitions string
		inject            bool
		want              http.Header
	}{
		{"a flag is on", "on: {rolloutPercentage: 100}", true, http.Header{"Accept": {"x"}, "Handrail-Flags": {`"on"`}}},
		{"none is on", "off: {rolloutPercentage: 0}", true, http.Header{"Accept": {"x"}}},
		{"nothing is injected", "on: {rolloutPercentage: 100}", false, http.Header{"Accept": {"x"}}},
	} {
		m := middleware(t, flags.MiddlewareConfig{Client: client(t, tc.definitions), Inject: tc.inject, InPlace: true})
		r := request("GET", "/", "")
		for _, name := range []string{"Accept", "Handrail-Flags", "handrail-flags", "Handrail_Flags"} {
			r.Header[name] = []string{"x"}
		}
		_, got := serve(m, r)
		if diff := cmp.Diff(tc.want, got.Header); diff != "" {
			t.Errorf("%s: %s", tc.rule, diff)
		}
		if diff := cmp.Diff(tc.want, r.Header); diff != "" {
			t.Errorf("%s: the caller's map: %s", tc.rule, diff)
		}
		if got != r || flags.FromContext(r.Context()) == nil {
			t.Errorf("%s: next got another request", tc.rule)
		}
	}
	m := middleware(t, flags.MiddlewareConfig{Inject: true, InPlace: true})
	if _, got := serve(m, &http.Request{}); got.Header.Get("Handrail-Flags") == "" {
		t.Error("a request without a map gets no header")
	}
}

func TestMiddlewareAllocations(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		cfg    flags.MiddlewareConfig
		cookie string
		max    float64
	}{
		{"the context with the request", flags.MiddlewareConfig{}, "uid=" + inHalf, 1},
		{"the context", flags.MiddlewareConfig{InPlace: true}, "uid=" + inHalf, 1},
		{"the context, the value of the header", flags.MiddlewareConfig{Inject: true, InPlace: true, Settled: true}, "uid=" + inHalf, 2},
		{"a writer lies beside the context", flags.MiddlewareConfig{Inject: true, InPlace: true}, "uid=" + inHalf, 2},
		{"and a header map", flags.MiddlewareConfig{Inject: true}, "uid=" + inHalf, 4},
		{"who has an anonymous key costs no more", flags.MiddlewareConfig{
			Inject: true, InPlace: true, Settled: true, Anonymous: &flags.AnonymousCookie{Name: "visitor"},
		}, "visitor=" + visitor, 2},
		{"nor does a user, where others get one", flags.MiddlewareConfig{
			Inject: true, InPlace: true, Settled: true, Anonymous: &flags.AnonymousCookie{Name: "visitor"},
		}, "uid=" + inHalf + "; visitor=" + visitor, 2},
	} {
		tc.cfg.TargetingKey, tc.cfg.Vary = flags.CookieKey("uid"), "Cookie"
		tc.cfg.Gates = []flags.Gate{{Flag: "all", Paths: []string{"/v2/**"}}}
		h := middleware(t, tc.cfg).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tc.cfg.Settled {
				flags.SettleHeader(r.Context(), 200, w.Header())
			}
		}))
		w, original := httptest.NewRecorder(), request("GET", "/v2/checkout", "")
		original.Header.Set("Cookie", tc.cookie)
		var r http.Request
		if n := testing.AllocsPerRun(200, func() { r = *original; h.ServeHTTP(w, &r) }); n > tc.max {
			t.Errorf("%s: %v allocations, want at most %v", tc.rule, n, tc.max)
		}
	}
}

func TestHeaderFollowsTheClock(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	c, err := flags.New(t.Context(), flags.Config{
		Source: flags.Static("flags.yaml", []byte("a: {rolloutPercentage: 100}\nb: {rolloutPercentage: 100, expires: 2026-01-31, onExpiry: off}\n")),
		Now:    func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"a", "b"`, `"a"`} {
		if header, _ := c.For("").AppendHeader(nil); string(header) != want {
			t.Errorf("at %v: %s, want %s", now, header, want)
		}
		now = now.Add(time.Second)
	}
}

func TestEvaluatorIsInTheContext(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{TargetingKey: flags.CookieKey("uid")})
	_, got := serve(m, request("GET", "/", inHalf))
	ctx := got.Context()
	if !flags.Enabled(ctx, "half") || flags.Enabled(ctx, "none") || flags.FromContext(ctx).TargetingKey() != inHalf {
		t.Error("the evaluator does not answer for the request")
	}
	if got.Header[flags.HeaderName] != nil {
		t.Error("a header without Inject")
	}
}

func TestHeaderEndsBeforeItIsTooLong(t *testing.T) {
	var b strings.Builder
	long := strings.Repeat("x", 250)
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ" {
		b.WriteString(string(c) + long + ": {rolloutPercentage: 100}\n")
	}
	b.WriteString("z: {rolloutPercentage: 100}\n") // would fit, but lies behind one that does not
	var events []flags.Event
	c, err := flags.New(t.Context(), flags.Config{
		Source:  flags.Static("flags.yaml", []byte(b.String())),
		OnEvent: func(e flags.Event) { events = append(events, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m := middleware(t, flags.MiddlewareConfig{Client: c, Inject: true})
	for range 3 {
		_, got := serve(m, request("GET", "/", ""))
		value := got.Header.Get(flags.HeaderName)
		if len(value) > flags.MaxHeaderBytes || len(value) < flags.MaxHeaderBytes-300 {
			t.Errorf("%d bytes", len(value))
		}
		members := listOfStrings(t, value)
		if diff := cmp.Diff(c.Set().Keys()[:len(members)], members); diff != "" {
			t.Error(diff)
		}
		if want := c.Set().Len() - len(members); len(events) != 2 || events[1].Kind != flags.EventHeaderTruncated || events[1].Dropped != want {
			t.Errorf("%d dropped, events %+v", want, events[1:])
		}
	}
}

// listOfStrings reads a list of strings by RFC 9651 section 4.2, strictly.
func listOfStrings(t *testing.T, s string) (members []string) {
	t.Helper()
	for rest := s; rest != ""; {
		body, ok := strings.CutPrefix(rest, `"`)
		if !ok {
			t.Fatalf("%q: a member does not start with a quote", s)
		}
		var member []byte
		i := 0
		for ; i < len(body) && body[i] != '"'; i++ {
			if body[i] == '\\' {
				i++
				if i == len(body) || body[i] != '"' && body[i] != '\\' {
					t.Fatalf("%q: bad escape", s)
				}
			} else if body[i] < 0x20 || body[i] > 0x7e {
				t.Fatalf("%q: byte %#x", s, body[i])
			}
			member = append(member, body[i])
		}
		if i == len(body) {
			t.Fatalf("%q: no closing quote", s)
		}
		members = append(members, string(member))
		if rest = body[i+1:]; rest == "" {
			break
		}
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), ","); !ok {
			t.Fatalf("%q: no comma", s)
		}
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			t.Fatalf("%q: trailing comma", s)
		}
	}
	return members
}

func FuzzAppendHeader(f *testing.F) {
	for _, s := range []string{ruleDefinitions, middlewareDefinitions, `"a\"b": {rolloutPercentage: 100}`, "a,b: {rolloutPercentage: 100}", "\"a\\r\\nX: y\": {rolloutPercentage: 100}"} {
		f.Add([]byte(s), "alice")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		c, err := flags.New(t.Context(), flags.Config{Source: flags.Static("flags.yaml", data)})
		if err != nil {
			return
		}
		var on []string
		for _, d := range c.EvaluateAll(key) {
			if def, _ := c.Set().Lookup(d.Key); d.On && def.Inject {
				on = append(on, d.Key)
			}
		}
		header, dropped := c.For(key).AppendHeader([]byte("kept"))
		value, found := strings.CutPrefix(string(header), "kept")
		if !found || len(value) > flags.MaxHeaderBytes {
			t.Fatalf("header of %d bytes", len(header))
		}
		if diff := cmp.Diff(on[:len(on)-dropped], listOfStrings(t, value)); diff != "" && len(on) > dropped {
			t.Fatal(diff)
		}
	})
}

func TestGate(t *testing.T) {
	gates := []flags.Gate{
		{Flag: "half", Paths: []string{"/v2/checkout/**"}},
		{Flag: "none", Paths: []string{"/beta", "/api/*/beta"}, Otherwise: 403},
		{Flag: "all", Paths: []string{"/open"}},
		{Flag: "no-such", Paths: []string{"/unknown"}, Otherwise: 503},
		{Flag: "none", Paths: []string{"/Exact"}, Exact: true, Otherwise: 418},
	}
	m := middleware(t, flags.MiddlewareConfig{TargetingKey: flags.CookieKey("uid"), Vary: "Cookie", Gates: gates})
	for _, tc := range []struct {
		name, path, cookie string
		status             int
		body, vary         string
	}{
		{"open for a user in the rollout", "/v2/checkout/cart", inHalf, 200, "", "Cookie"},
		{"closed for a user outside", "/v2/checkout/cart", outOfHalf, 404, `{"error":"not_found"}`, "Cookie"},
		{"closed for nobody known", "/v2/checkout/cart", "", 404, `{"error":"not_found"}`, "Cookie"},
		{"the root of ** is covered", "/v2/checkout", outOfHalf, 404, `{"error":"not_found"}`, "Cookie"},
		{"case does not slip by", "/V2/Checkout/", outOfHalf, 404, `{"error":"not_found"}`, "Cookie"},
		{"an escape does not slip by", "/v2/check%6fut/cart", outOfHalf, 404, `{"error":"not_found"}`, "Cookie"},
		{"dots do not slip by", "/v2/x/../checkout/cart", outOfHalf, 404, `{"error":"not_found"}`, "Cookie"},
		{"another path", "/v2/catalog", outOfHalf, 200, "", ""},
		{"its own status", "/beta", inHalf, 403, `{"error":"forbidden"}`, ""},
		{"one segment", "/api/7/beta", inHalf, 403, `{"error":"forbidden"}`, ""},
		{"open for everyone varies with nothing", "/open", "", 200, "", ""},
		{"an unknown flag is off", "/unknown", inHalf, 503, `{"error":"service_unavailable"}`, ""},
		{"exact", "/Exact", inHalf, 418, `{"error":"im_a_teapot"}`, ""},
		{"exact differs by case", "/exact", inHalf, 200, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, got := serve(m, request("GET", tc.path, tc.cookie))
			if w.Code != tc.status || strings.TrimSpace(w.Body.String()) != tc.body || w.Header().Get("Vary") != tc.vary {
				t.Errorf("%d %q, Vary %q", w.Code, w.Body, w.Header().Get("Vary"))
			}
			if (got != nil) != (tc.status == 200) {
				t.Error("next was called behind a closed gate, or not behind an open one")
			}
			if tc.status != 200 && w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", w.Header().Get("Cache-Control"))
			}
		})
	}
}

func TestGateWithoutNamedHeaderVariesWithEverything(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{
		TargetingKey: flags.CookieKey("uid"),
		Gates:        []flags.Gate{{Flag: "half", Paths: []string{"/a"}}, {Flag: "some", Paths: []string{"/a"}}},
	})
	w, _ := serve(m, request("GET", "/a", inHalf))
	if diff := cmp.Diff([]string{"*"}, w.Header()["Vary"]); diff != "" {
		t.Error(diff)
	}
}

func TestEveryGateOnAPathMustBeOpen(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{Gates: []flags.Gate{
		{Flag: "all", Paths: []string{"/a/**"}},
		{Flag: "none", Paths: []string{"/a/b"}, Otherwise: 410},
	}})
	for path, want := range map[string]int{"/a/b": 410, "/a/c": 200} {
		if w, _ := serve(m, request("GET", path, "")); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestPreflightPassesAGateThatNeedsAUser(t *testing.T) {
	m := middleware(t, flags.MiddlewareConfig{TargetingKey: flags.CookieKey("uid"), Gates: []flags.Gate{
		{Flag: "half", Paths: []string{"/half"}}, {Flag: "none", Paths: []string{"/none"}},
	}})
	preflight := func(path string) *http.Request {
		r := request("OPTIONS", path, "")
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		return r
	}
	for name, tc := range map[string]struct {
		r    *http.Request
		want int
	}{
		"preflight":               {preflight("/half"), 200},
		"preflight, flag at 0 %":  {preflight("/none"), 404},
		"OPTIONS alone":           {request("OPTIONS", "/half", ""), 404},
		"OPTIONS of an outsider":  {request("OPTIONS", "/half", outOfHalf), 404},
		"the request that follow": {request("POST", "/half", outOfHalf), 404},
	} {
		if w, _ := serve(m, tc.r); w.Code != tc.want {
			t.Errorf("%s: %d, want %d", name, w.Code, tc.want)
		}
	}
}

func TestNewMiddlewareReportsEveryProblem(t *testing.T) {
	_, err := flags.NewMiddleware(flags.MiddlewareConfig{
		Vary: "no header",
		Gates: []flags.Gate{
			{Flag: "fine", Paths: []string{"/a"}},
			{Flag: "", Paths: nil, Otherwise: 200},
			{Flag: "bad flag", Paths: []string{"/a", "b", "/c*"}, Otherwise: 401},
		},
	})
	wantError(t, err,
		"flags: Client: is required",
		`flags: Vary: "no header": is not the name of a header`,
		"flags: Gates[1].Flag: is not a flag's key",
		"flags: Gates[1].Paths: is required",
		`flags: Gates[1].Otherwise: "200": is not a status`,
		`flags: Gates[2].Flag: "bad flag": is not a flag's key`,
		"flags: Gates[2].Paths[1]: ", "flags: Gates[2].Paths[2]: ",
		`flags: Gates[2].Otherwise: "401": is not a status`)
	var config *flags.ConfigError
	if !errors.As(err, &config) || config.Field != "Client" {
		t.Errorf("errors.As found %+v", config)
	}
}

func TestHeaderKeyCountsOnlyFromATrustedPeer(t *testing.T) {
	key, err := flags.HeaderKey("x-user-id", []string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	identity := func(trusted bool) context.Context {
		return clientip.NewContext(context.Background(), clientip.Identity{Peer: netip.MustParseAddr("192.0.2.1"), PeerTrusted: trusted})
	}
	for _, tc := range []struct {
		name   string
		ctx    context.Context
		peer   string
		values []string
		want   string
	}{
		{"trusted peer", t.Context(), "10.1.2.3:999", []string{"alice"}, "alice"},
		{"untrusted peer", t.Context(), "192.0.2.1:999", []string{"alice"}, ""},
		{"sent twice", t.Context(), "10.1.2.3:999", []string{"alice", "eve"}, ""},
		{"not sent", t.Context(), "10.1.2.3:999", nil, ""},
		{"known identity, trusted", identity(true), "192.0.2.1:999", []string{"alice"}, "alice"},
		{"known identity, untrusted", identity(false), "10.1.2.3:999", []string{"alice"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(tc.ctx, "GET", "/", nil)
			r.RemoteAddr = tc.peer
			for _, v := range tc.values {
				r.Header.Add("X-User-Id", v)
			}
			if got := key(r); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	for _, bad := range []struct {
		name    string
		proxies []string
	}{{"no header", nil}, {"", nil}, {"X-User-Id", []string{"everyone"}}} {
		if _, err := flags.HeaderKey(bad.name, bad.proxies); err == nil {
			t.Errorf("%q, %q: no error", bad.name, bad.proxies)
		}
	}
	nobody, err := flags.HeaderKey("X-User-Id", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "127.0.0.1:999"
	r.Header.Set("X-User-Id", "alice")
	if got := nobody(r); got != "" {
		t.Errorf("without trusted proxies: %q", got)
	}
}
