package flags_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

func TestCookieKeyIsWhatEveryApplicationReads(t *testing.T) {
	key := flags.CookieKey("uid")
	for _, tc := range []struct {
		rule  string
		lines []string
		want  string
	}{
		{"none", nil, ""},
		{"one", []string{"a=1; uid=alice"}, "alice"},
		{"quotes are left out", []string{`uid="alice"`}, "alice"},
		{"percent escapes stay", []string{"uid=a%40b.example"}, "a%40b.example"},
		{"two", []string{"uid=alice; uid=bob"}, ""},
		{"two, of which net/http drops one", []string{`uid="\141lice"; uid=bob`}, ""},
		{"two, in other letter case", []string{"UID=alice; uid=bob"}, ""},
		{"two lines", []string{"uid=alice", "uid=bob"}, ""},
		{"a value beyond ASCII", []string{"uid=alice\xc2\xa0"}, ""},
		{"empty", []string{"uid="}, ""},
		{"empty in quotes", []string{`uid=""`}, ""},
		{"without an equals sign", []string{"uid"}, ""},
		{"blanks around", []string{"\tuid=alice ;a=1"}, "alice"},
		{"a blank before the value, which some parsers keep", []string{"uid= alice"}, ""},
		{"a name that ends alike", []string{"xuid=bob; uidx=eve; uid=alice"}, "alice"},
		{"a name with a dollar sign is another's", []string{"$uid=bob; uid=alice"}, "alice"},
		{"two, one percent-encoded", []string{"u%69d=bob; uid=alice"}, ""},
		{"two, one within another's value", []string{"a=1,uid=bob; uid=alice"}, ""},
		{"behind a quote left open", []string{`a="1; uid=alice`}, ""},
		{"a quote left open", []string{`uid="alice`}, ""},
		{"a comma", []string{"uid=alice,bob"}, ""},
		{"a backslash", []string{`uid=al\ice`}, ""},
		{"a control byte", []string{"uid=al\x00ice"}, ""},
		{"an equals sign is part of the value", []string{"uid=YWxpY2U="}, "YWxpY2U="},
		{"4 KiB, which the Middleware takes for none", []string{"uid=" + strings.Repeat("x", 4096)}, strings.Repeat("x", 4096)},
		{"behind more cookies than anyone reads", []string{strings.Repeat("a=1; ", 3000) + "uid=alice"}, ""},
	} {
		if got := key(&http.Request{Header: http.Header{"Cookie": tc.lines}}); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, got, tc.want)
		}
	}
}

func TestCookieNamesThatSomeApplicationsReadAlike(t *testing.T) {
	key := flags.CookieKey("user_id")
	for line, want := range map[string]string{
		"user_id=alice":                "alice",
		"user.id=bob":                  "",
		"user.id=bob; user_id=alice":   "", // PHP
		"user%5Fid=bob; user_id=alice": "",
		"user-id=bob; user_id=alice":   "alice",
	} {
		if got := key(&http.Request{Header: http.Header{"Cookie": {line}}}); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestMiddlewareTakesNoKeyFromAHeaderThatMayBeForged(t *testing.T) {
	key, err := flags.HeaderKey("X-User-Id", []string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	m := middleware(t, flags.MiddlewareConfig{TargetingKey: key, Vary: "X-User-Id", Inject: true})
	for _, tc := range []struct {
		rule   string
		peer   string
		header http.Header
		want   string
	}{
		{"a trusted proxy's", "10.0.0.1:1", http.Header{"X-User-Id": {"alice"}}, "alice"},
		{"whatever it holds", "10.0.0.1:1", http.Header{"X-User-Id": {"CN=alice, O=\"x\""}}, "CN=alice, O=\"x\""},
		{"another peer's", "192.0.2.1:1", http.Header{"X-User-Id": {"alice"}}, ""},
		{"another peer's, with a trusted client before it", "192.0.2.1:1", http.Header{"X-User-Id": {"alice"}, "X-Forwarded-For": {"10.0.0.1"}}, ""},
		{"a peer whose address nobody knows", "@", http.Header{"X-User-Id": {"alice"}}, ""},
		{"twice", "10.0.0.1:1", http.Header{"X-User-Id": {"alice", "alice"}}, ""},
		{"with underscores", "10.0.0.1:1", http.Header{"X_user_id": {"alice"}}, ""},
		{"in letters that no server leaves so", "10.0.0.1:1", http.Header{"x-user-id": {"alice"}}, ""},
		{"and with underscores beside it", "10.0.0.1:1", http.Header{"X-User-Id": {"alice"}, "X_user_id": {"eve"}}, "alice"},
		{"empty", "10.0.0.1:1", http.Header{"X-User-Id": {""}}, ""},
		{"512 bytes", "10.0.0.1:1", http.Header{"X-User-Id": {strings.Repeat("x", 512)}}, strings.Repeat("x", 512)},
		{"513 bytes", "10.0.0.1:1", http.Header{"X-User-Id": {strings.Repeat("x", 513)}}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header = tc.peer, tc.header
		if v := visiting(m, r, nil); v.key != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, v.key, tc.want)
		}
	}
}
