package health_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/health"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenMonitor is a monitor with a check of every kind, 3 s after its start.
func goldenMonitor(t *testing.T) (m *health.Monitor, stop func()) {
	m = newMonitor(t, health.Config{Checks: []health.Check{
		{Name: "upstream", Func: pass, Critical: true, Ready: true},
		{Name: "database", Critical: true, ComponentType: "datastore", Func: func(context.Context) error {
			time.Sleep(12 * time.Millisecond)
			return errors.New(`dial "db": <refused>`)
		}},
		{Name: "memory", ComponentType: "system", Func: func(ctx context.Context) error {
			health.Observe(ctx, health.Observation{Name: "utilization", Value: 93.5, Unit: "percent"})
			return health.Warning("93% in use")
		}},
		{Name: "later", Timeout: time.Hour, Func: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
	}})
	m.SetReady()
	m.Warn("client_identity", "a private peer sends X-Forwarded-For")
	stop = start(t, m)
	time.Sleep(3 * time.Second)
	synctest.Wait()
	return m, stop
}

func TestGoldenBodies(t *testing.T) {
	for _, tt := range []struct {
		file    string
		handler func(*health.Monitor) http.Handler
		accept  string
	}{
		{"health.json", (*health.Monitor).Handler, ""},
		{"health_inadarei.json", (*health.Monitor).Handler, "application/json;q=0.5, application/health+json"},
		{"verbose.json", (*health.Monitor).VerboseHandler, ""},
		{"verbose_inadarei.json", (*health.Monitor).VerboseHandler, "application/health+json"},
		{"readyz.json", (*health.Monitor).ReadyzHandler, "*/*"},
		{"startupz.json", (*health.Monitor).StartupzHandler, "application/health+json;q=0"},
		{"livez.json", (*health.Monitor).LivezHandler, ""},
	} {
		t.Run(tt.file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, stop := goldenMonitor(t)
				defer stop()
				got := poll(tt.handler(m), "Accept", tt.accept).Body.String()
				name := filepath.Join("testdata", tt.file)
				if *update {
					if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, stop := goldenMonitor(t)
		defer stop()
		for _, tt := range []struct {
			rule    string
			handler http.Handler
			method  string
			accept  string
			code    int
			want    http.Header
			body    bool
		}{
			{"503 says when to come back", m.Handler(), "GET", "", 503, http.Header{"Retry-After": {"5"}, "Content-Type": {"application/json"}}, true},
			{"200 does not", m.ReadyzHandler(), "GET", "", 200, http.Header{"Retry-After": nil, "Content-Type": {"application/json"}}, true},
			{"Accept decides the shape", m.Handler(), "GET", "application/HEALTH+json", 503, http.Header{"Content-Type": {"application/health+json"}}, true},
			{"HEAD has no body", m.Handler(), "HEAD", "", 503, http.Header{"Content-Type": {"application/json"}}, false},
			{"POST is not allowed", m.Handler(), "POST", "", 405, http.Header{"Allow": {"GET, HEAD"}}, true},
			{"POST is not allowed for livez either", m.LivezHandler(), "POST", "", 405, http.Header{"Allow": {"GET, HEAD"}}, true},
		} {
			r := httptest.NewRequest(tt.method, "/health", nil)
			r.Header.Set("Accept", tt.accept)
			w := httptest.NewRecorder()
			tt.handler.ServeHTTP(w, r)
			if w.Code != tt.code || (w.Body.Len() > 0) != tt.body {
				t.Errorf("%s: %d with %d bytes", tt.rule, w.Code, w.Body.Len())
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s: Cache-Control %q", tt.rule, got)
			}
			for name, want := range tt.want {
				if d := cmp.Diff(want, w.Header()[name]); d != "" {
					t.Errorf("%s: %s: %s", tt.rule, name, d)
				}
			}
		}
	})
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestPollsDoNotAllocate(t *testing.T) {
	m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Func: fail, Critical: true}}})
	w := discard{make(http.Header)}
	r := httptest.NewRequest(http.MethodGet, "/health", nil)
	for _, accept := range []string{"", "text/html, */*;q=0.1", "application/health+json"} {
		r.Header.Set("Accept", accept)
		for _, h := range []http.Handler{m.Handler(), m.VerboseHandler(), m.ReadyzHandler(), m.StartupzHandler(), m.LivezHandler()} {
			if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n != 0 {
				t.Errorf("Accept %q: %v allocations", accept, n)
			}
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	m, err := health.New(health.Config{Checks: []health.Check{{Name: "db", Func: pass}, {Name: "redis", Func: pass}, {Name: "memory", Func: pass}}})
	if err != nil {
		b.Fatal(err)
	}
	for name, accept := range map[string]string{"plain": "*/*", "inadarei": "application/health+json"} {
		b.Run(name, func(b *testing.B) {
			h, w, r := m.Handler(), discard{make(http.Header)}, httptest.NewRequest(http.MethodGet, "/health", nil)
			r.Header.Set("Accept", accept)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
