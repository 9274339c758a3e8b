package sidecar

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/webhook"
)

const (
	defaultPage = 100
	redacted    = "[redacted]"
)

// webhookStates are the states that can be asked for, and those in which a store
// has them: it does not tell what waits.
var webhookStates = map[string][]webhook.State{
	"claimed": {webhook.StateClaimed}, "retry": {webhook.StateRetry}, StateWaiting: {webhook.StateRetry, webhook.StateClaimed},
	"done": {webhook.StateDone}, "dead": {webhook.StateDead},
}

// list serves a page of deliveries. Stores that fail hide no other.
func (a *webhookAdmin) list(w http.ResponseWriter, r *http.Request) {
	in, ok := queryOf(r, "route", "state", "limit", "after")
	limit, q := defaultPage, webhook.Query{Route: in["route"]}
	if text := in["limit"]; ok && text != "" {
		var err error
		limit, err = strconv.Atoi(text)
		ok = err == nil && limit >= 1 && limit <= WebhookPageLimit
	}
	if state := in["state"]; ok && state != "" {
		q.States, ok = webhookStates[state]
	}
	if !ok {
		writeDetail(w, http.StatusBadRequest, "bad_request",
			"route, state (claimed, waiting, retry, done or dead), limit (1 to 1000) and after can be asked for, each once")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
	defer cancel()
	v := a.view(r)
	out := Webhooks{Deliveries: []WebhookDelivery{}}
	// A page is full when it is half full: what is left out of it may be most.
	want := func() int {
		if len(out.Deliveries) > limit/2 {
			return 0
		}
		return limit - len(out.Deliveries)
	}
	out.After, out.Errors, ok = v.walk(ctx, in["after"], q, want, func(s *ledgerStore, page []webhook.Entry) error {
		for i := range page {
			if e := &page[i]; listed(e.Key) && (in["state"] == "" || in["state"] == stateOf(e)) {
				out.Deliveries = append(out.Deliveries, told(e, s.kind))
			}
		}
		return nil
	})
	if !ok {
		writeDetail(w, http.StatusBadRequest, "bad_after", "after must be what an answer said")
		return
	}
	if in["after"] == "" {
		v.backlog(ctx, q.Route, &out)
		if v.routes[q.Route] == "" && q.Route != "" && len(out.Deliveries)+len(out.After)+len(out.Errors) == 0 {
			writeDetail(w, http.StatusNotFound, "unknown_route", "no webhook route has that name, and no delivery is of one")
			return
		}
	}
	writeJSON(w, http.StatusOK, out)
}

// backlog adds what the stores keep to the first page, one store after the other
// but for those that have failed.
func (v *webhookView) backlog(ctx context.Context, route string, out *Webhooks) {
	out.Backlog = []WebhookBacklog{}
	for i := range v.stores {
		s := &v.stores[i]
		if s.inbox == nil || slices.ContainsFunc(out.Errors, func(e StoreError) bool { return e.Store == s.kind }) {
			continue
		}
		var list []webhook.Backlog
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			list, err = s.inbox.Backlog(ctx)
			return err
		})
		if err != nil {
			out.Errors = append(out.Errors, StoreError{Store: s.kind, Error: err.Error()})
		}
		for _, b := range list {
			if route == "" || route == b.Route {
				out.Backlog = append(out.Backlog, WebhookBacklog{
					Route: b.Route, Store: s.kind, Waiting: b.Waiting, Dead: b.Dead, OldestSeconds: b.Oldest.Seconds(),
				})
			}
		}
	}
}

func (a *webhookAdmin) delivery(w http.ResponseWriter, r *http.Request) {
	in, ok := queryOf(r, "key")
	if !ok || in["key"] == "" {
		writeDetail(w, http.StatusBadRequest, "bad_request", "key must be asked for, once, and nothing else")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
	defer cancel()
	v := a.view(r)
	s, e, err := v.find(ctx, in["key"])
	if err != nil {
		a.failed(w, s, err)
		return
	}
	writeJSON(w, http.StatusOK, told(&e, s.kind))
}

// message serves what is kept of a delivery. adminHandler lets nobody come here
// without the token, or by the socket.
func (a *webhookAdmin) message(w http.ResponseWriter, r *http.Request) {
	in, ok := queryOf(r, "key", "body")
	if !ok || in["key"] == "" || in["body"] != "" && in["body"] != "false" {
		writeDetail(w, http.StatusBadRequest, "bad_request", "key must be asked for, once, and body=false for headers alone")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
	defer cancel()
	v := a.view(r)
	s, e, err := v.find(ctx, in["key"])
	var m webhook.Stored
	if err == nil {
		err = webhook.ErrNoMessage
		if s.inbox != nil && e.Kept != nil {
			err = s.ask(ctx, func(ctx context.Context) error {
				m, err = s.inbox.Message(ctx, e.Key)
				return err
			})
		}
	}
	if err != nil {
		a.failed(w, s, err)
		return
	}
	a.log.Info("a webhook message was read by hand", "key", e.Key)
	out := WebhookMessage{
		Key: e.Key, Route: m.Route, Target: withoutQuery(m.Target), Host: m.Host, RemoteAddr: m.RemoteAddr,
		Order: m.Order, EventType: cut(m.Event.Type), Headers: v.harmless(m.Header),
	}
	if in["body"] == "false" {
		writeJSON(w, http.StatusOK, out)
		return
	}
	writeMessage(w, out, m.Body)
}

// writeMessage writes m with its body, which may be large, as it is encoded.
func writeMessage(w http.ResponseWriter, m WebhookMessage, body []byte) {
	head, err := json.Marshal(m)
	if err != nil {
		return // never: it is text
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, strings.TrimSuffix(string(head), "}")+`,"body":"`) // the client is gone
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	_, _ = encoder.Write(body)
	_ = encoder.Close()
	_, _ = io.WriteString(w, "\"}\n")
}

// harmless is h without what might be a signature or a credential.
func (v *webhookView) harmless(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if v.hidden[http.CanonicalHeaderKey(name)] || secretName(name) {
			values = []string{redacted}
		}
		out[name] = values
	}
	return out
}

// secretName reports whether a header's name says that it may hold a signature
// or a credential.
func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "signature", "key", "hmac", "password", "credential"},
		func(part string) bool { return strings.Contains(name, part) })
}

// withoutQuery is a target whose query, which may hold a credential, is not told.
func withoutQuery(target string) string {
	if path, _, found := strings.Cut(target, "?"); found {
		return path + "?" + redacted
	}
	return target
}

// failed answers a question about one delivery that a store, if it is known,
// did not answer.
func (a *webhookAdmin) failed(w http.ResponseWriter, s *ledgerStore, err error) {
	switch {
	case errors.Is(err, webhook.ErrUnknownDelivery):
		writeDetail(w, http.StatusNotFound, "unknown_delivery", "no delivery has that key")
	case errors.Is(err, webhook.ErrNoMessage):
		writeDetail(w, http.StatusNotFound, "no_message", "no message is kept of this delivery")
	default:
		a.log.Error("deliveries cannot be asked for", "store", s.kind, "error", err)
		writeDetail(w, http.StatusServiceUnavailable, "webhook_store_unavailable", "the store "+s.kind+" does not answer")
	}
}

// queryOf reads a query that has these names, each once at most.
func queryOf(r *http.Request, names ...string) (map[string]string, bool) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, false
	}
	out := map[string]string{}
	for name, list := range values {
		if len(list) != 1 || !slices.Contains(names, name) {
			return nil, false
		}
		out[name] = list[0]
	}
	return out, true
}
