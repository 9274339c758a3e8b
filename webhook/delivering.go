package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// delivery is one attempt for a message that was taken out of an inbox.
type delivery struct {
	job
	taken Taken
	at    time.Time // when it was taken
	stop  context.Context
}

// run reports whether the event is done or dead now.
func (p *delivery) run(ctx context.Context) bool {
	if p.stop.Err() != nil { // taken amid the end
		return p.untried(ctx, 0, OutcomeDraining, nil)
	}
	var end ending
	if p.taken.Attempt > p.m.cfg.Inbox.MaxAttempts {
		// Each attempt ended with its process or with its lease: another could
		// end like that without end.
		end = ending{outcome: OutcomeDead, err: fmt.Errorf("%w: after %d attempts", ErrExhausted, p.taken.Attempt-1)}
	} else if err := p.sign(); err != nil {
		end = ending{outcome: OutcomeNotWritten, err: err}
	} else {
		end = p.try(ctx, Claim{
			Status: Claimed, Fence: p.taken.Fence, Attempt: p.taken.Attempt, MaybeProcessed: p.taken.MaybeProcessed,
		})
	}
	switch {
	case !errors.Is(end.err, errNotCalled):
		return p.settle(ctx, end)
	case p.drained():
		return p.untried(ctx, 0, OutcomeDraining, nil)
	}
	return p.untried(ctx, p.pause(nil), end.outcome, end.err)
}

// untried gives back what the handler was never called for. It costs no attempt:
// with its last one a message would be dead that was never sent.
func (p *delivery) untried(ctx context.Context, after time.Duration, outcome Outcome, cause error) (over bool) {
	f := Failure{Then: StateRetry, After: after, Untried: true, Reason: "not_attempted"}
	if outcome == OutcomeDraining {
		f.Reason = "draining"
	}
	p.tell(outcome, errors.Join(cause, p.fail(ctx, f)))
	return false
}

// drained reports whether Config.Drain has ended.
func (p *delivery) drained() bool {
	return p.m.cfg.Drain != nil && p.m.cfg.Drain.Err() != nil
}

// sign puts fresh signatures in place of the provider's.
func (p *delivery) sign() error {
	signer := p.m.cfg.Inbox.Signer
	if signer == nil {
		return nil
	}
	known := p.r.Header.Clone()
	if name := signer.spec.sources.id.header; reserved(name) {
		known[name] = []string{p.verified.ID} // GitLab's, which ours takes the place of
	}
	h, err := signer.Sign(Message{Header: known, Body: p.body, RawQuery: p.r.URL.RawQuery, Now: p.m.cfg.Now()})
	if err != nil {
		return err
	}
	maps.Copy(p.r.Header, h)
	return nil
}

// settle puts on record what came of the attempt.
func (p *delivery) settle(ctx context.Context, end ending) (over bool) {
	var err error
	if end.outcome == OutcomeProcessed {
		err = p.insist(ctx, func(ctx context.Context) error {
			// No provider waits for the answer: nobody will ask for it.
			return p.m.cfg.Store.Complete(ctx, p.key, p.taken.Fence, nil)
		})
		over = true
	} else {
		f := p.failure(&end)
		err = p.fail(ctx, f)
		over = f.Then == StateDead
	}
	switch {
	case errors.Is(err, ErrStaleFence):
		end.outcome, over = OutcomeSuperseded, false
	case err != nil:
		end.outcome, over = OutcomeStoreError, false
	}
	p.tell(end.outcome, errors.Join(end.err, err))
	return over
}

func (p *delivery) fail(ctx context.Context, f Failure) error {
	return p.insist(ctx, func(ctx context.Context) error {
		return p.m.cfg.Inbox.Store.Fail(ctx, p.key, p.taken.Fence, f)
	})
}

// insist repeats a step that fails until the lease ends, or Config.Drain: what is
// not on record by then is attempted again. An end of Deliver that is not pressed
// for time is no reason to give up, for it would cost a second effect.
func (p *delivery) insist(ctx context.Context, step func(context.Context) error) error {
	leaseEnds := p.at.Add(p.m.cfg.Inbox.lease(p.m.cfg))
	pressed := ctx // never
	if p.m.cfg.Drain != nil {
		pressed = p.m.cfg.Drain
	}
	for pause := firstPoll; ; pause = min(2*pause, maxInFlightWait) {
		once, cancel := context.WithTimeout(ctx, storeTimeout)
		err := step(once)
		cancel()
		if err == nil || errors.Is(err, ErrStaleFence) || p.drained() || time.Now().Add(pause).After(leaseEnds) {
			return err
		}
		rest(pressed, nil, pause)
	}
}

// failure says what becomes of a message whose attempt did not succeed. An
// attempt whose outcome is not known counts like any other: with the last one the
// event is dead at once, marked, for there is no next attempt that the lease
// would have to keep away.
func (p *delivery) failure(end *ending) Failure {
	f := Failure{MaybeProcessed: end.outcome == OutcomeRetry || end.outcome == OutcomeNoAnswer}
	if end.answer != nil {
		f.Status = end.answer.status
	}
	cfg := p.m.cfg.Inbox
	switch {
	case end.outcome == OutcomeDead:
		f.Then, f.Reason = StateDead, "discarded"
		if end.answer == nil {
			f.Reason = "attempts_exhausted"
		}
		return f
	case p.taken.Attempt >= cfg.MaxAttempts:
		f.Then, f.Reason = StateDead, "attempts_exhausted"
		end.err = errors.Join(fmt.Errorf("%w: after %d attempts", ErrExhausted, p.taken.Attempt), end.err)
	case p.age() >= cfg.MaxAge:
		f.Then, f.Reason = StateDead, "age_exhausted"
		end.err = errors.Join(fmt.Errorf("%w: after %v", ErrExhausted, p.age().Round(time.Second)), end.err)
	}
	if f.Then == StateDead {
		end.outcome = OutcomeDead
		return f
	}
	f.Then, f.After = StateRetry, p.pause(end.answer)
	switch end.outcome {
	case OutcomeNotWritten:
		f.Reason = "upstream_unreachable"
	case OutcomeRetry:
		f.Reason = "upstream_failed"
	default:
		f.Then, f.Reason = StateClaimed, "no_answer"
		f.After += max(0, time.Until(p.at.Add(cfg.lease(p.m.cfg)))).Truncate(time.Millisecond)
	}
	return f
}

func (p *delivery) age() time.Duration { return p.taken.Age + time.Since(p.at) }

// pause is how long the next attempt is put off: see InboxConfig.
func (p *delivery) pause(answer *answerBuffer) time.Duration {
	cfg := p.m.cfg.Inbox
	d := cfg.FirstRetry
	for range p.taken.Attempt - 1 {
		if d = min(2*d, cfg.LongestRetry); d == cfg.LongestRetry {
			break
		}
	}
	d = d/2 + rand.N(d/2+1) //nolint:gosec // jitter
	if answer != nil {
		d = max(d, min(p.asked(answer), cfg.LongestRetry))
	}
	return max(d.Truncate(time.Millisecond), time.Millisecond)
}

// asked is the pause that an answer asks for, 0 if none (RFC 9110, 10.2.3).
func (p *delivery) asked(answer *answerBuffer) time.Duration {
	switch answer.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		return 0
	}
	value := answer.sent.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(p.m.cfg.Now())
	}
	return 0
}
