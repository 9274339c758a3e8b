package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
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
	held     atomic.Int64 // bytes of bodies
}

// New returns a Middleware. Errors: every problem of cfg at once, each a
// [*ConfigError].
func New(cfg Config) (*Middleware, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Middleware{cfg: cfg, provider: cfg.Verifier.Provider()}, nil
}

// Wrap returns the handler of the route, which calls next for each event. It
// looks at no path: mount it where the provider posts to.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &inbound{
			m: m, w: w, r: r, next: next,
			started: m.cfg.Now(),
			event:   Event{Route: m.cfg.Route, Provider: m.provider.Name, SecretIndex: -1},
		}
		defer d.letGo()
		rep := d.handle()
		rep.write(w, r)
		d.tell(rep.outcome, rep.err)
	})
}

// inbound is one request on its way through the middleware.
type inbound struct {
	m       *Middleware
	w       http.ResponseWriter
	r       *http.Request
	next    http.Handler
	started time.Time
	event   Event

	body     []byte
	held     int64 // bytes that count towards MaxBufferedBytes
	verified Verified
	id       string // the event id, bounded
	deadline time.Time
}

func (d *inbound) key() string { return d.m.cfg.Route + "/" + d.id }

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
	claim, err := d.claim(ctx)
	if err != nil {
		return unavailable(OutcomeStoreError, "webhook_store_unavailable", err)
	}
	d.event.Attempt, d.event.Fence, d.event.MaybeProcessed = claim.Attempt, claim.Fence, claim.MaybeProcessed
	if claim.BodyChanged && claim.Status != OtherBody {
		d.tell(OutcomeBodyChanged, nil)
	}
	switch claim.Status {
	case Claimed:
		return d.attempt(ctx, claim)
	case Done:
		return duplicate(claim.Answer)
	case Dead:
		return dead(nil)
	case OtherBody:
		return d.refused("id_reuse", OutcomeIDReuse, nil)
	case InFlight:
		rep := unavailable(OutcomeInFlight, "in_flight", nil)
		rep.mark, rep.retryAfter = "in-flight", claim.LeaseLeft
		return rep
	}
	return unavailable(OutcomeStoreError, "webhook_store_unavailable", errors.New("webhook: store returned an "+claim.Status.String()))
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
	v, err := d.m.cfg.Verifier.Verify(Message{Header: d.r.Header, Body: body, RawQuery: d.r.URL.RawQuery, Now: d.m.cfg.Now()})
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
	d.body, d.verified, d.id = body, v, boundedID(v.ID)
	d.event.EventID = d.id
	return reply{}, true
}

// tell passes the event on, with what is known so far.
func (d *inbound) tell(outcome Outcome, err error) {
	e := d.event
	e.Outcome, e.Err = outcome, err
	e.Duration = d.m.cfg.Now().Sub(d.started)
	d.m.cfg.OnEvent(d.r.Context(), e)
}

// request is what the handler gets: the provider's request, with our headers
// in place of whatever came under their names, and the body rewound.
func (d *inbound) request(ctx context.Context, claim Claim) *http.Request {
	r := d.r.Clone(ctx)
	for name := range r.Header {
		if reserved(name) {
			delete(r.Header, name)
		}
	}
	r.Header["Idempotency-Key"] = []string{d.key()}
	r.Header["Handrail-Request-Verified"] = []string{d.m.cfg.Route}
	r.Header["Handrail-Webhook-Attempt"] = []string{strconv.Itoa(claim.Attempt)}
	r.Header["Handrail-Webhook-Fence"] = []string{strconv.FormatInt(claim.Fence, 10)}
	if claim.MaybeProcessed {
		r.Header["Handrail-Webhook-Maybe-Processed"] = []string{"true"}
	}
	// GetBody stays nil: with it, and with an Idempotency-Key, http.Transport
	// would send a request again by itself, unseen by the fence.
	r.Body = io.NopCloser(bytes.NewReader(d.body))
	r.ContentLength = int64(len(d.body))
	r.TransferEncoding, r.Trailer = nil, nil
	return r
}

// reserved reports whether a header is one that only the middleware sets,
// written with hyphens or with the underscores that CGI takes for them.
func reserved(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return name == "idempotency-key" || strings.HasPrefix(name, "handrail-")
}

const (
	maxIDBytes = 255
	hashedID   = "sha256:"
)

// boundedID is id, or its digest when it is too long or not printable ASCII.
// An id that looks like a digest is replaced too, so that the two never meet.
func boundedID(id string) string {
	if printable(id) && len(id) <= maxIDBytes && !strings.HasPrefix(id, hashedID) {
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
