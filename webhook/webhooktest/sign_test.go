package webhooktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// A delivery of each provider whose signer takes the verifier's secret passes
// through the middleware, once.
func TestSignedRequestsPassTheMiddleware(t *testing.T) {
	for _, p := range webhook.Providers() {
		cfg := webhook.VerifierConfig{Provider: p.Name, Secrets: []string{"whsec_c2VjcmV0"}}
		body := `{"id":"1","event_id":"1"}`
		switch p.Name {
		case "discord", "sendgrid", "linear": // keys of another kind; a time in the body
			continue
		case "square", "twilio":
			cfg.PublicURL = "https://example.com/hook"
		case "hmac":
			cfg.ID = "json:/id"
			cfg.HMAC = webhook.HMACConfig{Header: "X-Sig", Algorithm: "sha256", Encoding: "hex", Signed: "{timestamp:X-Time}.{body}"}
		}
		if p.Name == "twilio" {
			body = "MessageSid=SM1&Body=hello+there"
		}
		t.Run(p.Name, func(t *testing.T) {
			verifier, err := webhook.NewVerifier(cfg)
			if err != nil {
				t.Fatal(err)
			}
			store, err := webhook.NewMemory(webhook.MemoryConfig{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := webhook.New(webhook.Config{Route: "r", Verifier: verifier, Store: store})
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
			var answers []string
			for range 2 {
				r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				webhooktest.Sign(t, cfg, r)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				answers = append(answers, fmt.Sprint(w.Code, " ", w.Header().Get("Handrail-Webhook")))
			}
			if got := strings.Join(answers, ", "); calls != 1 || got != "200 processed, 200 duplicate" {
				t.Errorf("%d calls, answers %s", calls, got)
			}
		})
	}
}
