package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// abandonAfter is how long a handler may take to return once its context has
// ended.
const abandonAfter = time.Second

// PanicError is the Err of an [Event] when the handler panicked. The panic is
// not passed on: the provider is answered, and OnEvent has the stack.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value of the panic.
func (e *PanicError) Error() string { return fmt.Sprintf("webhook: handler panicked: %v", e.Value) }

var (
	errNotCalled  = errors.New("webhook: no time left to call the handler")
	errExited     = errors.New("webhook: handler ended its goroutine")
	errLate       = errors.New("webhook: handler returned after its context had ended")
	errAbandoned  = errors.New("webhook: handler did not return when its context ended")
	errReported   = errors.New("webhook: handler reported that there was no complete answer")
	errIncomplete = errors.New("webhook: answer is shorter than its Content-Length")
)

// job is an event on its way to the handler, out of a request or of an inbox.
type job struct {
	m       *Middleware
	next    http.Handler
	r       *http.Request // the provider's
	started time.Time
	event   Event

	body     []byte
	verified Verified
	id       string    // the event id, bounded
	key      string    // of the event in the store
	deadline time.Time // of the attempt
}

// tell passes the event on, with what is known so far.
func (j *job) tell(outcome Outcome, err error) {
	e := j.event
	e.Outcome, e.Err = outcome, err
	e.Duration = j.m.cfg.Now().Sub(j.started)
	j.m.cfg.OnEvent(j.r.Context(), e)
}

// note takes over what the store says of the event.
func (j *job) note(c Claim) {
	j.event.Attempt, j.event.Fence, j.event.MaybeProcessed = c.Attempt, c.Fence, c.MaybeProcessed
	if c.BodyChanged && c.Status != OtherBody {
		j.tell(OutcomeBodyChanged, nil)
	}
}

// ending is what came of an attempt.
type ending struct {
	// outcome is one of OutcomeProcessed, OutcomeDead, OutcomeRetry,
	// OutcomeNotWritten and OutcomeNoAnswer.
	outcome Outcome
	answer  *answerBuffer // of the first three
	err     error
}

// try calls the handler once. What it came to is not yet on record.
func (j *job) try(ctx context.Context, claim Claim) ending {
	a := &attempt{delivery: Delivery{
		Route: j.m.cfg.Route, Provider: j.m.provider.Name, Event: j.verified,
		Body: j.body, IdempotencyKey: j.key,
		Attempt: claim.Attempt, Fence: claim.Fence, MaybeProcessed: claim.MaybeProcessed,
	}}
	answer, err := j.call(context.WithValue(ctx, attemptKey{}, a), claim)
	reported := a.reported.Load()
	switch {
	case reported == reportedNotWritten || errors.Is(err, errNotCalled):
		return ending{outcome: OutcomeNotWritten, err: err}
	case err == nil && reported == reportedNoAnswer:
		err = errReported
	}
	if err != nil {
		return ending{outcome: OutcomeNoAnswer, err: err}
	}
	j.event.UpstreamStatus = answer.status
	switch {
	case answer.status >= 200 && answer.status <= 299:
		return ending{outcome: OutcomeProcessed, answer: answer}
	case slices.Contains(j.m.cfg.DiscardStatuses, answer.status):
		return ending{outcome: OutcomeDead, answer: answer}
	}
	return ending{outcome: OutcomeRetry, answer: answer}
}

// call runs the handler until it returns, or until its time is over. With an
// error there is no complete answer.
func (j *job) call(ctx context.Context, claim Claim) (*answerBuffer, error) {
	ctx, cancel := context.WithDeadline(ctx, j.deadline)
	defer cancel()
	if drain := j.m.cfg.Drain; drain != nil {
		if drain.Err() != nil {
			return nil, errNotCalled
		}
		defer context.AfterFunc(drain, cancel)()
	}
	if ctx.Err() != nil {
		return nil, errNotCalled
	}
	answer, r := newAnswerBuffer(), j.request(ctx, claim)
	done := make(chan error, 1)
	go func() {
		returned := false
		defer func() {
			switch p := recover(); {
			case p == http.ErrAbortHandler: //nolint:errorlint // as net/http compares
				done <- http.ErrAbortHandler
			case p != nil:
				done <- &PanicError{Value: p, Stack: debug.Stack()}
			case !returned:
				done <- errExited
			case ctx.Err() != nil:
				// The handler may have cut its work short: what it wrote
				// by then proves nothing.
				done <- errLate
			default:
				done <- answer.finish()
			}
		}()
		j.next.ServeHTTP(answer, r)
		returned = true
	}()
	select {
	case err := <-done:
		return answer, err
	case <-ctx.Done():
	}
	abandon := time.NewTimer(abandonAfter)
	defer abandon.Stop()
	select {
	case err := <-done:
		return answer, err
	case <-abandon.C:
		return nil, errAbandoned
	}
}

// request is what the handler gets: the provider's request, with our headers
// in place of whatever came under their names, and the body rewound.
func (j *job) request(ctx context.Context, claim Claim) *http.Request {
	r := j.r.Clone(ctx)
	for name := range r.Header {
		if reserved(name) {
			delete(r.Header, name)
		}
	}
	r.Header["Idempotency-Key"] = []string{j.key}
	r.Header["Handrail-Request-Verified"] = []string{j.m.cfg.Route}
	r.Header["Handrail-Webhook-Attempt"] = []string{strconv.Itoa(claim.Attempt)}
	r.Header["Handrail-Webhook-Fence"] = []string{strconv.FormatInt(claim.Fence, 10)}
	if claim.MaybeProcessed {
		r.Header["Handrail-Webhook-Maybe-Processed"] = []string{"true"}
	}
	// GetBody stays nil: with it, and with an Idempotency-Key, http.Transport
	// would send a request again by itself, unseen by the fence.
	r.Body = io.NopCloser(bytes.NewReader(j.body))
	r.ContentLength = int64(len(j.body))
	r.TransferEncoding, r.Trailer = nil, nil
	return r
}

// reserved reports whether a header is one that only the middleware sets,
// written with hyphens or with the underscores that CGI takes for them.
func reserved(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return name == "idempotency-key" || strings.HasPrefix(name, "handrail-")
}
