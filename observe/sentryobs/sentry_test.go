package sentryobs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/sentryobs"
)

// fakeSentry takes envelopes as Sentry does.
type fakeSentry struct {
	*httptest.Server
	mu    sync.Mutex
	raw   bytes.Buffer
	items map[string][]map[string]any // by item type
	trace map[string]any              // trace of the last envelope header
}

func newFakeSentry(t *testing.T) *fakeSentry {
	f := &fakeSentry{items: make(map[string][]map[string]any)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			zr, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = zr
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.take(t, data)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(f.Close)
	return f
}

// take reads an envelope: a header line, then pairs of item header and
// payload, each on its line.
func (f *fakeSentry) take(t *testing.T, data []byte) {
	f.raw.Write(data)
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	var header struct {
		Trace map[string]any `json:"trace"`
	}
	if err := json.Unmarshal(lines[0], &header); err != nil {
		t.Errorf("envelope header %q: %v", lines[0], err)
	}
	if header.Trace != nil {
		f.trace = header.Trace
	}
	for i := 1; i+1 < len(lines); i += 2 {
		var head struct {
			Type string `json:"type"`
		}
		var payload map[string]any
		if err := errors.Join(json.Unmarshal(lines[i], &head), json.Unmarshal(lines[i+1], &payload)); err != nil {
			t.Errorf("item %q: %v", lines[i], err)
		}
		f.items[head.Type] = append(f.items[head.Type], payload)
	}
}

func (f *fakeSentry) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items[kind])
}

func (f *fakeSentry) dsn() string {
	return strings.Replace(f.URL, "http://", "http://publickey@", 1) + "/1"
}

// service is a handler behind observe and a Reporter.
type service struct {
	http.Handler
	*sentryobs.Reporter
}

func newService(t *testing.T, cfg sentryobs.Config, h http.Handler) service {
	t.Helper()
	r, err := sentryobs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := observe.New(observe.Config{
		Routes:  []string{"/users/{id}", "/ok", "/metrics", "/health"},
		OnStart: r.OnStart, OnRequest: r.OnRequest, OnPanic: r.OnPanic,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return service{m.Wrap(h), r}
}

func (s service) get(path string, header ...string) {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	defer func() { _ = recover() }() // http.ErrAbortHandler
	s.ServeHTTP(httptest.NewRecorder(), r)
}

func (s service) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// status answers with the status that the query names; "panic" panics.
var status = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch s := r.URL.Query().Get("s"); s {
	case "500":
		w.WriteHeader(500)
	case "503":
		w.WriteHeader(503)
	case "404":
		w.WriteHeader(404)
	case "abort":
		panic(http.ErrAbortHandler)
	case "panic":
		panic(errors.New("dial postgres://app:hunter2hunter2@db/x?sslkey=zzquery: key sk_live_configured refused"))
	}
})

func TestConfigProblemsAreReportedAtOnceWithoutTheDSN(t *testing.T) {
	_, err := sentryobs.New(sentryobs.Config{
		DSN: "https://hunter2hunter2@", TracesSampleRate: math.NaN(), ErrorStatuses: []int{200}, IgnorePaths: []string{"x"},
	})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *sentryobs.ConfigError
		if !errors.As(e, &ce) {
			t.Fatalf("%T is no ConfigError", e)
		}
		got = append(got, ce.Field)
	}
	if d := cmp.Diff([]string{"DSN", "TracesSampleRate", "ErrorStatuses", "IgnorePaths"}, got); d != "" {
		t.Error(d)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the DSN is in %q", err)
	}
}

func TestTracesAreSampledByEnvironment(t *testing.T) {
	const requests = 1000
	for _, tt := range []struct {
		rule     string
		cfg      sentryobs.Config
		header   string
		min, max int
	}{
		// 1000 × 0.15 = 150, standard deviation 11.3; six of them either way.
		{"production: 0.15", sentryobs.Config{Environment: "production"}, "", 82, 218},
		{"no environment is production", sentryobs.Config{}, "", 82, 218},
		{"staging: all", sentryobs.Config{Environment: "staging"}, "", requests, requests},
		{"test: all", sentryobs.Config{Environment: "test"}, "", requests, requests},
		{"the caller said yes", sentryobs.Config{Environment: "production"}, "-1", requests, requests},
		{"the caller said no", sentryobs.Config{Environment: "staging"}, "-0", 0, 0},
		{"the caller left it open", sentryobs.Config{Environment: "staging"}, " ", requests, requests},
		{"turned off", sentryobs.Config{Environment: "staging", DisableTraces: true}, "-1", 0, 0},
		{"development: none", sentryobs.Config{Environment: "development"}, "-1", 0, 0},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := newFakeSentry(t)
			tt.cfg.DSN = f.dsn()
			s := newService(t, tt.cfg, status)
			var header []string
			if tt.header != "" {
				header = []string{"Sentry-Trace", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7" + strings.TrimSpace(tt.header)}
			}
			for i := range requests {
				s.get("/users/7", header...)
				if i%200 == 199 {
					s.flush(t) // the sender's buffer is bounded
				}
			}
			s.flush(t)
			n := f.count("transaction")
			if n < tt.min || n > tt.max {
				t.Errorf("%d traces of %d requests, want %d to %d", n, requests, tt.min, tt.max)
			}
			if want := uint64(requests - n); s.Dropped()[sentryobs.DroppedUnsampled]+s.Dropped()[sentryobs.DroppedDevelopment] != want && !tt.cfg.DisableTraces {
				t.Errorf("dropped %v, want %d", s.Dropped(), want)
			}
		})
	}
}

