package flags_test

import (
	"net/http"
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
	} {
		if got := key(&http.Request{Header: http.Header{"Cookie": tc.lines}}); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, got, tc.want)
		}
	}
}
