package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/observe"
)

func TestAccessLogRecord(t *testing.T) {
	var buf bytes.Buffer
	h := newMiddleware(t, observe.Config{
		Log:    slog.New(slog.NewJSONHandler(&buf, nil)),
		Routes: []string{"/users/{id}"},
	}).Wrap(http.NotFoundHandler())
	r := httptest.NewRequest("GET", "/users/7?token=secret", nil)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.Header.Set("Authorization", "Bearer secret")
	h.ServeHTTP(httptest.NewRecorder(), r)
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, varying := range []string{"time", "duration_ms", "request_id"} {
		if got[varying] == nil {
			t.Errorf("%s is missing", varying)
		}
		delete(got, varying)
	}
	want := map[string]any{
		"level": "INFO", "msg": "request", "method": "GET", "route": "/users/{id}", "path": "/users/7",
		"status": 404.0, "bytes": 19.0, "outcome": "completed", "client": "192.0.2.7",
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if strings.Contains(buf.String(), "secret") {
		t.Errorf("a secret in %s", buf.String())
	}
}

func TestAccessRecordIsOfTheEndAndNamesItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		h := newMiddleware(t, observe.Config{Log: slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{AddSource: true}))}).Wrap(
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(1500 * time.Millisecond) }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		var rec struct {
			Time     time.Time
			Duration float64 `json:"duration_ms"`
			Source   slog.Source
		}
		if err := json.Unmarshal(buf.Bytes(), &rec); err != nil {
			t.Fatal(err)
		}
		if !rec.Time.Equal(time.Now()) || rec.Duration != 1500 || !strings.Contains(rec.Source.Function, "handrail/observe.") {
			t.Errorf("at %v, now %v: %s", rec.Time, time.Now(), buf.String())
		}
	})
}

func TestNothingIsWrittenBelowTheLevel(t *testing.T) {
	var buf bytes.Buffer
	h := newMiddleware(t, observe.Config{
		Log: slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}).Wrap(http.NotFoundHandler())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if buf.Len() > 0 {
		t.Errorf("got %s", buf.String())
	}
}

func TestPanicTextIsBoundedAndPrintable(t *testing.T) {
	var buf bytes.Buffer
	h := newMiddleware(t, observe.Config{Log: slog.New(slog.NewJSONHandler(&buf, nil))}).Wrap(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic("bad input \x1b[2J\u202e\u0085\xff" + strings.Repeat("x", 1<<20))
		}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	line, _, _ := strings.Cut(buf.String(), "\n")
	var rec struct{ Panic, Stack string }
	if err := json.Unmarshal([]byte(line), &rec); err != nil {
		t.Fatal(err)
	}
	if len(rec.Panic) > 5<<10 || len(rec.Stack) > 17<<10 {
		t.Errorf("text of %d bytes, stack of %d", len(rec.Panic), len(rec.Stack))
	}
	if strings.ContainsAny(rec.Panic, "\x1b\u202e\u0085") || !strings.HasPrefix(rec.Panic, "bad input ") {
		t.Errorf("text %.40q", rec.Panic)
	}
}

// What a client chooses can neither forge a line nor a field, nor reach a
// terminal as control characters, nor grow without bound.
func FuzzLogIsSafe(f *testing.F) {
	for _, s := range []string{
		"/a b", "/x\ny=1", "/\x1b[31m", "/\u202eevil", `/" level=ERROR`, "/\xff\xfe", "/%0a%00", "*", "", "/é",
		"/" + strings.Repeat("a", 5000), "//host/\u2028",
	} {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, path, method, header string) {
		var asJSON, asText bytes.Buffer
		for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&asJSON, nil)), slog.New(slog.NewTextHandler(&asText, nil))} {
			m, err := observe.New(observe.Config{Log: log, Routes: []string{"/users/{id}"}, TrustedProxies: []string{"loopback"}})
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{
				Method: method, URL: &url.URL{Path: path, RawPath: path, RawQuery: "q=zzsecretzz"}, RemoteAddr: "127.0.0.1:1",
				Header: http.Header{"X-Request-Id": {header}, "Traceparent": {header}, "X-Forwarded-For": {header}},
			}
			m.Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r.WithContext(context.Background()))
		}
		var rec map[string]any
		if err := json.Unmarshal(asJSON.Bytes(), &rec); err != nil {
			t.Fatalf("%v: %q", err, asJSON.String())
		}
		for _, out := range []string{asJSON.String(), asText.String()} {
			if strings.Count(out, "\n") != 1 {
				t.Errorf("more than one line: %q", out)
			}
			if strings.ContainsFunc(strings.TrimSuffix(out, "\n"), func(c rune) bool { return c > unicode.MaxASCII || c < ' ' || c == 0x7f }) {
				t.Errorf("not printable ASCII: %q", out)
			}
			if len(out) > 2048 {
				t.Errorf("%d bytes", len(out))
			}
			if strings.Contains(out, "zzsecretzz") && !strings.Contains(path+header, "zzsecretzz") {
				t.Errorf("query in %q", out)
			}
		}
	})
}
