package stripehook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

func Example() {
	verifier, err := stripehook.New(stripehook.Config{Secrets: []string{"whsec_example"}})
	if err != nil {
		panic(err)
	}
	store, err := webhook.NewMemory(webhook.MemoryConfig{})
	if err != nil {
		panic(err)
	}
	hook, err := webhook.New(webhook.Config{Route: "stripe", Verifier: verifier, Store: store})
	if err != nil {
		panic(err)
	}
	handler := hook.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := stripehook.EventFrom(r.Context())
		if err != nil {
			http.Error(w, "not an event", http.StatusUnprocessableEntity)
			return
		}
		fmt.Println("handling", event.Type, event.ID)
	}))

	// What Stripe sends, twice.
	body := `{"id":"evt_1","object":"event","type":"invoice.paid"}`
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{
		Payload: []byte(body), Secret: "whsec_example", Timestamp: time.Now(),
	})
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
		r.Header.Set("Stripe-Signature", signed.Header)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// handling invoice.paid evt_1
	// 200 {"status":"processed"}
	// 200 {"status":"duplicate"}
}
