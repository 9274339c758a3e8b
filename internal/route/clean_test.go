package route_test

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/route"
)

type cleanCase struct {
	rule string
	in   string
	want string
	err  error
}

func checkClean(t *testing.T, tc cleanCase, keepSlash bool) {
	t.Run(tc.rule, func(t *testing.T) {
		got, err := route.Clean(tc.in, keepSlash)
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || got != tc.want {
			t.Errorf("Clean(%q) = %q, %v; want %q, %v", tc.in, got, err, tc.want, tc.err)
		}
	})
}

func TestClean(t *testing.T) {
	tests := []cleanCase{
		{"the root", "/", "/", nil},
		{"a clean path stays", "/users/7/orders", "/users/7/orders", nil},
		{"a slash at the end stays", "/users/", "/users/", nil},
		{"case stays", "/Users/ÄB", "/Users/%C3%84B", nil},
		{"all that a segment may hold stays", "/-._~!$&'()*+,;=:@[]", "/-._~!$&'()*+,;=:@[]", nil},

		{"no path", "", "", route.ErrNotAbsolute},
		{"the asterisk of OPTIONS", "*", "", route.ErrNotAbsolute},
		{"a relative path", "login", "", route.ErrNotAbsolute},
		{"an absolute URL", "http://x/login", "", route.ErrNotAbsolute},

		{"slashes merge", "//login", "/login", nil},
		{"slashes merge anywhere", "/a///b////", "/a/b/", nil},
		{"slashes alone are the root", "///", "/", nil},

		{"unreserved escapes are decoded", "/%6c%6F%67in%2D%2e%5F%7e", "/login-._~", nil},
		{"others stay, in upper case", "/a%20b%3f%23%25%3b", "/a%20b%3F%23%25%3B", nil},
		{"reserved bytes keep the form they have", "/a%21!%40@%2b+", "/a%21!%40@%2B+", nil},
		{"what a path may not hold is escaped", "/a b\"<>^`{|}", "/a%20b%22%3C%3E%5E%60%7B%7C%7D", nil},
		{"so are question mark and hash", "/a?b#c", "/a%3Fb%23c", nil},
		{"non-ASCII is escaped", "/café", "/caf%C3%A9", nil},
		{"escaped non-ASCII is the same", "/caf%c3%a9", "/caf%C3%A9", nil},
		{"bytes that are no UTF-8 as well", "/\xff%fe", "/%FF%FE", nil},
		{"an escape is decoded once", "/%252e%252e/%256cogin", "/%252e%252e/%256cogin", nil},
		{"an escaped percent sign does not start an escape", "/%25%36%63", "/%256c", nil},

		{"a dot segment goes", "/./a/./b", "/a/b", nil},
		{"at the end it leaves the slash", "/a/.", "/a/", nil},
		{"two dots take the segment before", "/a/b/../c", "/a/c", nil},
		{"at the end they leave the slash", "/a/b/..", "/a/", nil},
		{"up to the root", "/a/..", "/", nil},
		{"escaped dots are dots", "/a/%2e%2E/%2e/b", "/b", nil},
		{"half escaped dots are dots", "/a/.%2e/b", "/b", nil},
		{"merging comes before dots", "/a//../b", "/b", nil},
		{"merging comes before dots, at the end", "/a/b//..", "/a/", nil},
		{"three dots are a name", "/.../a", "/.../a", nil},
		{"dots before a name are a name", "/.well-known/..a/.b", "/.well-known/..a/.b", nil},
		{"dots behind a name are a name", "/a../b./c", "/a../b./c", nil},

		{"above the root", "/..", "", route.ErrAboveRoot},
		{"above the root, further on", "/a/../../b", "", route.ErrAboveRoot},
		{"above the root, escaped", "/%2e%2e/b", "", route.ErrAboveRoot},
		{"slashes are no segments to climb", "/a///../../b", "", route.ErrAboveRoot},

		{"an escape cut short", "/a%", "", route.ErrEscape},
		{"an escape of one digit", "/a%2", "", route.ErrEscape},
		{"an escape that is none", "/a%zz", "", route.ErrEscape},
		{"half an escape", "/a%2g", "", route.ErrEscape},
		{"an escape of another kind", "/a%u002f", "", route.ErrEscape},
		{"NUL", "/login%00", "", route.ErrControl},
		{"NUL, raw", "/login\x00", "", route.ErrControl},
		{"a new line", "/login%0a", "", route.ErrControl},
		{"a tab", "/login%09", "", route.ErrControl},
		{"a control byte, raw", "/\x1flogin", "", route.ErrControl},
		{"DEL", "/login%7F", "", route.ErrControl},
		{"a backslash", `/a\b`, "", route.ErrBackslash},
		{"a backslash, escaped", "/a%5cb", "", route.ErrBackslash},
		{"a slash, escaped", "/a%2Fb", "", route.ErrSlash},
		{"a slash, escaped in lower case", "/a%2fb", "", route.ErrSlash},

		{"parameters stay", "/a;v=1/b;w", "/a;v=1/b;w", nil},
		{"an empty parameter stays", "/a;/b", "/a;/b", nil},
		{"a dot segment with parameters", "/a/..;x/b", "", route.ErrDotParams},
		{"with an empty parameter", "/a/..;/b", "", route.ErrDotParams},
		{"one dot with parameters", "/a/.;x", "", route.ErrDotParams},
		{"with dots escaped", "/a/%2e%2e;x", "", route.ErrDotParams},
		{"with the semicolon escaped", "/a/..%3bx", "", route.ErrDotParams},
		{"parameters without a segment", "/;x/login", "", route.ErrOnlyParams},
		{"the semicolon alone", "/a/;/b", "", route.ErrOnlyParams},
		{"the semicolon escaped", "/%3b/login", "", route.ErrOnlyParams},
		{"before a slash at the end", "/login/;/", "", route.ErrOnlyParams},
		{"dots do not hide them", "/a/;x/../b", "", route.ErrOnlyParams},
		{"at the end they are how servers write sessions", "/;jsessionid=1", "/;jsessionid=1", nil},
		{"at the end of a directory as well", "/app//;jsessionid=1", "/app/;jsessionid=1", nil},
	}
	for _, tc := range tests {
		checkClean(t, tc, false)
	}
}

