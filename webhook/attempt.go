package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
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

// attempt calls the handler and settles the claim by what came of it.
func (d *inbound) attempt(ctx context.Context, claim Claim) reply {
	a := &attempt{delivery: Delivery{
		Route: d.m.cfg.Route, Provider: d.m.provider.Name, Event: d.verified,
		Body: d.body, IdempotencyKey: d.key(),
		Attempt: claim.Attempt, Fence: claim.Fence, MaybeProcessed: claim.MaybeProcessed,
	}}
	answer, err := d.call(context.WithValue(ctx, attemptKey{}, a), claim)

	settleCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	reported := a.reported.Load()
	switch {
	case reported == reportedNotWritten || errors.Is(err, errNotCalled):
		return d.release(settleCtx, claim, OutcomeNotWritten, "upstream_unreachable", err)
	case err == nil && reported == reportedNoAnswer:
		err = errReported
	}
	if err != nil {
		return reply{outcome: OutcomeNoAnswer, status: http.StatusGatewayTimeout, code: "gateway_timeout", err: err}
	}
	d.event.UpstreamStatus = answer.status
	switch {
	case answer.status >= 200 && answer.status <= 299:
		return d.complete(settleCtx, claim, answer)
	case slices.Contains(d.m.cfg.DiscardStatuses, answer.status):
		if err := d.m.cfg.Store.Kill(settleCtx, d.key(), claim.Fence); err != nil {
			return d.unsettled(settleCtx, err)
		}
		return dead(nil)
	}
	return d.release(settleCtx, claim, OutcomeRetry, "upstream_failed", nil)
}

// call runs the handler until it returns, or until its time is over. With an
// error there is no complete answer.
func (d *inbound) call(ctx context.Context, claim Claim) (*answerBuffer, error) {
	ctx, cancel := context.WithDeadline(ctx, d.deadline)
	defer cancel()
	if d.m.cfg.Drain != nil {
		defer context.AfterFunc(d.m.cfg.Drain, cancel)()
	}
	if ctx.Err() != nil {
		return nil, errNotCalled
	}
	answer, r := newAnswerBuffer(), d.request(ctx, claim)
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
		d.next.ServeHTTP(answer, r)
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

// complete makes the event done, and only then is it acknowledged.
func (d *inbound) complete(ctx context.Context, claim Claim, answer *answerBuffer) reply {
	rep := answer.reply()
	var kept *Answer
	if d.m.cfg.ReplayAnswers {
		kept = rep.kept()
	}
	if err := d.m.cfg.Store.Complete(ctx, d.key(), claim.Fence, kept); err != nil {
		return d.unsettled(ctx, err)
	}
	return rep
}

// release gives the claim back. When that fails, the claim ends with its lease.
func (d *inbound) release(ctx context.Context, claim Claim, outcome Outcome, code string, cause error) reply {
	err := d.m.cfg.Store.Release(ctx, d.key(), claim.Fence, outcome != OutcomeNotWritten)
	return unavailable(outcome, code, errors.Join(cause, err))
}

// unsettled answers for an effect that may have happened but could not be
// recorded by this claim: acknowledged only if it is on record all the same, by
// another claim or by a step whose success was not heard of.
func (d *inbound) unsettled(ctx context.Context, cause error) reply {
	rec, err := d.m.cfg.Store.Lookup(ctx, d.key())
	switch {
	case err == nil && rec.State == StateDone:
		rep := duplicate(rec.Answer)
		rep.err = cause
		return rep
	case err == nil && rec.State == StateDead:
		return dead(cause)
	case errors.Is(cause, ErrStaleFence):
		return unavailable(OutcomeSuperseded, "superseded", cause)
	}
	return unavailable(OutcomeStoreError, "webhook_store_unavailable", errors.Join(cause, err))
}
