package sidecar

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// Where the admin listener tells of webhook deliveries and takes changes.
const (
	WebhooksPath        = "/api/v1/webhooks"
	WebhookDeliveryPath = WebhooksPath + "/delivery"
	WebhookMessagePath  = WebhooksPath + "/message" // payment data: never without the token
	WebhookReplayPath   = WebhooksPath + "/replay"
	WebhookPurgePath    = WebhooksPath + "/purge"
)

// WebhookPageLimit is how many deliveries an answer holds at most.
const WebhookPageLimit = 1000

// maxWebhookKey is longer than any key that a route makes.
const maxWebhookKey = 4096

// StateWaiting is what the admin API calls the state of a delivery whose message
// is kept and due some time: it will be attempted without its provider.
const StateWaiting = "waiting"

// Webhooks is a page of deliveries. It may hold fewer than there are; After says
// that there are more, and is what the next request sends back.
type Webhooks struct {
	Deliveries []WebhookDelivery `json:"deliveries"`
	After      string            `json:"after,omitempty"`
	// Backlog is with the first page alone.
	Backlog []WebhookBacklog `json:"backlog,omitzero"`
	// Errors are the stores of which nothing, or not all, is told.
	Errors []StoreError `json:"errors,omitempty"`
}

// WebhookDelivery is what is known of one event. Times are the store's.
type WebhookDelivery struct {
	Key            string       `json:"key"`
	Route          string       `json:"route"`
	EventID        string       `json:"event_id"`
	Store          string       `json:"store"` // memory, postgres, redis or sqlite
	State          string       `json:"state"` // claimed, waiting, retry, done or dead
	Attempt        int          `json:"attempt"`
	Fence          int64        `json:"fence"`
	MaybeProcessed bool         `json:"maybe_processed"`
	Updated        time.Time    `json:"updated,omitzero"`
	LeaseUntil     time.Time    `json:"lease_until,omitzero"`
	Expires        time.Time    `json:"expires,omitzero"`
	AnswerStatus   int          `json:"answer_status,omitempty"`
	Kept           *WebhookKept `json:"kept,omitempty"` // of the message, where one is kept
}

// WebhookKept is what is known of a message that is kept.
type WebhookKept struct {
	Received   time.Time `json:"received,omitzero"`
	Due        time.Time `json:"due,omitzero"`
	Order      string    `json:"order,omitempty"`
	EventType  string    `json:"event_type,omitempty"`
	BodyBytes  int64     `json:"body_bytes"`
	LastStatus int       `json:"last_status,omitempty"`
	LastReason string    `json:"last_reason,omitempty"`
}

// WebhookBacklog is what is kept for a route.
type WebhookBacklog struct {
	Route         string  `json:"route"`
	Store         string  `json:"store"`
	Waiting       int64   `json:"waiting"`
	Dead          int64   `json:"dead"`
	OldestSeconds float64 `json:"oldest_seconds"` // of those that wait
}

// StoreError is why a store tells nothing.
type StoreError struct {
	Store string `json:"store"`
	Error string `json:"error"`
}

// WebhookMessage is a message that is kept. Headers that may hold a signature or
// a credential are "[redacted]", and so is a query.
type WebhookMessage struct {
	Key        string      `json:"key"`
	Route      string      `json:"route"`
	Target     string      `json:"target"`
	Host       string      `json:"host"`
	RemoteAddr string      `json:"remote_addr"`
	Order      string      `json:"order,omitempty"`
	EventType  string      `json:"event_type,omitempty"`
	Headers    http.Header `json:"headers"`
	Body       []byte      `json:"body,omitempty"` // base64; absent when only the rest was asked for
}

// WebhookReplay names a dead delivery by its key, or those of a route: then
// State is "dead", Limit how many at most (0: as many as one answer holds), and
// After the place where the last answer ended.
type WebhookReplay struct {
	Key   string `json:"key,omitempty"`
	Route string `json:"route,omitempty"`
	State string `json:"state,omitempty"`
	Limit int    `json:"limit,omitempty"`
	After string `json:"after,omitempty"`
}

// WebhookPurge is the same for what is to be deleted. OlderThan, a duration,
// leaves out those that became dead since.
type WebhookPurge struct {
	Key       string `json:"key,omitempty"`
	Route     string `json:"route,omitempty"`
	State     string `json:"state,omitempty"`
	OlderThan string `json:"older_than,omitempty"`
	After     string `json:"after,omitempty"`
}

// What became of a delivery by a replay or a purge.
const (
	OutcomeDue            = "due"             // its message is kept, and delivered again
	OutcomeNoRoute        = "no_route"        // the same, once its route has mode inbox and that store
	OutcomeAwaitsProvider = "awaits_provider" // the next copy that its provider sends is attempted
	OutcomeDeleted        = "deleted"         // its message was deleted
	OutcomeStopped        = "stopped"         // no message was kept; copies are not handled any more
	OutcomeNothingKept    = "nothing_kept"    // it was dead and without a message: nothing changed
)