func TestCleanKeepsEscapedSlashesWhenTold(t *testing.T) {
	tests := []cleanCase{
		{"in upper case", "/files/a%2fb", "/files/a%2Fb", nil},
		{"as part of their segment", "/a/b%2Fc/../d", "/a/d", nil},
		{"dots around them are not resolved", "/a/x%2F..%2Flogin", "/a/x%2F..%2Flogin", nil},
		{"but the other reading must not climb above the root", "/..%2Flogin", "", route.ErrAboveRoot},
		{"nor further on", "/a%2F..%2F..%2Flogin", "", route.ErrAboveRoot},
		{"nor with real segments before", "/a/..%2F..%2Flogin", "", route.ErrAboveRoot},
		{"nor hold dots with parameters", "/a%2F..;x%2Fb", "", route.ErrDotParams},
		{"nor parameters without a segment", "/a%2F;x%2Fb", "", route.ErrOnlyParams},
		{"nor before a real slash", "/a%2F;x/b", "", route.ErrOnlyParams},
		{"a backslash is refused all the same", "/a%2F%5cb", "", route.ErrBackslash},
		{"what is escaped twice is no slash", "/a%252Fb", "/a%252Fb", nil},
	}
	for _, tc := range tests {
		checkClean(t, tc, true)
	}
}

const unreservedBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// checkCleaned reports what is wrong with a result of Clean.
func checkCleaned(t *testing.T, in, got string, keepSlash bool) {
	t.Helper()
	if again, err := route.Clean(got, keepSlash); err != nil || again != got {
		t.Errorf("Clean(%q) = %q, which cleans to %q, %v", in, got, again, err)
	}
	if got == "" || got[0] != '/' || strings.Contains(got, "//") {
		t.Errorf("Clean(%q) = %q has an empty segment", in, got)
	}
	for s := range strings.SplitSeq(got, "/") {
		if s == "." || s == ".." {
			t.Errorf("Clean(%q) = %q has a dot segment", in, got)
		}
	}
	for i := range len(got) {
		c := got[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>?\\^`{|}", c) >= 0 {
			t.Errorf("Clean(%q) = %q has the byte %q, which a path may not hold", in, got, c)
		}
		if c == '%' {
			b, err := url.PathUnescape(got[i : i+3])
			if err != nil || got[i:i+3] != strings.ToUpper(got[i:i+3]) || strings.Contains(unreservedBytes, b) {
				t.Errorf("Clean(%q) = %q escapes %q in another than its one form", in, got, b)
			}
			if b < " " || b == "\x7f" || b == "\\" || b == "/" && !keepSlash {
				t.Errorf("Clean(%q) = %q lets %q through", in, got, b)
			}
		}
	}
	// The sidecar hands the cleaned path on as a url.URL.
	decoded, err := url.PathUnescape(got)
	if err != nil {
		t.Fatalf("Clean(%q) = %q does not unescape: %v", in, got, err)
	}
	u := url.URL{Path: decoded, RawPath: got}
	if u.EscapedPath() != got {
		t.Errorf("Clean(%q) = %q, but url.URL writes %q", in, got, u.EscapedPath())
	}
	if parsed, err := url.ParseRequestURI(got); err != nil || parsed.EscapedPath() != got || parsed.RawQuery != "" {
		t.Errorf("Clean(%q) = %q, but an upstream in Go reads %v, %v", in, got, parsed, err)
	}
}

func FuzzClean(f *testing.F) {
	for _, in := range []string{"/", "/a/../b", "//x/%2e%2E/;y", "/a%2f..%2F..;z", "/%c3%A9 é\xff", "/%", "/..;/", "/a/./;b", "/.%2F.", "/[%5b]"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		refused, errRefused := route.Clean(in, false)
		kept, errKept := route.Clean(in, true)
		if errRefused == nil {
			checkCleaned(t, in, refused, false)
			if kept != refused || errKept != nil {
				t.Errorf("Clean(%q) = %q, but with slashes kept %q, %v", in, refused, kept, errKept)
			}
		}
		if errKept == nil {
			checkCleaned(t, in, kept, true)
			if !strings.Contains(kept, "%2F") && errRefused == nil && kept != refused {
				t.Errorf("Clean(%q): %q and %q", in, refused, kept)
			}
		}
	})
}

// TestCleanOfEveryByte runs each byte through in both forms, alone and within
// text.
func TestCleanOfEveryByte(t *testing.T) {
	const hex = "0123456789abcdef"
	for i := range 256 {
		c := byte(i)
		for _, form := range []string{string([]byte{c}), "%" + string([]byte{hex[c>>4], hex[c&15]})} {
			for _, in := range []string{"/" + form, "/a" + form + "b", "/a/" + form + "/b", "/a" + form} {
				for _, keep := range []bool{false, true} {
					if got, err := route.Clean(in, keep); err == nil {
						checkCleaned(t, in, got, keep)
					}
				}
			}
		}
	}
}

// TestCleanAgreesWithTheStandardLibrary compares where all three must say the
// same: paths without escapes and parameters that stay below the root.
func TestCleanAgreesWithTheStandardLibrary(t *testing.T) {
	pieces := []string{"", ".", "..", "a", "b.c", "...", ".d", "e.."}
	base := &url.URL{Scheme: "http", Host: "x", Path: "/"}
	rng := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for range 50_000 {
		segments := make([]string, 1+rng.IntN(8))
		for i := range segments {
			segments[i] = pieces[rng.IntN(len(pieces))]
		}
		in := "/" + strings.Join(segments, "/")
		depth, above := 0, false
		for _, s := range segments {
			switch s {
			case "", ".":
			case "..":
				depth--
				above = above || depth < 0
			default:
				depth++
			}
		}
		got, err := route.Clean(in, false)
		if errors.Is(err, route.ErrAboveRoot) != above || err != nil && !above {
			t.Fatalf("Clean(%q): %v; above the root: %v", in, err, above)
		}
		if above {
			refused++
			continue
		}
		want := path.Clean(in)
		if last := segments[len(segments)-1]; want != "/" && (last == "" || last == "." || last == "..") {
			want += "/"
		}
		if got != want {
			t.Fatalf("Clean(%q) = %q, path.Clean says %q", in, got, want)
		}
		joined := base.JoinPath(in).EscapedPath()
		if strings.TrimSuffix(joined, "/") != strings.TrimSuffix(got, "/") {
			t.Fatalf("Clean(%q) = %q, JoinPath says %q", in, got, joined)
		}
	}
	if refused == 0 {
		t.Error("no case led above the root")
	}
}

func TestCleanDoesNotAllocateForACleanPath(t *testing.T) {
	for _, in := range []string{
		"/", "/login", "/api/v1/users/7/", "/a;v=1/b", "/.well-known/acme-challenge/x", "/...", "/caf%C3%A9/a%20b",
		strings.Repeat("/segment", 500),
	} {
		if n := testing.AllocsPerRun(200, func() { cleaned, _ = route.Clean(in, false) }); n != 0 {
			t.Errorf("%.30s: %v allocations, want 0", in, n)
		}
		if cleaned != in {
			t.Errorf("Clean(%q) = %q", in, cleaned)
		}
	}
}

var cleaned string

func BenchmarkClean(b *testing.B) {
	for _, tc := range []struct{ name, in string }{
		{"clean", "/api/v1/users/7/orders"},
		{"escaped", "/caf%C3%A9/a%20b"},
		{"dots", "/api/./v1/../v1/%75sers"},
		{"adversarial-climb", strings.Repeat("/a", 100_000) + strings.Repeat("/..", 100_000)},
		{"adversarial-zigzag", strings.Repeat("/a/..", 100_000)},
		{"adversarial-escapes", "/" + strings.Repeat("%41", 100_000)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cleaned, _ = route.Clean(tc.in, false)
			}
		})
	}
}