func TestTransactionNamesTheTemplateAndTheRate(t *testing.T) {
	f := newFakeSentry(t)
	s := newService(t, sentryobs.Config{DSN: f.dsn(), Environment: "staging", Release: "app@1", TracesSampleRate: 1}, status)
	s.get("/users/zzpath?s=x", "Sentry-Trace", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "Baggage", "sentry-release=zzforged")
	s.flush(t)
	if f.count("transaction") != 1 {
		t.Fatal("no transaction")
	}
	tx := f.items["transaction"][0]
	trace := tx["contexts"].(map[string]any)["trace"].(map[string]any)
	got := []any{tx["transaction"], tx["release"], tx["environment"], trace["trace_id"], trace["parent_span_id"], trace["op"], trace["status"], f.trace["sample_rate"], f.trace["release"]}
	want := []any{"GET /users/{id}", "app@1", "staging", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "http.server", "ok", "1", "app@1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatIsReportedAndWhatIsDropped(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		path    string
		cfg     sentryobs.Config
		events  int
		traces  int
		dropped map[sentryobs.Reason]uint64
	}{
		{"500 is an error", "/users/1?s=500", sentryobs.Config{}, 1, 1, nil},
		{"503 is not: drains and limits answer so", "/users/1?s=503", sentryobs.Config{}, 0, 1, nil},
		{"unless configured", "/users/1?s=503", sentryobs.Config{ErrorStatuses: []int{503}}, 1, 1, nil},
		{"no statuses at all", "/users/1?s=500", sentryobs.Config{ErrorStatuses: []int{}}, 0, 1, nil},
		{"404 is noise", "/users/1?s=404", sentryobs.Config{}, 0, 0, map[sentryobs.Reason]uint64{"not_found": 1}},
		{"a client that left is noise", "/users/1?s=abort", sentryobs.Config{}, 0, 0, map[sentryobs.Reason]uint64{"client_gone": 1}},
		{"health is noise", "/health?s=503", sentryobs.Config{}, 0, 0, map[sentryobs.Reason]uint64{"ignored": 1}},
		{"metrics are noise", "/metrics", sentryobs.Config{}, 0, 0, map[sentryobs.Reason]uint64{"ignored": 1}},
		{"a panic is one error, not two", "/users/1?s=panic", sentryobs.Config{}, 1, 1, nil},
		{"a panic behind an ignored path counts", "/health?s=panic", sentryobs.Config{}, 1, 0, map[sentryobs.Reason]uint64{"ignored": 1}},
		{"development sends nothing", "/users/1?s=500", sentryobs.Config{Environment: "development"}, 0, 0, map[sentryobs.Reason]uint64{"development": 1}},
		{"development sends no panic", "/users/1?s=panic", sentryobs.Config{Environment: "development"}, 0, 0, map[sentryobs.Reason]uint64{"development": 2}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := newFakeSentry(t)
			tt.cfg.DSN = f.dsn()
			if tt.cfg.Environment == "" {
				tt.cfg.Environment = "staging"
			}
			heard := map[sentryobs.Reason]uint64{}
			tt.cfg.OnDrop = func(r sentryobs.Reason) { heard[r]++ }
			s := newService(t, tt.cfg, status)
			s.get(tt.path)
			s.flush(t)
			if f.count("event") != tt.events || f.count("transaction") != tt.traces {
				t.Errorf("%d errors and %d traces, want %d and %d", f.count("event"), f.count("transaction"), tt.events, tt.traces)
			}
			if tt.dropped == nil {
				tt.dropped = map[sentryobs.Reason]uint64{}
			}
			if d := cmp.Diff(tt.dropped, s.Dropped()); d != "" {
				t.Errorf("dropped: %s", d)
			}
			if d := cmp.Diff(tt.dropped, heard); d != "" {
				t.Errorf("OnDrop: %s", d)
			}
			if tt.cfg.Environment == sentryobs.Development && f.raw.Len() > 0 {
				t.Errorf("sent %q", f.raw.String())
			}
		})
	}
}

