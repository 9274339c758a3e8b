package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/webhook"
)

// An operated is an inbox as operators see one. Nothing is delivered to it.
type operated struct {
	webhook.Inbox // nil: what else an inbox does is not asked for

	rows  int           // how many List reads for one page at most; 0: any number
	err   error         // of every question
	fails func() error  // of every change
	hangs chan struct{} // questions wait for their context
	asked int           // pages
	takes int           // by Take, of which there is nothing

	mu       sync.Mutex
	entries  map[string]webhook.Entry
	messages map[string]webhook.Stored
}

func newOperated(entries ...webhook.Entry) *operated {
	o := &operated{entries: map[string]webhook.Entry{}, messages: map[string]webhook.Stored{}}
	for _, e := range entries {
		o.entries[e.Key] = e
		if e.Kept != nil {
			route, _, _ := strings.Cut(e.Key, "/")
			o.messages[e.Key] = webhook.Stored{Route: route, Target: "/" + route, Header: http.Header{}, Body: []byte("body of " + e.Key)}
		}
	}
	return o
}

func (o *operated) answers(ctx context.Context) error {
	if o.hangs != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return o.err
}

func (o *operated) List(ctx context.Context, q webhook.Query) (page []webhook.Entry, after string, err error) {
	if err := o.answers(ctx); err != nil {
		return nil, "", err
	}
	if err := q.Check(); err != nil {
		return nil, "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	read := 0
	for _, key := range slices.Sorted(maps.Keys(o.entries)) {
		if key <= q.After {
			continue
		}
		if len(page) == q.Limit || o.rows > 0 && read == o.rows {
			return page, after, nil
		}
		read++
		after = key
		if e := o.entries[key]; q.Selects(key, e.State) {
			page = append(page, e)
		}
	}
	return page, "", nil
}

func (o *operated) Entry(ctx context.Context, key string) (webhook.Entry, error) {
	if err := o.answers(ctx); err != nil {
		return webhook.Entry{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.entries[key]
	if !ok {
		return e, webhook.ErrUnknownDelivery
	}
	return e, nil
}

func (o *operated) Revive(ctx context.Context, key string) error {
	return o.change(ctx, key, func(e *webhook.Entry) bool {
		ok := e.State == webhook.StateDead || e.Kept != nil && (e.State == webhook.StateRetry || brokeOff(e))
		e.State, e.MaybeProcessed, e.Attempt = webhook.StateRetry, true, 0
		return ok
	})
}

func (o *operated) Discard(ctx context.Context, key string) error {
	return o.change(ctx, key, func(e *webhook.Entry) bool {
		ok := e.State == webhook.StateDead || e.State == webhook.StateRetry || brokeOff(e)
		e.State, e.Kept = webhook.StateDead, nil
		return ok
	})
}

// brokeOff reports whether e is claimed, and its lease over.
func brokeOff(e *webhook.Entry) bool {
	return e.State == webhook.StateClaimed && e.Kept != nil && !e.Kept.Due.IsZero()
}

func (o *operated) change(ctx context.Context, key string, to func(*webhook.Entry) bool) error {
	e, err := o.Entry(ctx, key)
	if err == nil && o.fails != nil {
		err = o.fails()
	}
	if err != nil {
		return err
	}
	if !to(&e) {
		return webhook.ErrWrongState
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries[key] = e
	return nil
}

func (o *operated) Take(context.Context, string, int, time.Duration) ([]webhook.Taken, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.takes++
	return nil, nil
}

func (o *operated) Message(ctx context.Context, key string) (webhook.Stored, error) {
	if err := o.answers(ctx); err != nil {
		return webhook.Stored{}, err
	}
	m, ok := o.messages[key]
	if !ok {
		return m, webhook.ErrNoMessage
	}
	return m, nil
}

func (o *operated) Backlog(ctx context.Context) ([]webhook.Backlog, error) {
	if err := o.answers(ctx); err != nil {
		return nil, err
	}
	by := map[string]*webhook.Backlog{}
	for key, e := range o.entries {
		route, _, _ := strings.Cut(key, "/")
		if e.Kept == nil {
			continue
		}
		if by[route] == nil {
			by[route] = &webhook.Backlog{Route: route}
		}
		if e.State == webhook.StateDead {
			by[route].Dead++
		} else {
			by[route].Waiting++
			by[route].Oldest = 90 * time.Second
		}
	}
	var out []webhook.Backlog
	for _, route := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[route])
	}
	return out, nil
}

// entry is a delivery; one with kept has a message.
func entry(key string, state webhook.State, kept bool) webhook.Entry {
	e := webhook.Entry{Key: key, Record: webhook.Record{State: state, Fence: 3, Attempt: 2}, Updated: updated}
	if kept {
		e.Kept = &webhook.Kept{
			Received: updated.Add(-time.Hour), Due: updated.Add(time.Hour), BodyBytes: 7, EventType: "invoice.paid",
			LastStatus: 500, LastReason: "answered",
		}
	}
	return e
}

var updated = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// An adminAPI is the admin API of deliveries over stores of tests, without the
// rules of who may ask.
type adminAPI struct {
	t       *testing.T
	handler http.Handler
	log     bytes.Buffer
	woken   int
}

// adminOver has for each kind of store what it is; routes are "name kind", of
// which all but "sync" have mode inbox.
func adminOver(t *testing.T, routes string, stores map[string]webhook.Store) *adminAPI {
	t.Helper()
	a := &adminAPI{t: t}
	fields, of, inbox := strings.Fields(routes), map[string]string{}, map[string]bool{}
	for i := 0; i+1 < len(fields); i += 2 {
		of[fields[i]], inbox[fields[i]] = fields[i+1], fields[i] != "sync"
	}
	kinds := slices.Sorted(maps.Keys(stores))
	var list []webhook.Store
	for _, kind := range kinds {
		list = append(list, stores[kind])
	}
	a.handler = sidecar.NewWebhookAdmin(slog.New(slog.NewTextHandler(&a.log, nil)), of, inbox, kinds, list, func() { a.woken++ })
	return a
}

// ask sends a request and returns status and body of the answer.
func (a *adminAPI) ask(method, target, body string) (int, string) {
	a.t.Helper()
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, httptest.NewRequestWithContext(a.t.Context(), method, target, strings.NewReader(body)))
	if w.Code == http.StatusOK && w.Header().Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s %s: Cache-Control %q", method, target, w.Header().Get("Cache-Control"))
	}
	data, err := io.ReadAll(w.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return w.Code, string(data)
}

// into asks for what is answered with 200.
func (a *adminAPI) into(out interface{ Check() error }, method, target, body string) {
	a.t.Helper()
	status, text := a.ask(method, target, body)
	if status != http.StatusOK {
		a.t.Fatalf("%s %s: %d %s", method, target, status, text)
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		a.t.Fatal(err)
	}
	if err := out.Check(); err != nil {
		a.t.Fatalf("%s %s: %v in %s", method, target, err, text)
	}
}

// keys are those of all pages, each with its state, and the pages.
func (a *adminAPI) keys(query string) (all []string, pages []sidecar.Webhooks) {
	a.t.Helper()
	for after := ""; ; after = pages[len(pages)-1].After {
		if len(pages) > 0 && after == "" {
			return all, pages
		}
		if len(pages) > 10_000 {
			a.t.Fatal("the pages come to no end")
		}
		var page sidecar.Webhooks
		a.into(&page, "GET", sidecar.WebhooksPath+"?after="+after+"&"+query, "")
		for _, d := range page.Deliveries {
			all = append(all, fmt.Sprintf("%s %s %s", d.Store, d.Key, d.State))
		}
		pages = append(pages, page)
	}
}
