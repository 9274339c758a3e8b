package route_test

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/route"
)

func set(tb testing.TB, exact bool, patterns ...string) *route.Set {
	tb.Helper()
	s, err := route.Compile(patterns, exact)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// parsed is the URL of a request line, as net/http parses it.
func parsed(tb testing.TB, target string) *url.URL {
	tb.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

type matchCase struct {
	pattern string
	in, out string // paths that match and that do not, by blanks
}

func checkMatch(t *testing.T, exact bool, tc matchCase) {
	t.Run(tc.pattern, func(t *testing.T) {
		s := set(t, exact, tc.pattern)
		for target := range strings.FieldsSeq(tc.in) {
			if !s.Match(parsed(t, target)) {
				t.Errorf("does not match %s", target)
			}
		}
		for target := range strings.FieldsSeq(tc.out) {
			if s.Match(parsed(t, target)) {
				t.Errorf("matches %s", target)
			}
		}
	})
}

func TestMatch(t *testing.T) {
	tests := []matchCase{
		{"/", "/ // /. /a/..", "/a /index.html"},
		{"/login",
			"/login /LOGIN /Login/ /login// /login;v=1 /login;/ /login;a;b/ /%6cogin //login /x/../login /./login /login/. /login?x=/other /login/;s=1 /login%3Bx",
			"/ /logi /login2 /xlogin /login/x /x/login /log/in /login%20 /login%3Fx /login.json"},
		{"/login/", "/login /login/ /LOGIN", "/login/x"},
		{"/login.*",
			"/login.json /login.x7 /LOGIN.Html/ /login.tar.gz /login. /login.;v /login.xml;v=1 /login.json;/ /login%2Ejson /login.%2A /login.é /x/../login.js /login.a%2Fb",
			"/login /login;.json /login.json/x /x/login.json /loginxjson /logi.n /login%252Ejson /login%3B.json"},
		{"/a/b.*/c", "/a/b.x/c /A/B./c/ /a/b.;v/c;v", "/a/b/c /a/b.x /a/b.x/d /b.x/c"},
		{"/**/a.*", "/a.b /x/a.b /a.b/a.c/", "/a /a.b/c /xa.b"},
		{"/*/**/a.*", "/x/a.b /x/y/a.", "/a.b"},
		{"/a.b.*", "/a.b. /a.b.c", "/a.b /a.c.b"},
		{"/%2A.*", "/*.x /%2A.", "/a.x"},
		{"/api/*/auth/verify",
			"/api/v1/auth/verify /API/V1/Auth/Verify/ /api/a%2Fb/auth/verify /api/%20/auth/verify /api/;x/auth/verify /api/v1;x/auth;y/verify;z",
			"/api/auth/verify /api/v1/v2/auth/verify /api/v1/auth /v1/auth/verify"},
		{"/users/{id}", "/users/7 /users/7/ /users/.. /users/a%2Fb /users/;x", "/users /users/ /users/7/orders"},
		{"/auth/**", "/auth /auth/ /auth/a /auth/a/b/c/ /AUTH/x /auth;x/y", "/ /authx /x/auth"},
		{"/**", "/ /a /a/b/c/", ""},
		{"/**/login", "/login /a/login /a/b/c/login/ /login/login", "/ /login/x /a/logins"},
		{"/a/**/b/**/c", "/a/b/c /a/x/b/c /a/b/x/c /a/x/y/b/z/c /a/b/b/c/c /a/c/b/c", "/a/c /a/b /a/c/b /a/b/c/d"},
		{"/**/a/*/**/b", "/a/x/b /a/b/b /x/a/y/z/b /a/a/b/b", "/a/b /a/x /b"},
		{"/**/**", "/ /a /a/b", ""},
		{"/*/**", "/a /a/b /a/", "/"},
		{"/*/*", "/a/b /a/b/", "/ /a /a/b/c"},
		{"/auth:login", "/auth:login /auth%3Alogin /AUTH%3alogin", "/auth"},
		{"/caf%c3%a9", "/caf%C3%A9 /CAF%c3%a9/", "/CAF%C3%89 /cafe"},
		{"/café", "/caf%C3%A9 /CAFé", "/CAFÉ"},
		{"/%FF", "/%FF /%ff", "/%EF%BF%BD /%FE"},
		{"/a%2Fb", "/a%2Fb /A%2fB", "/a/b /a%252Fb"},
		{"/100%25", "/100%25", "/100 /100%2525"},
		{"/x/login", "/x%2Flogin /x%2f%2Flogin /y%2F..%2Fx/login /x%2F.%2FLOGIN%2F", "/x%252Flogin"},
	}
	for _, tc := range tests {
		checkMatch(t, false, tc)
	}
}

func TestMatchExactly(t *testing.T) {
	tests := []matchCase{
		{"/", "/ //", "/a"},
		{"/login", "/login /%6cogin //login /x/../login", "/Login /login/ /login;x /login/;x /login%3Bx"},
		{"/login/", "/login/ /login// /login/.", "/login /login/x"},
		{"/Login.*", "/Login.json /Login. /Login.;x /Login.x;y /x/../Login.JSON /Login.a%2Fb", "/login.json /Login /Login.json/ /Login;.x"},
		{"/Login.*/", "/Login.json/ /Login./", "/Login.json /Login.json/x"},
		{"/login;v=1", "/login;v=1 /login%3Bv=1", "/login /login;v=2 /login;V=1"},
		{"/users/*", "/users/7 /users/;x", "/users/ /users/7/ /Users/7"},
		{"/users/*/", "/users/7/", "/users/7 /users/"},
		{"/auth/**", "/auth /auth/ /auth/a/", "/Auth"},
		{"/a%2Fb", "/a%2Fb", "/a/b"},
		{"/a/b/", "/a/b/ /a%2Fb/ /a%2Fb%2F", "/a%2Fb"},
	}
	for _, tc := range tests {
		checkMatch(t, true, tc)
	}
}

func TestFindReturnsTheFirstPatternAsWritten(t *testing.T) {
	s := set(t, false, "/Users/{id}/", "/users/me", "/**")
	for target, want := range map[string]string{"/users/me": "/Users/{id}/", "/users": "/**"} {
		if got, ok := s.Find(parsed(t, target)); !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", target, got, ok, want)
		}
	}
	for _, s := range []*route.Set{nil, {}, set(t, false)} {
		if got, ok := s.Find(parsed(t, "/")); ok || got != "" {
			t.Errorf("an empty set found %q", got)
		}
	}
}

// TestMatchWithoutClean covers services whose router takes a path as it
// stands, as many do: the handler's route must not run unmatched.
func TestMatchWithoutClean(t *testing.T) {
	tests := []struct {
		rule, pattern, target string
	}{
		{"a dot segment taken for a name", "/api/{tenant}/auth/verify", "/api/../auth/verify"},
		{"the same behind an escaped slash", "/api/{tenant}/auth/verify", "/api/..%2Fauth%2Fverify"},
		{"the same climbing above the root", "/files/{name}", "/files/x%2F..%2F..%2F..%2Flogin"},
		{"an empty segment taken for a name", "/api/{tenant}/auth/verify", "/api//auth/verify"},
		{"a path that Clean refuses, as its decoded form reads", "/login", "/../login"},
		{"a path that Clean refuses, as it stands", "/{name}/login", "/../login"},
		{"a control byte in a name", "/users/{id}", "/users/%00"},
		{"a backslash in a name", "/users/{id}", "/users/a%5cb"},
		{"parameters for a name", "/users/{id}/x", "/users/;v/x"},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			if !set(t, false, tc.pattern).Match(parsed(t, tc.target)) {
				t.Errorf("%s does not match %s", tc.pattern, tc.target)
			}
		})
	}
	// http.StripPrefix leaves paths without their slash.
	for _, p := range []string{"login", "", "x/../login", "*", "%", "../login"} {
		u := &url.URL{Path: p}
		if got, want := set(t, false, "/login").Match(u), strings.HasSuffix(p, "login"); got != want {
			t.Errorf("path %q: match %v, want %v", p, got, want)
		}
	}
	if !set(t, false, "/").Match(&url.URL{}) {
		t.Error("the empty path of http://host is not the root")
	}
}

