package observe_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/prom"
	"github.com/handrail-go/handrail/observe/sentryobs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// answer is a handler that allocates nothing itself.
func answer() http.Handler {
	body := []byte("hello")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

// through returns a call of h with a request of its own.
func through(h http.Handler) func() {
	w := discard{make(http.Header)}
	r := httptest.NewRequest("GET", "/users/7", nil)
	r.RemoteAddr = "192.0.2.7:1234"
	var each http.Request
	return func() {
		each = *r // in place, its context would grow
		delete(r.Header, "X-Request-Id")
		h.ServeHTTP(w, &each)
	}
}

func chain(tb testing.TB, cfg observe.Config) func() {
	tb.Helper()
	m, err := observe.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return through(m.Wrap(answer()))
}

// jsonLog pays for its lines, which slog.DiscardHandler does not.
func jsonLog() *slog.Logger {
	return slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // the lines are what is measured
}

// fullConfig is id, access log, metrics and recovery.
func fullConfig(tb testing.TB) observe.Config {
	tb.Helper()
	metrics, err := prom.New(prom.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return observe.Config{
		Log:       jsonLog(),
		Routes:    []string{"/users/{id}"},
		OnRequest: metrics.OnRequest,
	}
}

func BenchmarkMiddleware(b *testing.B) {
	event := observe.Config{Routes: []string{"/users/{id}"}, OnRequest: func(observe.RequestEvent) {}}
	log := observe.Config{Routes: event.Routes, Log: jsonLog()}
	for _, bb := range []struct {
		name string
		call func()
	}{
		{"none", through(answer())},
		{"id+recovery+event", chain(b, event)},
		{"id+recovery+event/in_place", chain(b, inPlace(event))},
		{"id+recovery+log", chain(b, log)},
		{"id+recovery+log+metrics", chain(b, fullConfig(b))},
		{"id+recovery+metrics", chain(b, withoutLog(fullConfig(b)))},
		{"promhttp/metrics", through(promInstrumented())},
		{"id+recovery+sentry", chain(b, withSentry(b))},
		{"sentryhttp/recovery+sentry", through(sentryInstrumented(b))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.call()
			}
		})
	}
}

func inPlace(cfg observe.Config) observe.Config {
	cfg.InPlace = true
	return cfg
}

func withoutLog(cfg observe.Config) observe.Config {
	cfg.Log = nil
	return cfg
}

// nowhere is a DSN that refuses connections: both peers pay for trying.
const nowhere = "http://key@127.0.0.1:1/1"

func withSentry(b *testing.B) observe.Config {
	b.Helper()
	r, err := sentryobs.New(sentryobs.Config{DSN: nowhere, Environment: "production"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close(b.Context()) })
	return observe.Config{Routes: []string{"/users/{id}"}, OnStart: r.OnStart, OnRequest: r.OnRequest, OnPanic: r.OnPanic}
}

func sentryInstrumented(b *testing.B) http.Handler {
	b.Helper()
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: nowhere, Release: "x", EnableTracing: true, TracesSampleRate: 0.15})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	hub := sentry.NewHub(client, sentry.NewScope())
	inner := sentryhttp.New(sentryhttp.Options{Repanic: true}).Handle(answer())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(sentry.SetHubOnContext(r.Context(), hub.Clone())))
	})
}

func promInstrumented() http.Handler {
	reg := prometheus.NewRegistry()
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total"}, []string{"method", "code"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds"}, []string{"method", "code"})
	reg.MustRegister(total, seconds)
	return promhttp.InstrumentHandlerCounter(total, promhttp.InstrumentHandlerDuration(seconds, answer()))
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tt := range []struct {
		rule string
		cfg  observe.Config
		max  float64
	}{
		{"id, recovery and event: the exchange and the id", observe.Config{OnRequest: func(observe.RequestEvent) {}}, 2},
		{"in place the same, smaller", inPlace(observe.Config{}), 2},
		{"with log and metrics also the record's attributes and the client's address", fullConfig(t), 4},
		{"with the access log the same", observe.Config{Log: jsonLog()}, 4},
	} {
		if n := testing.AllocsPerRun(200, chain(t, tt.cfg)); n > tt.max {
			t.Errorf("%s: %v allocations, want at most %v", tt.rule, n, tt.max)
		}
	}
}
