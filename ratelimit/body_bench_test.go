package ratelimit_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// A login of a hundred bytes.
const loginJSON = `{"email":"alice@example.com","password":"correct horse battery staple","remember":true,"v":"1.2.3.4"}`

const loginForm = `email=alice%40example.com&password=correct+horse+battery+staple&remember=on&csrf_token=x1y2z3a4b5c6`

type closer struct{ *strings.Reader }

func (closer) Close() error { return nil }

// again returns a function that serves the same request again and again, past
// its limit.
func again(tb testing.TB, part string, edit func(*http.Request), text string) func() {
	tb.Helper()
	h, w := wrapped(tb, one(keyed("account", 1, part))), discard{http.Header{}}
	r := login(edit)
	reader := closer{strings.NewReader(text)}
	return func() {
		_, _ = reader.Seek(0, io.SeekStart)
		r.Body = reader
		serve(h, w, r)
	}
}

func BenchmarkKeysOfTheBody(b *testing.B) {
	for _, c := range []struct {
		name, part string
		edit       func(*http.Request)
		text       string
	}{
		{"a header, for comparison", "header:X-Account", asJSON(loginJSON), loginJSON},
		{"json", "json:/email", asJSON(loginJSON), loginJSON},
		{"form", "form:email", asForm(loginForm), loginForm},
		{"multipart", "form:email", asParts(field("email", "alice@example.com"), field("password", "1")),
			parts(field("email", "alice@example.com"), field("password", "1"))},
		{"json, 64 KiB of nesting and escapes", "json:/email", asJSON(costly), costly},
	} {
		b.Run(c.name, func(b *testing.B) {
			run := again(b, c.part, c.edit, c.text)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

var costly = `[` + strings.Repeat(`[[["\u00e9\ud83d\ude00"]]],`, 2400) + `1]`

func TestAKeyOfTheBodyAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		part string
		edit func(*http.Request)
		text string
	}{
		{"json:/email", asJSON(loginJSON), loginJSON},
		{"form:email", asForm(loginForm), loginForm},
	} {
		without := testing.AllocsPerRun(1000, again(t, "header:X-Account", c.edit, c.text))
		if n := testing.AllocsPerRun(1000, again(t, c.part, c.edit, c.text)) - without; n > 3 {
			t.Errorf("%s: %v allocations, want the body, its reader and at most one more", c.part, n)
		}
	}
}

func TestRequestsWithoutABodyCostNoMore(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	run := func(part string) float64 {
		h, w := wrapped(t, one(ratelimit.Policy{Name: "p", Key: []string{part}, Limit: 1, Window: time.Minute})), discard{http.Header{}}
		r := login()
		return testing.AllocsPerRun(1000, func() { serve(h, w, r) })
	}
	if without, n := run("header:X-Account"), run("json:/email"); n > without {
		t.Errorf("%v allocations, %v without a key of the body", n, without)
	}
}