func TestCompileReportsEveryBadPattern(t *testing.T) {
	bad := []string{
		"", "login", "*", "http://x/login", "/a?b", "/a#b", "//", "/a//b", "/a/./b", "/../a", "/%2e%2E/a", "/.", "/a%", "/%zz",
		"/a*", "/*a", "/***", "/.*", "/..*", "/...*", "/*.*", "/**.*", "/{a}.*", "/a*.*", "/a.*.*", "/a.**", "/a.*b", "/a;b.*", "/a%.*", "/%2E.*", "/{}", "/{a", "/a}", "/{a}{b}", "/{*}", "/a/{b}c", "/login;v=1", "/login%3Bv", `/a\b`, "/a%5Cb", "/a%00", "/a\nb",
	}
	_, err := route.Compile(append([]string{"/good"}, bad...), false)
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		pe, ok := errors.AsType[*route.PatternError](e)
		if !ok || pe.Reason == "" {
			t.Errorf("%v is no *PatternError with a reason", e)
			continue
		}
		got = append(got, pe.Pattern)
	}
	if strings.Join(got, "\x00") != strings.Join(bad, "\x00") {
		t.Errorf("bad are %q, want %q", got, bad)
	}
	for _, pattern := range []string{"/a//b", "/a//", "//", "/.", "/a\\b"} {
		if _, err := route.Compile([]string{pattern}, true); err == nil {
			t.Errorf("an exact %q compiles", pattern)
		}
	}
}

