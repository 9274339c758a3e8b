package webhook_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v joins nothing", err)
	}
	var fields []string
	for _, e := range joined.Unwrap() {
		var ce *webhook.ConfigError
		if !errors.As(e, &ce) {
			t.Fatalf("%v is no ConfigError", e)
		}
		if !strings.HasPrefix(ce.Error(), "webhook: "+ce.Field+": ") {
			t.Errorf("error %q does not name its field", ce)
		}
		fields = append(fields, ce.Field)
	}
	return fields
}

func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*webhook.Config)
		want   []string
	}{
		"nothing at all":                        {func(c *webhook.Config) { *c = webhook.Config{} }, []string{"Route", "Verifier", "Store"}},
		"a route with a slash":                  {func(c *webhook.Config) { c.Route = "a/b" }, []string{"Route"}},
		"a route of 65 bytes":                   {func(c *webhook.Config) { c.Route = strings.Repeat("a", 65) }, []string{"Route"}},
		"a negative timeout":                    {func(c *webhook.Config) { c.Timeout = -1 }, []string{"Timeout"}},
		"a timeout of hours":                    {func(c *webhook.Config) { c.Timeout = 2 * time.Hour }, []string{"Timeout"}},
		"a lease of days":                       {func(c *webhook.Config) { c.Lease = 25 * time.Hour }, []string{"Lease"}},
		"a retention of years":                  {func(c *webhook.Config) { c.Retention = 8761 * time.Hour }, []string{"Retention"}},
		"a lease that leaves no time to settle": {func(c *webhook.Config) { c.Lease = 29 * time.Second }, []string{"Lease"}},
		"a retention below Stripe's retries":    {func(c *webhook.Config) { c.Retention = 71 * time.Hour }, []string{"Retention"}},
		"a timeout above the provider's deadline": {func(c *webhook.Config) {
			c.Verifier, c.Timeout = newVerifier(t, webhook.VerifierConfig{Provider: "github", Secrets: []string{"s"}}), 10*time.Second
		}, []string{"Timeout"}},
		"a retention below the lease":             {func(c *webhook.Config) { c.Verifier, c.Retention = fixedID("1"), time.Second }, []string{"Retention"}},
		"a negative body limit":                   {func(c *webhook.Config) { c.MaxBodyBytes = -1 }, []string{"MaxBodyBytes"}},
		"a body limit above 64 MiB":               {func(c *webhook.Config) { c.MaxBodyBytes = 64<<20 + 1 }, []string{"MaxBodyBytes"}},
		"room for less than one body":             {func(c *webhook.Config) { c.MaxBufferedBytes = 1<<20 - 1 }, []string{"MaxBufferedBytes"}},
		"statuses that are no refusals":           {func(c *webhook.Config) { c.DiscardStatuses = []int{410, 200, 600} }, []string{"DiscardStatuses[1]", "DiscardStatuses[2]"}},
		"several problems are all told, at once":  {func(c *webhook.Config) { c.Route, c.Store, c.MaxBodyBytes = "", nil, -1 }, []string{"Route", "Store", "MaxBodyBytes"}},
		"a timeout so long that it overflows all": {func(c *webhook.Config) { c.Timeout = 1<<63 - 1 }, []string{"Timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := webhook.Config{Route: "stripe", Verifier: stripeVerifier(t), Store: memory(t)}
			tt.change(&cfg)
			m, err := webhook.New(cfg)
			if m != nil || err == nil {
				t.Fatalf("New = %v, %v", m, err)
			}
			if got := fieldsOf(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("problems in %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMiddlewareKeepsItsStatuses(t *testing.T) {
	statuses := []int{422}
	m, _ := build(t, func(c *webhook.Config) { c.DiscardStatuses = statuses })
	statuses[0] = 500
	answerIs(t, serve(m.Wrap(answering(500)), stripeRequest(stripeBody)), 503, "*", "")
	answerIs(t, serve(m.Wrap(answering(422)), stripeRequest(stripeBody)), 200, "*", "dead")
}

func TestTheProvidersDefaultsHold(t *testing.T) {
	slack := newVerifier(t, webhook.VerifierConfig{Provider: "slack", Secrets: []string{"s"}})
	m, _ := build(t, func(c *webhook.Config) { c.Route, c.Verifier = "slack", slack })
	body := `{"event_id":"e-1"}`
	signed := signedMessage(t, webhook.VerifierConfig{Provider: "slack", Secrets: []string{"s"}}, webhook.Message{Body: []byte(body), Now: time.Now()})
	calls := 0
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		deadline, ok := r.Context().Deadline()
		if left := time.Until(deadline); !ok || left > 2500*time.Millisecond {
			t.Errorf("%v left, of a deadline %t", left, ok)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("hello"))
	}))
	for range 2 { // the second is the first one's answer
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		r.Header = signed.Header.Clone()
		res := serve(h, r)
		if got := text(t, res); res.StatusCode != http.StatusAccepted || got != "hello" {
			t.Errorf("answer %d %q", res.StatusCode, got)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}
