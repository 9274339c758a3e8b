package sidecar

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// storePatience bounds a question to one store, and adminPatience all of a
	// request, so that a command hears which store it is that does not answer.
	storePatience = 2500 * time.Millisecond
	adminPatience = 8 * time.Second
	// longEnough is after how much time a page ends, however few are on it.
	longEnough = 2 * time.Second
)

// A ledgerStore is a store of deliveries as operators see it.
type ledgerStore struct {
	kind   string
	ledger webhook.Ledger
	inbox  webhook.Inbox // nil where no messages are kept
	err    error         // why there is none
}

// webhookView is the routes in force and their stores, by kind.
type webhookView struct {
	routes   map[string]string // name → kind of its store
	delivers map[string]bool   // those that have mode inbox
	hidden   map[string]bool   // headers that carry signatures
	stores   []ledgerStore
}

func (s *Sidecar) webhookView(r *http.Request) webhookView {
	c := &s.current.Load().loaded.Config
	v := webhookView{routes: map[string]string{}, delivers: map[string]bool{}, hidden: map[string]bool{}}
	for _, p := range webhook.Providers() {
		v.hidden[http.CanonicalHeaderKey(p.SignatureHeader)] = true
	}
	kinds := map[string]bool{}
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		v.routes[w.Name] = c.deliveryStore(w)
		v.delivers[w.Name] = w.Mode == modeInbox
		v.hidden[http.CanonicalHeaderKey(w.HMAC.Header)] = true
		kinds[v.routes[w.Name]] = true
	}
	for kind := range s.stores.deliveries.inSQL() {
		kinds[kind] = true // what was left there is told as well
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		store, err := s.stores.deliveries.store(r.Context(), kind)
		v.stores = append(v.stores, newLedgerStore(kind, store, err))
	}
	return v
}

func newLedgerStore(kind string, store webhook.Store, err error) ledgerStore {
	if err != nil {
		return ledgerStore{kind: kind, err: err}
	}
	ledger, ok := store.(webhook.Ledger)
	if !ok {
		return ledgerStore{kind: kind, err: errors.New("the store cannot tell what it holds")}
	}
	inbox, _ := store.(webhook.Inbox) // nil is an answer
	return ledgerStore{kind: kind, ledger: ledger, inbox: inbox}
}

// ask runs one question to the store.
func (s *ledgerStore) ask(ctx context.Context, f func(context.Context) error) error {
	if s.err != nil {
		return s.err
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	return f(ctx)
}

func (s *ledgerStore) list(ctx context.Context, q webhook.Query) (page []webhook.Entry, after string, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		page, after, err = s.ledger.List(ctx, q)
		return err
	})
	return page, after, err
}

// find is the delivery of key, and where it is: in the store of its route, or,
// from before a change of the configuration, in another one. Errors:
// webhook.ErrUnknownDelivery, or that of the store that could not be asked.
func (v *webhookView) find(ctx context.Context, key string) (s *ledgerStore, e webhook.Entry, err error) {
	if !listed(key) {
		return nil, e, webhook.ErrUnknownDelivery
	}
	route, _, _ := strings.Cut(key, "/")
	for _, own := range []bool{true, false} {
		for i := range v.stores {
			if s = &v.stores[i]; (s.kind == v.routes[route]) != own {
				continue
			}
			err = s.ask(ctx, func(ctx context.Context) error {
				e, err = s.ledger.Entry(ctx, key)
				return err
			})
			if !errors.Is(err, webhook.ErrUnknownDelivery) {
				return s, e, err
			}
		}
	}
	return nil, e, webhook.ErrUnknownDelivery
}

// A cursor is a place in the list of all deliveries.
type cursor struct{ kind, after string }

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.kind + ":" + c.after))
}

// stores are those from the place that text names, which was said by a cursor,
// and where to go on in the first one of them.
func (v *webhookView) from(text string) (stores []ledgerStore, after string, ok bool) {
	if text == "" {
		return v.stores, "", true
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	kind, after, found := strings.Cut(string(data), ":")
	if err != nil || !found || !slices.Contains([]string{storeMemory, storePostgres, storeRedis, storeSQLite}, kind) {
		return nil, "", false
	}
	i := slices.IndexFunc(v.stores, func(s ledgerStore) bool { return s.kind >= kind })
	if i < 0 {
		return nil, "", true
	}
	if v.stores[i].kind != kind { // its last route is gone
		after = ""
	}
	return v.stores[i:], after, true
}

// walk goes through the pages of the stores from a place on: use says how many
// the next one may hold and gets it, until it wants no more or time is up. It
// returns the place where it ended, empty after the last page, and the stores
// that did not answer.
func (v *webhookView) walk(ctx context.Context, from string, q webhook.Query, want func() int, use func(*ledgerStore, []webhook.Entry) error) (string, []StoreError, bool) {
	stores, after, ok := v.from(from)
	started := time.Now()
	var failed []StoreError
	for i := range stores {
		s := &stores[i]
		for {
			if q.Limit = want(); q.Limit <= 0 || time.Since(started) > longEnough {
				return cursor{s.kind, after}.String(), failed, ok
			}
			q.After = after
			page, next, err := s.list(ctx, q)
			if err == nil {
				err = use(s, page)
			}
			if err != nil {
				failed = append(failed, StoreError{Store: s.kind, Error: err.Error()})
			}
			if after = next; err != nil || next == "" {
				break
			}
		}
		after = ""
	}
	return "", failed, ok
}
