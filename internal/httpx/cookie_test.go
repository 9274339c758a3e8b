package httpx_test

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/httpx"
)

func cookies(lines ...string) *http.Request {
	return &http.Request{Header: http.Header{"Cookie": lines}}
}

func TestLoneCookie(t *testing.T) {
	for _, tc := range []struct {
		rule, line, want string
		ok               bool
	}{
		{"alone", "session=abc", "abc", true},
		{"among others", "a=1; session=abc; b=2", "abc", true},
		{"without blanks between", "a=1;session=abc;b=2", "abc", true},
		{"tabs and blanks around the name", "a=1;\t session =abc \t", "abc", true},
		{"quotes are left out", `session="abc"`, "abc", true},
		{"percent escapes stay", "session=%61bc", "%61bc", true},
		{"an empty value", "session=", "", true},
		{"a bare name", "session", "", true},
		{"an equals sign in the value", "session=a=b==", "a=b==", true},
		{"JSON beside it", `prefs={"a":1,"b":"x"}; session=abc`, "abc", true},
		{"a quoted value beside it", `a="x y"; session=abc`, "abc", true},
		{"the name as another's ending", "connect.session=1; my-session=2; session=abc", "abc", true},
		{"the name as another's value", "a=session; b=x=session=1; session=abc", "abc", true},
		{"the name in JSON beside it", `prefs={"session":"x"}; session=abc`, "abc", true},

		{"absent", "a=1", "", false},
		{"twice", "session=a; session=b", "", false},
		{"twice the same", "session=a; session=a", "", false},
		{"once with a backslash", `session="\141bc"; session=r1`, "", false},
		{"once beyond ASCII", "session=abc\xc2\xa0; session=r1", "", false},
		{"alone with a backslash", `session=\141bc`, "", false},
		{"alone beyond ASCII", "session=abc\xc2\xa0", "", false},
		{"beyond ASCII around the name", "\xc2\xa0session\xa0=abc; session=r1", "", false},
		{"in other letter case", "SESSION=abc; session=r1", "", false},
		{"in other letter case alone", "Session=abc", "", false},
		{"percent-encoded", "%73ession=abc; session=r1", "", false},
		{"bare, beside a value", "session; session=r1", "", false},
		{"bare before a comma", "session,a; session=r1", "", false},
		{"bare behind a comma", "a=1, session ; session=r1", "", false},
		{"bare between commas, beyond ASCII", "a,\xa0session\x85,b; session=r1", "", false},
		{"behind a comma", "a=1,session=abc; session=r1", "", false},
		{"behind a blank", "a=1 session=abc; session=r1", "", false},
		{"within quotes", `a="1;session=abc"; session=r1`, "", false},
		{"quoted itself", `"session"=abc; session=r1`, "", false},
		{"behind a quote that stays open", `a="1; session=abc; b="`, "", false},
		{"behind a blank quote that stays open", `a= "1; session=abc; b="`, "", false},
		{"behind an escaped quote", `a="1\"; session=abc; b="`, "", false},
		{"behind a word with an open quote", `x a="1; session=abc; b="`, "", false},
		{"a blank in the value", "session=a b", "", false},
		{"a blank before the value", "session= abc", "", false},
		{"a comma in the value", "session=abc,d", "", false},
		{"half a pair of quotes", `session="abc`, "", false},
		{"a quote alone", `session="`, "", false},
		{"a quote within", `session=a"b`, "", false},
		{"more cookies than anyone reads", strings.Repeat(";", 3000) + "session=abc", "", false},
	} {
		got, ok := httpx.LoneCookie(cookies(tc.line), "session")
		if got != tc.want || ok != tc.ok {
			t.Errorf("%s: %q gives %q, %t; want %q, %t", tc.rule, tc.line, got, ok, tc.want, tc.ok)
		}
	}
	if _, ok := httpx.LoneCookie(cookies("session=abc", "a=1"), "session"); ok {
		t.Error("several lines are read")
	}
	if _, ok := httpx.LoneCookie(cookies("=abc"), ""); ok {
		t.Error("a cookie without a name is read")
	}
	for _, other := range []string{"session.id", "session id", "session[id", "session+id", "SESSION%5fID"} {
		if v, ok := httpx.LoneCookie(cookies(other+"=abc; session_id=r1"), "session_id"); ok {
			t.Errorf("%s, which PHP takes for session_id, beside session_id: %q", other, v)
		}
	}
}

