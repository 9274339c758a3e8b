package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// With an inbox the provider is answered when its message is stored; the handler
// may fail, and is called again.
func ExampleMiddleware_Deliver() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "inbox")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlstore.OpenSQLite(ctx, filepath.Join(dir, "deliveries.sqlite"))
	if err != nil {
		panic(err)
	}
	defer store.Close()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"whsec_test"}})
	if err != nil {
		panic(err)
	}
	hook, err := webhook.New(webhook.Config{Route: "stripe", Verifier: verifier, Inbox: &webhook.InboxConfig{
		Store: store, FirstRetry: 10 * time.Millisecond,
	}})
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := webhook.DeliveryFrom(r.Context())
		fmt.Println("handling", d.IdempotencyKey, "attempt", d.Attempt)
		if d.Attempt == 1 {
			http.Error(w, "the database is down", http.StatusInternalServerError)
			return
		}
		close(done)
	})

	// What the provider talks to. The handler is for messages without an id, of
	// which Stripe has none.
	body := `{"id":"evt_1","type":"invoice.paid"}`
	r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", stripeHeader(body, time.Now()))
	w := httptest.NewRecorder()
	hook.Wrap(handler).ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)

	// What runs as long as the service does.
	ended := make(chan error)
	go func() { ended <- hook.Deliver(ctx, handler) }()
	<-done
	stop()
	fmt.Println(<-ended)
	// Output:
	// 200 {"status":"accepted"}
	// handling stripe/evt_1 attempt 1
	// handling stripe/evt_1 attempt 2
	// <nil>
}
