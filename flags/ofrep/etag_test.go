package ofrep_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags/ofrep"
)

func TestETagIsOfTheAnswer(t *testing.T) {
	first := handler(t, "{a: {rolloutPercentage: 50, allowList: [alice], denyList: [eve]}}", ofrep.Config{})
	tag := func(w *httptest.ResponseRecorder) string { return w.Header().Get("ETag") }
	alice := tag(post(first, "", user("alice")))
	if len(alice) < 10 || strings.Trim(alice, `"`) != alice[1:len(alice)-1] {
		t.Fatalf("ETag: %s", alice)
	}
	if tag(post(first, "", user("alice"))) != alice {
		t.Error("another one for the same answer")
	}
	if tag(post(first, "", user("eve"))) == alice {
		t.Error("the same one for another answer")
	}
	edited := handler(t, "# edited\n{a: {rolloutPercentage: 70, allowList: [alice], denyList: [eve], owner: web}}", ofrep.Config{})
	if tag(post(edited, "", user("alice"))) != alice {
		t.Error("another one for the same answer from other definitions")
	}
	off := handler(t, "{a: {enabled: false, allowList: [alice], denyList: [eve]}}", ofrep.Config{})
	if tag(post(off, "", user("alice"))) == alice {
		t.Error("the same one for another answer from other definitions")
	}
	if got := tag(post(first, "/a", user("alice"))); got != "" {
		t.Errorf("a single flag has the ETag %s", got)
	}
}

func TestWhoKnowsTheAnswerGetsNone(t *testing.T) {
	h := handler(t, definitions, ofrep.Config{})
	full := post(h, "", user("alice"))
	tag := full.Header().Get("ETag")
	for _, tc := range []struct {
		rule  string
		lines []string
		known bool
	}{
		{"the ETag", []string{tag}, true},
		{"weak", []string{"W/" + tag}, true},
		{"anything", []string{"*"}, true},
		{"in a list", []string{`"other" , W/"x",` + tag + `,"y"`}, true},
		{"behind empty members", []string{", ,\t" + tag}, true},
		{"on another line", []string{`"other"`, tag}, true},
		{"nothing", nil, false},
		{"empty", []string{""}, false},
		{"another", []string{`"other"`}, false},
		{"without quotes", []string{strings.Trim(tag, `"`)}, false},
		{"without an end", []string{tag[:len(tag)-1]}, false},
		{"in lower case w", []string{"w/" + tag}, false},
		{"within another", []string{`"x` + tag[1:]}, false},
		{"behind a mistake", []string{`x, ` + tag}, false},
		{"only W/", []string{"W/"}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var header []string
			for _, line := range tc.lines {
				header = append(header, "If-None-Match", line)
			}
			w := post(h, "", user("alice"), header...)
			if !tc.known {
				if w.Code != 200 || w.Body.String() != full.Body.String() {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
				return
			}
			if w.Code != 304 || w.Body.Len() != 0 {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			want := map[string][]string{"Etag": {tag}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}}
			if diff := cmp.Diff(want, map[string][]string(w.Header())); diff != "" {
				t.Error(diff)
			}
		})
	}
	if w := post(h, "/all", user("alice"), "If-None-Match", "*"); w.Code != 200 {
		t.Errorf("a single flag: %d", w.Code)
	}
}
