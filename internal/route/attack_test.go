package route_test

import (
	"math/rand/v2"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/route"
)

// through cleans a request target as the sidecar does before its rules see it.
func through(u *url.URL, keepSlash bool) (*url.URL, error) {
	cleaned, err := route.Clean(u.EscapedPath(), keepSlash)
	if err != nil {
		return nil, err
	}
	decoded, err := url.PathUnescape(cleaned)
	if err != nil {
		return nil, err
	}
	return &url.URL{Path: decoded, RawPath: cleaned}, nil
}

// TestNoSpellingOfLoginPassesUnmatched lists how requests have reached a login
// handler past a rule for /login. Each must be refused or match.
func TestNoSpellingOfLoginPassesUnmatched(t *testing.T) {
	spellings := map[string]string{
		"Express, IIS: case":                       "/LoGiN /%4cOGIN",
		"Express, Rails, Spring: trailing slashes": "/login/ /login// /login/. /login/./ /login/x/..",
		"Rails, nginx, WSGI: merged slashes":       "//login ///login/// /.//login",
		"all: escapes":                             "/%6c%6f%67%69%6e /%6C%6Fgin /%2flogin /login%2f /x%2f..%2flogin",
		"all: dot segments":                        "/./login /x/../login /%2e/login /x/%2e%2e/login /x/.%2E/login /../login",
		"nginx, Node: backslashes":                 "/x\\..\\login /\\login /%5clogin /x/..%5clogin",
		"Tomcat, Jetty, Spring: parameters":        "/login;x /login;jsessionid=1/ /login;/ /;x/login /;/login /x/;/../login /login/;x /login/;/ /;x;y/login;z",
		"Tomcat: dots with parameters":             "/x/..;/login /x/..;a=b/login /..;/login /.;/login /x/%2e%2e;/login /x/..%3b/login",
		"Spring, servers that decode first":        "/login%3bx /login%3B /%3b/login /login/%3b",
		"CGI, PHP: NUL":                            "/login%00 /login%00.css /%00/login",
		"Django, regular expressions: line ends":   "/login%0a /login%0d /login%0d%0a /login%09",
		"Python urlsplit, Node URL: stripped tabs": "/lo%09gin /lo%0agin /%09/login",
		"IIS: escapes of another kind":             "/%u006cogin /x%u002f..%u002flogin /login%",
		"Go, Python: a host for a path":            "//evil/../login //evil//../login",
		"several at once":                          "/%2e//x;/%2E%2e/./LOGIN;v//",
	}
	for who, targets := range spellings {
		for target := range strings.FieldsSeq(targets) {
			u, err := url.ParseRequestURI(target)
			if err != nil {
				continue // net/http answers 400
			}
			for _, keep := range []bool{false, true} {
				if u, err := through(u, keep); err == nil && !set(t, false, "/login").Match(u) {
					t.Errorf("%s: %s goes on as %s, unmatched", who, target, u.EscapedPath())
				}
			}
		}
	}
}

// TestSpellingsThatNeedARuleOfTheirOwn fixes what a pattern does not cover, as
// its documentation says: other paths, which some servers give to the same
// handler.
func TestSpellingsThatNeedARuleOfTheirOwn(t *testing.T) {
	for target, pattern := range map[string]string{
		"/login.json":          "/login.json",       // Rails' (.:format), Spring's suffixes before 5.3
		"/login.x7":            "/login.*",          // the same with any suffix
		"/login.php/x":         "/login.php/**",     // path info of PHP and CGI
		"/index.php/login":     "/index.php/login",  // front controllers of PHP
		"/login%20":            "/login%20",         // Windows' file names, matchers that trim
		"/login.":              "/login.",           // Windows' file names
		"/(S(x))/login":        "/*/login",          // sessions in paths, ASP.NET before Core
		"/%256cogin":           "/%256cogin",        // servers that decode twice
		"/lo%C4%B1gin":         "/lo%C4%B1gin",      // Unicode case folding
		"/x/%C0%AE%C0%AE/y":    "/x/%C0%AE%C0%AE/y", // decoders of overlong UTF-8
		"/en/login":            "/**/login",         // prefixes of languages and mounts
		"/login/anything/else": "/login/**",
	} {
		u, err := through(parsed(t, target), false)
		if err != nil {
			t.Errorf("%s is refused: %v", target, err)
			continue
		}
		if set(t, false, "/login").Match(u) {
			t.Errorf("%s matches /login; say so in the documentation of Compile", target)
		}
		if !set(t, false, pattern).Match(u) {
			t.Errorf("%s does not match %s either", target, pattern)
		}
	}
}

