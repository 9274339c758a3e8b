package prom_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/prom"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func newMetrics(tb testing.TB, cfg prom.Config) *prom.Metrics {
	tb.Helper()
	m, err := prom.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// samples is what /metrics says about metrics whose name begins with prefix.
func samples(m *prom.Metrics, prefix string) []string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var out []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

func event(route string, status int, o observe.Outcome) observe.RequestEvent {
	return observe.RequestEvent{Method: "GET", Route: route, Status: status, Outcome: o, Duration: 20 * time.Millisecond}
}

func TestConfigProblemsAreReportedAtOnce(t *testing.T) {
	_, err := prom.New(prom.Config{MaxSeries: -1, Buckets: []float64{1, 1}})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *prom.ConfigError
		if !errors.As(e, &ce) {
			t.Fatalf("%T is no ConfigError", e)
		}
		got = append(got, ce.Field)
	}
	if d := cmp.Diff([]string{"MaxSeries", "Buckets"}, got); d != "" {
		t.Error(d)
	}
}

func TestStatusLabelTellsHowRequestsEnded(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	m.OnRequest(event("/a", 200, observe.Completed))
	m.OnRequest(event("/a", 200, observe.Completed))
	m.OnRequest(event("/a", 200, observe.Aborted)) // half an answer is no success
	m.OnRequest(event("/a", 0, observe.Aborted))
	m.OnRequest(event("/a", 200, observe.Panicked)) // panicked after the header
	m.OnRequest(event("/ws", 101, observe.Hijacked))
	want := []string{
		`http_requests_total{method="GET",route="/a",status="200"} 2`,
		`http_requests_total{method="GET",route="/a",status="500"} 1`,
		`http_requests_total{method="GET",route="/a",status="aborted"} 2`,
		`http_requests_total{method="GET",route="/ws",status="101"} 1`,
	}
	if d := cmp.Diff(want, samples(m, "http_requests_total")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{`http_request_duration_seconds_count{method="GET",route="/a"} 5`},
		samples(m, "http_request_duration_seconds_count")); d != "" {
		t.Errorf("how long a client kept a hijacked connection is no latency: %s", d)
	}
}

func TestHandrailMetrics(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	m.RateLimitDecision("auth", "denied")
	m.WebhookDelivery("stripe", "stripe", "duplicate")
	m.WebhookSecrets("stripe", 2)
	m.WebhookVerified("stripe", 0, "2025-01-27.acacia")
	m.CollectInboxes(func() []prom.Inbox {
		return []prom.Inbox{{Route: "stripe", Waiting: 3, Dead: 1, Oldest: 90 * time.Second}}
	})
	m.FlagEvaluation("new-checkout", "on", "TARGETING_MATCH")
	m.FlagCounter("new-checkout", "on", "TARGETING_MATCH").Inc()
	m.HealthCheck("database", true)
	m.HealthCheck("redis", true)
	m.HealthCheck("redis", false)
	want := []string{
		`handrail_flag_evaluations_total{flag="new-checkout",reason="TARGETING_MATCH",variant="on"} 2`,
		`handrail_health_check_up{check="database"} 1`,
		`handrail_health_check_up{check="redis"} 0`,
		`handrail_ratelimit_decisions_total{outcome="denied",policy="auth"} 1`,
		`handrail_webhook_api_versions_total{api_version="2025-01-27.acacia",route="stripe"} 1`,
		`handrail_webhook_deliveries_total{outcome="duplicate",provider="stripe",route="stripe"} 1`,
		`handrail_webhook_inbox_messages{route="stripe",state="dead"} 1`,
		`handrail_webhook_inbox_messages{route="stripe",state="waiting"} 3`,
		`handrail_webhook_inbox_oldest_seconds{route="stripe"} 90`,
		`handrail_webhook_secret_matches_total{route="stripe",secret="0"} 1`,
		`handrail_webhook_secret_matches_total{route="stripe",secret="1"} 0`,
	}
	if d := cmp.Diff(want, samples(m, "handrail_")); d != "" {
		t.Error(d)
	}
}

