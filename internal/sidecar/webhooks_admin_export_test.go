package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/handrail-go/handrail/webhook"
)

// NewWebhookAdmin serves the admin API of deliveries over these stores, by kind,
// with the kind of store that each route has, and those in mode inbox. A nil store
// could not be opened.
func NewWebhookAdmin(log *slog.Logger, routes map[string]string, inbox map[string]bool, kinds []string, stores []webhook.Store, wake func()) http.Handler {
	a := &webhookAdmin{log: log, wake: wake, view: func(*http.Request) webhookView {
		v := webhookView{routes: routes, delivers: inbox, hidden: map[string]bool{"X-Acme-Proof": true}}
		for i, store := range stores {
			var err error
			if store == nil {
				err = errors.New("could not be opened")
			}
			v.stores = append(v.stores, newLedgerStore(kinds[i], store, err))
		}
		return v
	}}
	mux := http.NewServeMux()
	a.register(mux)
	return mux
}

// Deliver has the messages of m taken to next, until end is called. A replay calls
// wake.
func Deliver(m *webhook.Middleware, next http.Handler) (wake, end func()) {
	s := &Sidecar{}
	s.couriers.use(&assembly{couriers: []courier{{route: m, next: next}}})
	s.couriers.begin(context.Background())
	return s.wakeDeliveries, func() {
		s.couriers.end()
		s.couriers.running.Wait()
	}
}
