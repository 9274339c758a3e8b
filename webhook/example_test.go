package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

func Example() {
	verifier, err := stripehook.New(stripehook.Config{Secrets: []string{"whsec_test"}})
	if err != nil {
		panic(err)
	}
	store, err := webhook.NewMemory(webhook.MemoryConfig{}) // in production: sqlstore.OpenSQLite
	if err != nil {
		panic(err)
	}
	hook, err := webhook.New(webhook.Config{Route: "stripe", Verifier: verifier, Store: store})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/stripe", hook.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := webhook.DeliveryFrom(r.Context())
		fmt.Println("handling", d.IdempotencyKey, d.Event.Type)
	})))

	body := `{"id":"evt_1","type":"invoice.paid"}`
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
		r.Header.Set("Stripe-Signature", stripeHeader(body, time.Now()))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// handling stripe/evt_1 invoice.paid
	// 200 {"status":"processed"}
	// 200 {"status":"duplicate"}
}

// Every problem of a Config is told at once.
func ExampleNew_errors() {
	_, err := webhook.New(webhook.Config{Route: "my hook", Timeout: -time.Second})
	fmt.Println(err)
	var problem *webhook.ConfigError
	fmt.Println(errors.As(err, &problem), problem.Field)
	// Output:
	// webhook: Route: "my hook": must be 1 to 64 of A-Z a-z 0-9 . _ -
	// webhook: Verifier: is required
	// webhook: Store: is required
	// webhook: Timeout: "-1s": must be 1ms to 1h
	// true Route
}