func TestMatchDoesNotAllocateForACleanPath(t *testing.T) {
	s := set(t, false, "/login", "/login.*", "/api/*/auth/verify", "/v2/**", "/users/{id}/orders")
	for _, target := range []string{"/login", "/login.JSON", "/API/v1/auth/verify/", "/v2/a/b/c", "/users/7/orders;x", "/nothing/of/this"} {
		u := parsed(t, target)
		if n := testing.AllocsPerRun(200, func() { matched = s.Match(u) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", target, n)
		}
	}
}

var matched bool

func BenchmarkMatch(b *testing.B) {
	credentials := []string{
		"/login", "/signin", "/sign-in", "/auth/login", "/auth/verify", "/api/login", "/api/auth/login", "/api/auth/verify",
		"/api/auth/callback/credentials", "/api/*/auth/login", "/api/*/auth/verify",
	}
	stars := []string{strings.Repeat("/**/a", 50) + "/b"}
	for _, tc := range []struct {
		name     string
		patterns []string
		target   string
	}{
		{"hit", credentials, "/login"},
		{"miss", credentials, "/api/v1/users/7/orders"},
		{"miss/capitals", credentials, "/api/v1/Users/7/orders"},
		{"escaped-slash", credentials, "/api/v1%2Fauth/x"},
		{"adversarial-stars", stars, strings.Repeat("/a", 10_000)},
		{"adversarial-escaped-slashes", stars, "/a" + strings.Repeat("%2Fa", 10_000)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			s, u := set(b, false, tc.patterns...), parsed(b, tc.target)
			b.ReportAllocs()
			for b.Loop() {
				matched = s.Match(u)
			}
		})
	}
}

// byTheBook is a pattern as a regular expression over a decoded path in lower
// case, without parameters.
func byTheBook(pattern string) *regexp.Regexp {
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimPrefix(strings.TrimSuffix(pattern, "/"), "/"), "/") {
		name, suffixed := strings.CutSuffix(segment, ".*")
		switch {
		case segment == "":
		case segment == "**":
			b.WriteString("(/[^/]+)*")
		case segment == "*":
			b.WriteString("/[^/]+")
		case suffixed:
			b.WriteString("/" + regexp.QuoteMeta(strings.ToLower(name)) + `\.[^/]*`)
		default:
			b.WriteString("/" + regexp.QuoteMeta(strings.ToLower(segment)))
		}
	}
	return regexp.MustCompile("^" + b.String() + "/?$")
}

func TestFindAgreesWithTheBook(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	join := func(pieces []string) string {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteString("/" + pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	plain := strings.NewReplacer("%61", "a", "%2E", ".", ";x=A", "", "A", "a", "B", "b")
	found := 0
	for range 20_000 {
		patterns := make([]string, 1+rng.IntN(4))
		for i := range patterns {
			patterns[i] = join([]string{"a", "A", "b", "ab", "*", "**", "a.*", "A.B.*"})
		}
		path := join([]string{"a", "b", "ab", "A", "aB", "%61", "%61b", "a;x=A", "c", "a.b", "A.", "a.B.c", "a.;x=A", "a%2Eb"})
		if rng.IntN(4) == 0 {
			path += "/"
		}
		want := ""
		for _, p := range patterns {
			if byTheBook(p).MatchString(plain.Replace(path)) {
				want = p
				break
			}
		}
		got, ok := set(t, false, patterns...).Find(parsed(t, path))
		if got != want || ok != (want != "") {
			t.Fatalf("%q in %q: got %q, want %q", path, patterns, got, want)
		}
		if ok {
			found++
		}
	}
	if found < 2000 || found > 18_000 {
		t.Errorf("%d of 20000 paths matched: that shows too little", found)
	}
}
