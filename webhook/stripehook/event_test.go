package stripehook_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

// deliver posts the body, signed, through a middleware to next.
func deliver(t testing.TB, body string, next http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	store, err := webhook.NewMemory(webhook.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := webhook.New(webhook.Config{Route: "stripe", Verifier: verifier(t, secretA), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", sign(body, secretA, time.Now()))
	w := httptest.NewRecorder()
	m.Wrap(next).ServeHTTP(w, r)
	return w
}

func TestEventFrom(t *testing.T) {
	if stripehook.APIVersion == "2020-08-27" {
		t.Fatal("the test needs another version than stripe-go's")
	}
	const body = `{"id":"evt_1","object":"event","api_version":"2020-08-27","type":"invoice.paid","data":{"object":{"id":"in_1","object":"invoice"}}}`
	w := deliver(t, body, func(w http.ResponseWriter, r *http.Request) {
		e, err := stripehook.EventFrom(r.Context())
		if err != nil {
			t.Error(err)
		}
		if e.ID != "evt_1" || e.Type != "invoice.paid" || e.APIVersion != "2020-08-27" || e.Data == nil || e.GetObjectValue("id") != "in_1" {
			t.Errorf("event %+v", e)
		}
	})
	if w.Code != http.StatusOK || w.Header().Get("Handrail-Webhook") != "processed" {
		t.Errorf("answer %d %v", w.Code, w.Header())
	}
}

func TestEventFromOutsideOfADelivery(t *testing.T) {
	if _, err := stripehook.EventFrom(t.Context()); !errors.Is(err, stripehook.ErrNoDelivery) {
		t.Errorf("error %v, want ErrNoDelivery", err)
	}
}

func TestEventFromABodyThatIsNoEvent(t *testing.T) {
	deliver(t, `not JSON`, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := stripehook.EventFrom(r.Context()); err == nil || errors.Is(err, stripehook.ErrNoDelivery) {
			t.Errorf("error %v, want one of decoding", err)
		}
	})
}
