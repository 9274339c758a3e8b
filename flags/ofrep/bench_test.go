package ofrep_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags/ofrep"
)

const fiveFlags = `
a: {rolloutPercentage: 25}
b: {rolloutPercentage: 50}
c: {rolloutPercentage: 100}
d: {rolloutPercentage: 50, variants: [{name: red}, {name: blue}]}
e: {rolloutPercentage: 100, variants: [{name: large, value: {size: 10, color: red}}]}
`

// asker sends one request again and again, into nothing.
type asker struct {
	handler http.Handler
	request *http.Request
	body    strings.Reader
	text    string
	header  http.Header
	status  int
}

func newAsker(h http.Handler, path, body string, header ...string) *asker {
	a := &asker{handler: h, text: body, header: http.Header{}}
	a.request = httptest.NewRequest(http.MethodPost, ofrep.Path+path, io.NopCloser(&a.body))
	a.request.ContentLength = int64(len(body))
	a.request.Header.Set("Content-Type", "application/json; charset=utf-8")
	for i := 0; i+1 < len(header); i += 2 {
		a.request.Header.Add(header[i], header[i+1])
	}
	return a
}

func (a *asker) Header() http.Header         { return a.header }
func (a *asker) WriteHeader(status int)      { a.status = status }
func (a *asker) Write(p []byte) (int, error) { return len(p), nil }

func (a *asker) ask() {
	a.body.Reset(a.text)
	clear(a.header)
	a.handler.ServeHTTP(a, a.request)
}

const context5 = `{"context":{"targetingKey":"0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77","plan":"pro","country":"DE"}}`

// Allocated are: the text of the request, the values of the headers with the
// array that holds them, the ETag; with attributes their map and what it holds.
func TestAnswersAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and lets pools forget; make test runs this without it")
	}
	h := handler(t, fiveFlags, ofrep.Config{})
	tag := post(h, "", user("alice")).Header().Get("ETag")
	for _, tc := range []struct {
		name string
		a    *asker
		want float64
	}{
		{"one flag", newAsker(h, "/a", user("alice")), 2},
		{"all flags", newAsker(h, "", user("alice")), 4},
		{"all flags, known", newAsker(h, "", user("alice"), "If-None-Match", tag), 4},
		{"all flags, with attributes", newAsker(h, "", context5), 8},
	} {
		if n := testing.AllocsPerRun(200, tc.a.ask); n > tc.want {
			t.Errorf("%s: %v allocations, want %v", tc.name, n, tc.want)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	five := handler(b, fiveFlags, ofrep.Config{})
	var y strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&y, "flag-%04d: {rolloutPercentage: 25}\n", i)
	}
	thousand := handler(b, y.String(), ofrep.Config{})
	tag := post(five, "", context5).Header().Get("ETag")
	for _, bb := range []struct {
		name string
		a    *asker
	}{
		{"one", newAsker(five, "/a", context5)},
		{"five", newAsker(five, "", context5)},
		{"five/known", newAsker(five, "", context5, "If-None-Match", tag)},
		{"five/tokens", newAsker(handler(b, fiveFlags, ofrep.Config{Tokens: []string{"t"}}), "", context5, "X-API-Key", "t")},
		{"five/refused", newAsker(five, "", `{"context":{"targetingKey":1}}`)},
		{"thousand", newAsker(thousand, "", context5)},
		{"deep", newAsker(five, "", `{"context":`+strings.Repeat(`{"a":`, 10_000))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.a.ask()
			}
		})
	}
}