func TestLoneCookieDoesNotAllocate(t *testing.T) {
	r := cookies(`a=1; prefs={"x":"y"}; session="abc"; b=%zz`)
	if n := testing.AllocsPerRun(100, func() { httpx.LoneCookie(r, "session") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// simpleCookie reads a header as http.cookies of Python does: quoted values
// hold semicolons and octal escapes, blanks end a value, and what does not
// match ends the reading.
func simpleCookie(header string) map[string][]string {
	pattern := regexp.MustCompile(`^[\s\x{85}\x{a0}]*([\pL\d_!#%&'~` + "`" + `><@,:/$*+.^|)(?}{=-]+?)[\s\x{85}\x{a0}]*(?:=[\s\x{85}\x{a0}]*("(?:[^\\"]|\\.)*"|[\pL\d_!#%&'~` + "`" + `><@,:/$*+.^|)(?}{=\[\]-]*))?[\s\x{85}\x{a0}]*(?:[\s\x{85}\x{a0}]+|;|$)`)
	found := map[string][]string{}
	runes := make([]rune, 0, len(header)) // Latin-1
	for _, b := range []byte(header) {
		runes = append(runes, rune(b))
	}
	for rest := string(runes); rest != ""; {
		m := pattern.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		if m[4] < 0 {
			return nil // a bare name spoils the whole header
		}
		value := rest[m[4]:m[5]]
		if len(value) > 1 && value[0] == '"' {
			value = unescaped(value[1 : len(value)-1])
		}
		key := rest[m[2]:m[3]]
		found[key] = append(found[key], value)
		rest = rest[m[1]:]
	}
	return found
}

func unescaped(s string) string {
	s = regexp.MustCompile(`\\[0-3][0-7][0-7]`).ReplaceAllStringFunc(s, func(m string) string {
		n, _ := strconv.ParseUint(m[1:], 8, 8)
		return string(rune(n))
	})
	return regexp.MustCompile(`\\(.)`).ReplaceAllString(s, "$1")
}

// lenient reads a header as those do that split at semicolons and commas,
// compare names decoded and in any letter case, and trim what they find.
func lenient(header string) map[string][]string {
	found := map[string][]string{}
	for part := range strings.FieldsFuncSeq(header, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(part, "=")
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		key = strings.ToLower(strings.TrimSpace(key))
		value = strings.TrimSpace(value)
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		found[key] = append(found[key], value)
	}
	return found
}

// FuzzLoneCookie: where LoneCookie gives a value, nobody reads another one.
func FuzzLoneCookie(f *testing.F) {
	for _, seed := range []string{
		"s=abc", `s="abc"; t=1`, `s="\141bc"; s=r1`, "s=abc\xc2\xa0; s=r1", "S=abc; s=r1", "%73=abc; s=r1", `a="1; s=r1; b="`,
		`a="1; s=abc"; s=r1`, `a="1\"; s=abc; b="; s=r1`, "a=1,s=abc; s=r1", "a=1 s=abc; s=r1", "s;s=r1", "\xa0s\x85=a; s=r1", "s = a; b==\"; s=c", `a=="; s=1; ="`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			t.Skip("net/http refuses it")
		}
		r := cookies(line)
		got, ok := httpx.LoneCookie(r, "s")
		if !ok {
			return
		}
		if c := r.CookiesNamed("s"); len(c) != 1 || c[0].Value != got {
			t.Errorf("%q (%s): %q, net/http reads %v", line, hex.EncodeToString([]byte(line)), got, c)
		}
		for name, read := range map[string]map[string][]string{"Python": simpleCookie(line), "a lenient parser": lenient(line)} {
			for _, v := range read["s"] {
				if v != got && v != `"`+got+`"` {
					t.Errorf("%q: %q, %s reads %q", line, got, name, v)
				}
			}
		}
	})
}

func BenchmarkLoneCookie(b *testing.B) {
	const uid = "uid=0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77"
	for _, bb := range []struct{ name, line string }{
		{"one", uid},
		{"two", "theme=dark; " + uid},
		{"browser", "_ga=GA1.1.1234567890.1700000000; _gid=GA1.2.987654321.1700000000; _fbp=fb.1.1700000000000.123456789; " +
			"session=" + strings.Repeat("eyJhbGciOiJIUzI1NiJ9", 6) + "; theme=dark; consent=%7B%22a%22%3A1%7D; " + uid + "; csrftoken=AbCdEfGhIjKl"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := &http.Request{Header: http.Header{"Cookie": {bb.line}}}
			b.ReportAllocs()
			for b.Loop() {
				sink, _ = httpx.LoneCookie(r, "uid")
			}
		})
	}
}
