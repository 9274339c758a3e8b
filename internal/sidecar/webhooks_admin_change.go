package sidecar

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
	"github.com/handrail-go/handrail/webhook"
)

const (
	maxChangeBytes = 64 << 10
	// changesAtOnce is how many deliveries are changed between two looks at the
	// time.
	changesAtOnce = 50

	stateDead = "dead"

	replayForm = `the body must be {"key": KEY} or {"route": NAME, "state": "dead", "limit": 1 TO 1000, "after": AFTER}, the last two if need be`
	purgeForm  = `the body must be {"key": KEY} or {"route": NAME, "state": "dead", "older_than": "72h", "after": AFTER}, the last two if need be`
)

// A change does to one delivery what it can, and says what came of it; nothing
// when it is not for that delivery.
type change struct {
	what string // for the log
	one  func(ctx context.Context, v *webhookView, s *ledgerStore, e *webhook.Entry) (outcome string, err error)
	// those of a route, by its name
	route, after string
	limit        int
	applies      func(e *webhook.Entry) bool
	refusal      string // of a delivery in another state
}

func (a *webhookAdmin) replay(w http.ResponseWriter, r *http.Request) {
	var in WebhookReplay
	if !readChange(w, r, &in, replayForm, "key", "route", "state", "limit", "after") {
		return
	}
	if !oneForm(in.Key, in.Route, in.State, in.Limit != 0 || in.After != "") || in.Limit < 0 || in.Limit > WebhookPageLimit {
		writeDetail(w, http.StatusBadRequest, "bad_request", replayForm)
		return
	}
	if in.Limit == 0 {
		in.Limit = WebhookPageLimit
	}
	a.change(w, r, in.Key, change{
		what: "replay", one: revive, route: in.Route, after: in.After, limit: in.Limit,
		applies: func(*webhook.Entry) bool { return true },
		refusal: "what is dead can be replayed, and what waits with its message",
	})
}

func (a *webhookAdmin) purge(w http.ResponseWriter, r *http.Request) {
	var in WebhookPurge
	if !readChange(w, r, &in, purgeForm, "key", "route", "state", "older_than", "after") {
		return
	}
	older, err := time.Duration(0), error(nil)
	if in.OlderThan != "" {
		older, err = time.ParseDuration(in.OlderThan)
	}
	if err != nil || older < 0 || !oneForm(in.Key, in.Route, in.State, in.OlderThan != "" || in.After != "") {
		writeDetail(w, http.StatusBadRequest, "bad_request", purgeForm)
		return
	}
	before := time.Now().Add(-older)
	a.change(w, r, in.Key, change{
		what: "purge", one: discard, route: in.Route, after: in.After, limit: WebhookPageLimit,
		applies: func(e *webhook.Entry) bool {
			return e.Kept != nil && (older == 0 || !e.Updated.IsZero() && e.Updated.Before(before))
		},
		refusal: "what is dead, waits or is to be retried can be purged",
	})
}

// readChange reads the body of a request into in, and answers it if it is none.
func readChange(w http.ResponseWriter, r *http.Request, in any, form string, names ...string) bool {
	data, err := httpx.ReadBody(r, maxChangeBytes, nil)
	if errors.Is(err, httpx.ErrBodyTooLarge) {
		httpx.WriteError(w, r, http.StatusRequestEntityTooLarge, "body_too_large")
		return false
	}
	if err == nil {
		err = strictJSON(data, in, names...)
	}
	if err != nil {
		writeDetail(w, http.StatusBadRequest, "bad_request", form)
	}
	return err == nil
}

// oneForm reports whether a change is about a key alone, or about the dead ones
// of a route, which more may narrow.
func oneForm(key, route, state string, more bool) bool {
	if key != "" {
		return route == "" && state == "" && !more
	}
	return route != "" && state == stateDead
}

// revive has a delivery attempted again.
func revive(ctx context.Context, v *webhookView, s *ledgerStore, e *webhook.Entry) (string, error) {
	if err := s.ledger.Revive(ctx, e.Key); err != nil {
		return "", err
	}
	d := told(e, s.kind)
	switch {
	case e.Kept == nil:
		return OutcomeAwaitsProvider, nil
	case v.routes[d.Route] != s.kind || !v.delivers[d.Route]:
		return OutcomeNoRoute, nil
	}
	return OutcomeDue, nil
}