// WebhooksChanged is the answer to a WebhookReplay or a WebhookPurge. After: it
// did not get to all.
type WebhooksChanged struct {
	Changed    int              `json:"changed"`
	Deliveries []WebhookOutcome `json:"deliveries"`
	After      string           `json:"after,omitempty"`
	Errors     []StoreError     `json:"errors,omitempty"`
}

// WebhookOutcome is what became of one delivery.
type WebhookOutcome struct {
	Key     string `json:"key"`
	Store   string `json:"store"`
	Outcome string `json:"outcome"`
}

// Check reports what every answer of a sidecar has and w lacks.
func (w *Webhooks) Check() error {
	if w.Deliveries == nil {
		return errors.New("it does not tell deliveries")
	}
	if len(w.Deliveries) > WebhookPageLimit {
		return errors.New("it tells more deliveries than a page holds")
	}
	for i := range w.Deliveries {
		if err := w.Deliveries[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check reports what every answer of a sidecar has and d lacks.
func (d *WebhookDelivery) Check() error {
	if d.Key == "" || d.Route == "" || d.Store == "" || d.State == "" {
		return errors.New("it tells a delivery without key, route, store or state")
	}
	if len(d.Key) > maxWebhookKey {
		return errors.New("it tells a key that is longer than any")
	}
	return nil
}

// Check reports what every answer of a sidecar has and m lacks.
func (m *WebhookMessage) Check() error {
	if m.Key == "" || m.Route == "" || m.Headers == nil {
		return errors.New("it does not tell key, route and headers")
	}
	return nil
}

// Check reports what every answer of a sidecar has and c lacks.
func (c *WebhooksChanged) Check() error {
	if c.Deliveries == nil || len(c.Deliveries) > WebhookPageLimit {
		return errors.New("it does not tell deliveries")
	}
	for _, d := range c.Deliveries {
		if d.Key == "" || d.Outcome == "" || len(d.Key) > maxWebhookKey {
			return errors.New("it tells an outcome without key or name")
		}
	}
	return nil
}

// webhookAdmin answers for the deliveries of the routes in force.
type webhookAdmin struct {
	view func(*http.Request) webhookView
	wake func()
	log  *slog.Logger
}

// webhookAdmin is made once; what it tells is of the configuration in force.
func (s *Sidecar) webhookAdmin() *webhookAdmin {
	return &webhookAdmin{view: s.webhookView, wake: s.wakeDeliveries, log: s.log}
}

func (a *webhookAdmin) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+WebhooksPath, a.list)
	mux.HandleFunc("GET "+WebhookDeliveryPath, a.delivery)
	mux.HandleFunc("GET "+WebhookMessagePath, a.message)
	mux.HandleFunc("POST "+WebhookReplayPath, a.replay)
	mux.HandleFunc("POST "+WebhookPurgePath, a.purge)
}

// wakeDeliveries has the messages that are due now taken at once, by this
// instance.
func (s *Sidecar) wakeDeliveries() {
	s.couriers.mu.Lock()
	defer s.couriers.mu.Unlock()
	for _, c := range s.couriers.current {
		c.route.Wake()
	}
}

// told is what the API says of e, which a store of that kind holds.
func told(e *webhook.Entry, kind string) WebhookDelivery {
	route, id, _ := strings.Cut(e.Key, "/")
	d := WebhookDelivery{
		Key: e.Key, Route: route, EventID: id, Store: kind, State: stateOf(e),
		Attempt: e.Attempt, Fence: e.Fence, MaybeProcessed: e.MaybeProcessed,
		Updated: utc(e.Updated), LeaseUntil: utc(e.LeaseUntil), Expires: utc(e.Expires),
	}
	if d.State == StateWaiting {
		d.LeaseUntil = time.Time{} // of the attempt that broke off
	}
	if e.Answer != nil {
		d.AnswerStatus = e.Answer.Status
	}
	if k := e.Kept; k != nil {
		d.Kept = &WebhookKept{
			Received: utc(k.Received), Due: utc(k.Due), Order: cut(k.Order), EventType: cut(k.EventType),
			BodyBytes: k.BodyBytes, LastStatus: k.LastStatus, LastReason: cut(k.LastReason),
		}
	}
	return d
}

func stateOf(e *webhook.Entry) string {
	if e.Kept != nil && (e.State == webhook.StateRetry || e.State == webhook.StateClaimed && !e.Kept.Due.IsZero()) {
		return StateWaiting
	}
	return e.State.String()
}

// listed reports whether key is one of an event, and not of the guard against
// replays, nor one that no route has made.
func listed(key string) bool {
	route, _, ok := strings.Cut(key, "/")
	return ok && route != "" && len(key) <= maxWebhookKey && !webhook.IsGuard(key)
}

// utc is t for an answer; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// cut is s within what a line can hold: a body may name a type of any length.
func cut(s string) string {
	const most = 255
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
