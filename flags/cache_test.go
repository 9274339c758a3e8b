package flags_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// sharedCache stores what RFC 9111 section 3 lets a cache store that serves
// many, with Set-Cookie and all, and keeps it forever.
type sharedCache struct {
	next   http.Handler
	stored map[string][]storedAnswer
	hits   map[string]int
}

type storedAnswer struct {
	selected http.Header // what the request had of Vary
	header   http.Header
	body     string
}

func (c *sharedCache) get(path, cookie string) (http.Header, string) {
	r := httptest.NewRequest("GET", path, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for _, s := range c.stored[path] {
		matches := true
		for name, values := range s.selected {
			matches = matches && slices.Equal(r.Header[name], values)
		}
		if matches {
			c.hits[path]++
			return s.header, s.body
		}
	}
	sent := r.Header.Clone() // what stands behind may change it
	w := httptest.NewRecorder()
	c.next.ServeHTTP(w, r)
	if w.Code == http.StatusOK && storable(w.Header()) {
		s := storedAnswer{header: w.Header(), body: w.Body.String(), selected: http.Header{}}
		for _, name := range fields(w.Header(), "Vary") {
			s.selected[http.CanonicalHeaderKey(name)] = sent[http.CanonicalHeaderKey(name)]
		}
		if _, all := s.selected["*"]; !all {
			c.stored[path] = append(c.stored[path], s)
		}
	}
	return w.Header(), w.Body.String()
}

func fields(h http.Header, name string) (out []string) {
	for _, line := range h[name] {
		for member := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(member))
		}
	}
	return out
}

func storable(h http.Header) bool {
	directives := fields(h, "Cache-Control")
	return !slices.Contains(directives, "private") && !slices.Contains(directives, "no-store")
}

// Behind a cache for many, visitors who come and go see the decisions for their
// own key, and nobody gets the key of another.
func TestSharedCacheMixesNoVisitors(t *testing.T) {
	c := client(t, "half: {rolloutPercentage: 50}\nthird: {rolloutPercentage: 33.333}")
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) {
		cfg.Client = c
		cfg.Gates = []flags.Gate{{Flag: "half", Paths: []string{"/gated"}}}
	}))
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, s-maxage=600")
		if r.URL.Path == "/told" {
			w.Header().Set("Vary", "Handrail-Flags")
		}
		fmt.Fprint(w, r.URL.Path, r.Header.Get("Handrail-Flags"))
	})
	cache := &sharedCache{next: m.Wrap(app), stored: map[string][]storedAnswer{}, hits: map[string]int{}}
	jars := make([]string, 100)
	owner := map[string]int{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		who := rnd.IntN(len(jars))
		path := []string{"/told", "/gated"}[rnd.IntN(2)]
		cookie := ""
		if jars[who] != "" {
			cookie = "visitor=" + jars[who]
		}
		header, body := cache.get(path, cookie)
		for _, set := range (&http.Response{Header: header}).Cookies() {
			if other, taken := owner[set.Value]; taken && other != who {
				t.Fatalf("visitors %d and %d have the same key", who, other)
			}
			owner[set.Value], jars[who] = who, set.Value
		}
		told, _ := c.For(jars[who]).AppendHeader(nil)
		want := path + string(told)
		if path == "/gated" && !c.Enabled("half", jars[who]) {
			want = `{"error":"not_found"}`
		}
		if strings.TrimSpace(body) != want {
			t.Fatalf("visitor %d was shown %q, is to be shown %q", who, body, want)
		}
	}
	if len(owner) != len(jars) {
		t.Errorf("%d keys for %d visitors", len(owner), len(jars))
	}
	if cache.hits["/told"] < 1000 || cache.hits["/gated"] < 500 {
		t.Errorf("the cache is of no use: %v", cache.hits)
	}
}