// discard deletes what is kept of a delivery.
func discard(ctx context.Context, _ *webhookView, s *ledgerStore, e *webhook.Entry) (string, error) {
	if e.State == webhook.StateDead && e.Kept == nil {
		return OutcomeNothingKept, nil
	}
	if err := s.ledger.Discard(ctx, e.Key); err != nil {
		return "", err
	}
	if e.Kept == nil {
		return OutcomeStopped, nil
	}
	return OutcomeDeleted, nil
}

// change makes c of one delivery, or of those of a route, and answers.
func (a *webhookAdmin) change(w http.ResponseWriter, r *http.Request, key string, c change) {
	ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
	defer cancel()
	v := a.view(r)
	out := WebhooksChanged{Deliveries: []WebhookOutcome{}}
	var ok bool
	if key != "" {
		ok = a.changeOne(ctx, w, &v, key, c, &out)
	} else {
		ok = a.changeRoute(ctx, w, &v, c, &out)
	}
	for _, d := range out.Deliveries {
		if d.Outcome == OutcomeDue {
			a.wake()
			break
		}
	}
	if ok {
		writeJSON(w, http.StatusOK, out)
	}
}

// add makes c of e, and notes what came of it.
func (c *change) add(ctx context.Context, v *webhookView, s *ledgerStore, e *webhook.Entry, out *WebhooksChanged) error {
	var outcome string
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		outcome, err = c.one(ctx, v, s, e)
		return err
	})
	if err != nil {
		return err
	}
	out.Deliveries = append(out.Deliveries, WebhookOutcome{Key: e.Key, Store: s.kind, Outcome: outcome})
	if outcome != OutcomeNothingKept {
		out.Changed++
	}
	return nil
}

func (a *webhookAdmin) changeOne(ctx context.Context, w http.ResponseWriter, v *webhookView, key string, c change, out *WebhooksChanged) bool {
	s, e, err := v.find(ctx, key)
	if err == nil {
		err = c.add(ctx, v, s, &e, out)
	}
	switch {
	case errors.Is(err, webhook.ErrWrongState):
		if _, now, err := v.find(ctx, key); err == nil {
			e = now // it may have been another one a moment ago
		}
		writeDetail(w, http.StatusConflict, "wrong_state", "the delivery is "+stateOf(&e)+": "+c.refusal)
	case err != nil:
		a.failed(w, s, err)
	default:
		a.log.Info("a webhook delivery was changed by hand", "change", c.what, "key", key, "outcome", out.Deliveries[0].Outcome)
	}
	return err == nil
}

// changeRoute makes c of the dead deliveries of a route, in its own store where it
// is in force, so that it waits for no other. Those that are not dead any more when
// their turn comes are left alone.
func (a *webhookAdmin) changeRoute(ctx context.Context, w http.ResponseWriter, v *webhookView, c change, out *WebhooksChanged) (ok bool) {
	if kind, inForce := v.routes[c.route]; inForce {
		v.stores = slices.DeleteFunc(v.stores, func(s ledgerStore) bool { return s.kind != kind })
	}
	q := webhook.Query{Route: c.route, States: []webhook.State{webhook.StateDead}}
	want := func() int { return min(changesAtOnce, c.limit-len(out.Deliveries)) }
	seen := 0
	out.After, out.Errors, ok = v.walk(ctx, c.after, q, want, func(s *ledgerStore, page []webhook.Entry) error {
		for i := range page {
			e := &page[i]
			if seen++; !listed(e.Key) || !c.applies(e) {
				continue
			}
			err := c.add(ctx, v, s, e, out)
			if err != nil && !errors.Is(err, webhook.ErrWrongState) && !errors.Is(err, webhook.ErrUnknownDelivery) {
				return err
			}
		}
		return nil
	})
	switch {
	case !ok:
		writeDetail(w, http.StatusBadRequest, "bad_after", "after must be what an answer said")
		return false
	case seen+len(out.Errors) == 0 && c.after == "" && out.After == "" && v.routes[c.route] == "":
		writeDetail(w, http.StatusNotFound, "unknown_route", "no webhook route has that name, and no delivery is of one")
		return false
	}
	for _, e := range out.Errors {
		a.log.Error("deliveries cannot be changed", "store", e.Store, "error", e.Error)
	}
	a.log.Info("dead webhook deliveries were changed by hand", "change", c.what, "route", c.route, "count", out.Changed)
	if out.Changed == 0 && len(out.Errors) > 0 {
		writeDetail(w, http.StatusServiceUnavailable, "webhook_store_unavailable", "the store "+out.Errors[0].Store+" does not answer")
		return false
	}
	return true
}