func TestPanicHoldsTextAndStack(t *testing.T) {
	f := newFakeSentry(t)
	s := newService(t, sentryobs.Config{DSN: f.dsn(), Environment: "staging", DisableTraces: true, Secrets: []string{"sk_live_configured"}}, status)
	s.get("/users/1?s=panic")
	s.flush(t)
	if f.count("event") != 1 {
		t.Fatal("no event")
	}
	e := f.items["event"][0]
	ex := e["exception"].([]any)[0].(map[string]any)
	if want := "dial postgres://[redacted]@db/x?[redacted] key [redacted] refused"; ex["value"] != want {
		t.Errorf("text %q, want %q", ex["value"], want)
	}
	if ex["type"] != "*errors.errorString" || e["level"] != "fatal" || e["transaction"] != "GET /users/{id}" {
		t.Errorf("event %v", e)
	}
	frames := ex["stacktrace"].(map[string]any)["frames"].([]any)
	last := frames[len(frames)-1].(map[string]any)
	if path, _ := last["abs_path"].(string); !strings.HasSuffix(path, "sentry_test.go") {
		t.Errorf("the innermost frame is %v, want the handler that panicked", last)
	}
}

// Every place of a request that may hold a secret holds one of its own; none
// of them may be sent, by a panic, a 500 or a trace.
func TestSecretsAreNowhereInEnvelopes(t *testing.T) {
	f := newFakeSentry(t)
	s := newService(t, sentryobs.Config{DSN: f.dsn(), Environment: "staging", Secrets: []string{"zzconfigured"}},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			span := sentry.StartSpan(r.Context(), "work")
			hub := sentry.GetHubFromContext(r.Context())
			hub.Scope().SetRequest(r) // as the SDK's own middleware does
			hub.Scope().SetUser(sentry.User{Email: "zzuser@example.org", IPAddress: "203.0.113.77"})
			hub.AddBreadcrumb(&sentry.Breadcrumb{Message: "zzcrumb"}, nil)
			hub.CaptureMessage("of the handler: zzconfigured")
			_, _ = io.ReadAll(r.Body)
			span.Finish()
			status(w, r)
		}))
	for _, kind := range []string{"500", "panic", "ok"} {
		r := httptest.NewRequest("POST", "http://zzhost/users/zzpath?s="+kind+"&token=zzqueryvalue", strings.NewReader(`{"password":"zzbody"}`))
		r.RemoteAddr = "203.0.113.77:1"
		r.SetBasicAuth("zzname", "zzpassword")
		for name, value := range map[string]string{
			"Cookie": "session=zzcookie", "X-Api-Key": "zzheader", "User-Agent": "zzagent", "Referer": "https://x/?zzreferer",
			"Baggage": "sentry-user_id=zzbaggage,other=zzbaggage", "X-Forwarded-For": "203.0.113.77", "X-Request-Id": "zzrequestid",
			"Traceparent": "zztraceparent", "Content-Type": "application/json",
		} {
			r.Header.Set(name, value)
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	s.flush(t)
	if f.count("event") < 3 || f.count("transaction") != 3 {
		t.Fatalf("%d events and %d traces", f.count("event"), f.count("transaction"))
	}
	for _, secret := range []string{"zz", "203.0.113.77", "hunter2"} {
		if i := strings.Index(f.raw.String(), secret); i >= 0 {
			t.Errorf("%q in …%s…", secret, f.raw.String()[max(0, i-80):min(f.raw.Len(), i+80)])
		}
	}
}

func TestWithoutDSNTheEnvironmentDoesNotCount(t *testing.T) {
	f := newFakeSentry(t)
	t.Setenv("SENTRY_DSN", f.dsn())
	s := newService(t, sentryobs.Config{Environment: "production"}, status)
	s.get("/users/1?s=panic")
	s.flush(t)
	if f.raw.Len() > 0 {
		t.Errorf("sent %q", f.raw.String())
	}
}

func TestGlobalHubIsUntouched(t *testing.T) {
	f := newFakeSentry(t)
	newService(t, sentryobs.Config{DSN: f.dsn()}, status).get("/users/1?s=500")
	if sentry.CurrentHub().Client().IsEnabled() {
		t.Error("the global hub has a client")
	}
}

func TestSentryDownHoldsUpNothing(t *testing.T) {
	block := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer srv.Close()
	defer close(block)
	r, err := sentryobs.New(sentryobs.Config{DSN: strings.Replace(srv.URL, "http://", "http://k@", 1) + "/1", Environment: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		r.OnRequest(observe.RequestEvent{Context: t.Context(), Method: "GET", Route: "/x", Status: 500})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// The buffer is bounded, and neither call outlasts ctx.
	if err := r.Flush(ctx); !errors.Is(err, sentryobs.ErrNotDelivered) {
		t.Errorf("Flush: %v", err)
	}
	if err := r.Close(ctx); !errors.Is(err, sentryobs.ErrNotDelivered) {
		t.Errorf("Close: %v", err)
	}
}