func TestPromlint(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	m.OnRequest(event("/a", 200, observe.Completed))
	m.RateLimitDecision("a", "b")
	m.WebhookDelivery("a", "b", "c")
	m.WebhookVerified("a", 0, "b")
	m.CollectInboxes(func() []prom.Inbox { return []prom.Inbox{{Route: "a"}} })
	m.FlagEvaluation("a", "b", "c")
	m.FlagsTaken(0)
	m.CollectFlags(func() prom.Flags {
		return prom.Flags{LoadedAt: time.Unix(1, 0), Expiries: []prom.FlagExpiry{{"a", "b", time.Unix(1, 0)}}}
	})
	m.HealthCheck("a", true)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestLabelsStayBounded(t *testing.T) {
	const limit = 50
	m := newMetrics(t, prom.Config{MaxSeries: limit})
	for i := range 100_000 {
		s := fmt.Sprint(i)
		m.OnRequest(event(s, 200+i%400, observe.Completed))
		m.FlagEvaluation(s, s, s)
		m.RateLimitDecision(s, "denied")
		m.HealthCheck(s, true)
	}
	for _, name := range []string{"http_requests_total", "http_request_duration_seconds_count", "handrail_flag", "handrail_ratelimit", "handrail_health"} {
		got := samples(m, name)
		if len(got) > limit+101 {
			t.Errorf("%s: %d series", name, len(got))
		}
		if !strings.Contains(strings.Join(got, "\n"), `"overflow"`) {
			t.Errorf("%s: no overflow", name)
		}
	}
	total := 0.0
	for _, line := range samples(m, "http_requests_total") {
		var n float64
		_, _ = fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n)
		total += n
	}
	if total != 100_000 {
		t.Errorf("%v requests counted of 100000", total)
	}
	if got := samples(m, `handrail_ratelimit_decisions_total{outcome="denied",policy="overflow"}`); len(got) != 1 {
		t.Errorf("the outcome is lost in the overflow: %v", got)
	}
}

func TestLabelsOfAnyBytesAreTaken(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	m.FlagEvaluation("\xff\xfe", strings.Repeat("ä", 100), "a\nb\"")
	if got := samples(m, "handrail_flag"); len(got) != 1 || len(got[0]) > 400 {
		t.Errorf("got %q", got)
	}
}

func TestDefaultRegistryIsUntouchedAndInstancesAreApart(t *testing.T) {
	a, b := newMetrics(t, prom.Config{}), newMetrics(t, prom.Config{})
	a.OnRequest(event("/a", 200, observe.Completed))
	if got := samples(b, "http_requests_total"); got != nil {
		t.Errorf("the other instance has %v", got)
	}
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "http_") || strings.HasPrefix(f.GetName(), "handrail_") {
			t.Errorf("the default registry has %s", f.GetName())
		}
	}
}

func TestHandlerSpeaksOpenMetricsWhenAsked(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	m.OnRequest(event("/a", 200, observe.Completed))
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("%v …%s", w.Header(), w.Body.String()[max(0, w.Body.Len()-80):])
	}
	if !regexp.MustCompile(`(?m)^http_requests_total\{method="GET",route="/a",status="200"\} 1\.0$`).MatchString(w.Body.String()) {
		t.Error("the counter is missing")
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if len(samples(m, name)) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestConcurrentObservationsAreAllCounted(t *testing.T) {
	m := newMetrics(t, prom.Config{MaxSeries: 5})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				m.RateLimitDecision(fmt.Sprint(g, i%10), "ok")
			}
		})
	}
	wg.Wait()
	total := 0
	for _, line := range samples(m, "handrail_ratelimit") {
		var n int
		_, _ = fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n)
		total += n
	}
	if total != 4000 {
		t.Errorf("%d counted of 4000", total)
	}
}

func TestWarmObservationsDoNotAllocate(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	ev := event("/users/{id}", 200, observe.Completed)
	if n := testing.AllocsPerRun(200, func() {
		m.OnRequest(ev)
		m.RateLimitDecision("auth", "denied")
		m.WebhookDelivery("stripe", "stripe", "processed")
		m.FlagEvaluation("f", "on", "STATIC")
		m.HealthCheck("db", true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOverflowDoesNotAllocate(t *testing.T) {
	m := newMetrics(t, prom.Config{MaxSeries: 3})
	for _, s := range []string{"a", "b", "c", "d"} {
		m.OnRequest(event(s, 200, observe.Completed))
		m.FlagEvaluation(s, "on", "STATIC")
	}
	ev := event("another", 200, observe.Completed)
	if n := testing.AllocsPerRun(200, func() {
		m.OnRequest(ev)
		m.FlagEvaluation("another", "on", "STATIC")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func Example() {
	metrics, err := prom.New(prom.Config{})
	if err != nil {
		panic(err)
	}
	m, err := observe.New(observe.Config{
		Routes:    []string{"/users/{id}"},
		OnRequest: metrics.OnRequest,
	})
	if err != nil {
		panic(err)
	}
	app := m.Wrap(http.NotFoundHandler())
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))

	fmt.Println(samples(metrics, "http_requests_total")) // as metrics.Handler() serves it
	// Output: [http_requests_total{method="GET",route="/users/{id}",status="404"} 1]
}
