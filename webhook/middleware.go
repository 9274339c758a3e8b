package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

const (
	// storeTimeout bounds one step of the store. It is below leaseMargin.
	storeTimeout = 5 * time.Second
	// retryAfter is what a provider is asked to wait after a failure.
	retryAfter = 5 * time.Second
)

// Middleware delivers the verified events of one route to a handler, once
// each.
//
// Safety: one value serves any number of goroutines. It owns none of its own:
// whatever it started for a request has ended, or has been left behind for
// ignoring its context, when the request's ServeHTTP returns.
type Middleware struct {
	cfg      Config
	provider Provider
	sentAt   pointer      // see Provider
	order    source       // see InboxConfig
	held     atomic.Int64 // bytes of bodies
	guards   bool         // see Provider.ReplayGuard
	wake     chan struct{}
}

// New returns a Middleware. Errors: every problem of cfg at once, each a
// [*ConfigError].
func New(cfg Config) (*Middleware, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Middleware{cfg: cfg, provider: cfg.Verifier.Provider(), wake: make(chan struct{}, 1)}
	m.provider.TopicHeader = http.CanonicalHeaderKey(m.provider.TopicHeader)
	// Also of a message whose id is its digest for want of another: anybody can
	// take the header away, or add it.
	m.guards = m.provider.ReplayGuard && !m.provider.IDSigned && !cfg.DisableReplayGuard
	sentAt, _ := parseSource(m.provider.SentAt)
	m.sentAt = sentAt.json
	if cfg.Inbox != nil {
		m.order, _ = parseSource(cfg.Inbox.Order)
	}
	return m, nil
}

// Wrap returns the handler of the route, which calls next for each event. It
// looks at no path: mount it where the provider posts to. With Config.Inbox
// next is called for what cannot wait alone: messages without an id, such as
// Slack's commands.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &inbound{w: w, job: job{
			m: m, next: next, r: r,
			started: m.cfg.Now(),
			event:   Event{Route: m.cfg.Route, Provider: m.provider.Name, SecretIndex: -1},
		}}
		defer d.letGo()
		rep := d.handle()
		rep.write(w, r)
		if d.came != "" {
			rep.err = errors.Join(rep.err, d.renamed())
		}
		d.tell(rep.outcome, rep.err)
	})
}

// inbound is one request on its way through the middleware.
type inbound struct {
	job
	w        http.ResponseWriter
	held     int64  // bytes that count towards MaxBufferedBytes
	digest   Digest // of what the body says
	guard    guard
	came     string    // the id of its own, when it is handled under its guard's
	patience time.Time // until when copies in flight are waited for
}

// handle takes the request through all steps. Nothing is written to the client
// before it returns.
func (d *inbound) handle() reply {
	if d.r.Method != http.MethodPost {
		return reply{outcome: OutcomeMethodNotAllowed, status: http.StatusMethodNotAllowed, code: "method_not_allowed"}
	}
	if rep, ok := d.readAndVerify(); !ok {
		return rep
	}
	if drain := d.m.cfg.Drain; drain != nil && drain.Err() != nil {
		return unavailable(OutcomeDraining, "draining", nil)
	}
	// From here on nothing depends on the client: a step of the store, or an
	// effect, that was begun for it is brought to its end.
	ctx := context.WithoutCancel(d.r.Context())
	d.deadline = time.Now().Add(d.m.cfg.Timeout)
	d.patience = time.Now().Add(min(maxInFlightWait, d.m.cfg.Timeout/2))
	if d.m.cfg.Inbox != nil && !d.verified.NotDeduplicated {
		return d.accept(ctx)
	}
	claim, err := d.claim(ctx)
	if err != nil {
		return unavailable(OutcomeStoreError, "webhook_store_unavailable", err)
	}
	d.note(claim)
	if claim.Status != Claimed {
		return d.known(claim)
	}
	if rep, ok := d.passGuard(ctx, &claim); !ok {
		return rep
	}
	return d.attempt(ctx, claim)
}

// known answers for an event that is not this request's to handle.
func (d *inbound) known(c Claim) reply {
	switch c.Status {
	case Done:
		return duplicate(c.Answer)
	case Waiting: // durably, and handled without this copy
		return duplicate(nil)
	case Dead:
		return dead(nil)
	case OtherBody:
		if d.came != "" { // since the guard was asked: the next time it does not count
			return inFlight(0)
		}
		return d.refused("id_reuse", OutcomeIDReuse, nil)
	case InFlight:
		return inFlight(c.LeaseLeft)
	}
	return unavailable(OutcomeStoreError, "webhook_store_unavailable", errors.New("webhook: store returned an "+c.Status.String()))
}

// readAndVerify touches neither the store nor the handler. What can be refused
// by its header is, before its body is read.
func (d *inbound) readAndVerify() (reply, bool) {
	if d.r.ContentLength > d.m.cfg.MaxBodyBytes {
		return tooLarge(), false
	}
	if name := d.m.provider.SignatureHeader; name != "" && d.r.Header.Get(name) == "" {
		return d.refused("invalid_signature", OutcomeInvalidSignature, ErrNoSignature), false
	}
	body, rep, ok := d.readBody()
	if !ok {
		return rep, false
	}
	msg := Message{Header: d.r.Header, Body: body, RawQuery: d.r.URL.RawQuery, Now: d.m.cfg.Now()}
	v, err := d.m.cfg.Verifier.Verify(msg)
	switch {
	case errors.Is(err, ErrSecretUnavailable):
		return unavailable(OutcomeSecretUnavailable, "webhook_secret_unavailable", err), false
	case err != nil:
		return d.refused("invalid_signature", OutcomeInvalidSignature, err), false
	}
	d.event.SecretIndex = v.SecretIndex
	d.event.EventType, d.event.APIVersion = bounded(v.Type), bounded(v.APIVersion)
	switch {
	case v.ID == "" && v.NotDeduplicated:
		v.ID = "once-" + httpx.NewRequestID(d.m.cfg.Now()) // an event of its own, whatever it says
	case v.ID == "":
		return d.refused("no_event_id", OutcomeNoEventID, ErrNoEventID), false
	}
	d.digest = d.m.contentDigest(msg)
	if d.m.guards && !v.NotDeduplicated {
		topic, err := d.m.topic(msg)
		if err != nil {
			return d.refused("no_event_id", OutcomeNoEventID, err), false
		}
		d.guard = newGuard(d.m.cfg.Route, topic, d.digest)
	}
	d.body, d.verified, d.id = body, v, boundedID(v.ID)
	d.key = d.m.cfg.Route + "/" + d.id
	d.event.EventID = d.id
	return reply{}, true
}

const (
	maxIDBytes = 255
	hashedID   = "sha256:"
)

// boundedID is id, or its digest when it is too long or not printable ASCII.
// An id that looks like a digest, or like a guard, is replaced too, so that they
// never meet.
func boundedID(id string) string {
	if printable(id) && len(id) <= maxIDBytes && !strings.HasPrefix(id, hashedID) && !strings.HasPrefix(id, guardPrefix) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hashedID + hex.EncodeToString(sum[:])
}

// bounded is s where it is fit for a log line, else empty.
func bounded(s string) string {
	if printable(s) && len(s) <= maxIDBytes {
		return s
	}
	return ""
}

// printable reports whether s is of visible ASCII alone.
func printable(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(b byte) bool { return b <= ' ' || b > '~' })
}