// upstreams are models of how servers read a path before they look for its
// handler. Each returns "" for a path that it would refuse.
var upstreams = map[string]func(escaped string) string{
	"as it stands, one slash optional (Express)": func(p string) string { return strings.TrimSuffix(p, "/") },
	"squeezed, then decoded (Rails)": func(p string) string {
		return unescape(strings.TrimSuffix(squeeze(p), "/"))
	},
	"decoded (WSGI, PHP)":          func(p string) string { return strings.TrimSuffix(unescape(p), "/") },
	"decoded and resolved (nginx)": func(p string) string { return resolved(unescape(p)) },
	"parameters dropped, decoded, resolved (Tomcat)": func(p string) string {
		return resolved(unescape(withoutParams(p)))
	},
	"decoded, parameters dropped, resolved": func(p string) string { return resolved(withoutParams(unescape(p))) },
	"resolved, parameters dropped, decoded, resolved": func(p string) string {
		return resolved(unescape(withoutParams(resolved(p))))
	},
	"backslashes are slashes (Node URL, IIS)": func(p string) string {
		return resolved(strings.ReplaceAll(unescape(p), `\`, "/"))
	},
	"ended by NUL or a line (CGI, regular expressions)": func(p string) string {
		p = unescape(p)
		if i := strings.IndexAny(p, "\x00\r\n"); i >= 0 {
			p = p[:i]
		}
		return resolved(p)
	},
}

func unescape(p string) string {
	out, err := url.PathUnescape(p)
	if err != nil {
		return ""
	}
	return out
}

func squeeze(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

func resolved(p string) string {
	if p == "" {
		return ""
	}
	return path.Clean("/" + p)
}

func withoutParams(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// protected is a rule and what it is about: the paths, read by a server.
type protected struct {
	set  *route.Set
	path *regexp.Regexp
}

func rules(tb testing.TB) []protected {
	tb.Helper()
	return []protected{
		{set(tb, false, "/login"), regexp.MustCompile(`(?i)^/login$`)},
		{set(tb, false, "/api/*/auth/verify"), regexp.MustCompile(`(?i)^/api/[^/]+/auth/verify$`)},
		{set(tb, false, "/auth/**"), regexp.MustCompile(`(?i)^/auth(/.*)?$`)},
		{set(tb, false, "/**/login"), regexp.MustCompile(`(?i)^(/.*)?/login$`)},
		{set(tb, false, "/login.*"), regexp.MustCompile(`(?i)^/login\.[^/]*$`)},
	}
}

// reachesUnmatched fails when an upstream reads a forwarded path as one that a
// rule is about while the rule does not match. It reports whether any upstream
// did read it so.
func reachesUnmatched(t *testing.T, rules []protected, target string) (reached bool) {
	t.Helper()
	in, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	for _, keep := range []bool{false, true} {
		u, err := through(in, keep)
		if err != nil {
			continue
		}
		for name, read := range upstreams {
			got := read(u.EscapedPath())
			for _, rule := range rules {
				if !rule.path.MatchString(got) {
					continue
				}
				reached = true
				if !rule.set.Match(u) {
					t.Fatalf("%q goes on as %q and is %q for a server that reads it %s, but no rule for %s matches",
						target, u.EscapedPath(), got, name, rule.path)
				}
			}
		}
	}
	return reached
}

func TestWhatAnUpstreamReadsAsProtectedMatches(t *testing.T) {
	rules := rules(t)
	bases := []string{"/login", "/login.json", "/api/v1/auth/verify", "/auth/x/y", "/a/b/login", "/"}
	pieces := []string{
		"/", "/", "//", "login", "LOGIN", "%6cogin", "x", ".", "..", "/..", "/x/..", "%2e", "%2E%2e", ";", ";x", ";x=/", "%3b", "%2f", "%2F", ".x", "%2ex",
		"%2F..%2f", "%252f", "%5c", "%00", "%0a", "%20", "%25", "a%2Fb", "/;x%2f", "é",
	}
	rng := rand.New(rand.NewPCG(7, 8))
	reached := 0
	for range 40_000 {
		target := bases[rng.IntN(len(bases))]
		for range rng.IntN(5) {
			at := 1 + rng.IntN(len(target))
			target = target[:at] + pieces[rng.IntN(len(pieces))] + target[at:]
		}
		if reachesUnmatched(t, rules, target) {
			reached++
		}
	}
	if reached < 2_000 {
		t.Errorf("only %d targets reached a protected path: the test shows little", reached)
	}
}

func FuzzWhatAnUpstreamReadsAsProtectedMatches(f *testing.F) {
	for _, target := range []string{
		"/login", "/%6cogin/;x", "/x%2F..%2Flogin", "/x;%2F../login", "/;%2Flogin", "/login%3b%2F.", "/a/..%2f/login",
		"/%2Flogin;x%2E%2e%2F%6cogin", "/api/v%2f1;x/auth/verify", "/auth%2f..;/x",
		"/login.x;y", "/x/..%2flogin%2Ex", "/login.;/",
	} {
		f.Add(target)
	}
	rules := rules(f)
	f.Fuzz(func(t *testing.T, target string) { reachesUnmatched(t, rules, target) })
}
