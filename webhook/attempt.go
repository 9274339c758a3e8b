package webhook

import (
	"context"
	"errors"
	"net/http"
)

// attempt calls the handler and settles the claim by what came of it. What is
// settled first is the guard: see there.
func (d *inbound) attempt(ctx context.Context, claim Claim) reply {
	end := d.try(ctx, claim)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	switch end.outcome {
	case OutcomeProcessed:
		return d.complete(ctx, claim, end.answer)
	case OutcomeDead:
		if err := d.guard.close(ctx, d, guardDead); err != nil {
			return d.unsettled(ctx, err)
		}
		if err := d.m.cfg.Store.Kill(ctx, d.key, claim.Fence); err != nil {
			return d.unsettled(ctx, err)
		}
		return dead(nil)
	case OutcomeNotWritten:
		return d.release(ctx, claim, end, "upstream_unreachable")
	case OutcomeRetry:
		return d.release(ctx, claim, end, "upstream_failed")
	}
	return reply{outcome: OutcomeNoAnswer, status: http.StatusGatewayTimeout, code: "gateway_timeout", err: end.err}
}

// complete makes the event done, and only then is it acknowledged.
func (d *inbound) complete(ctx context.Context, claim Claim, answer *answerBuffer) reply {
	rep := answer.reply()
	var kept *Answer
	if d.m.cfg.ReplayAnswers {
		kept = rep.kept()
	}
	if err := d.guard.close(ctx, d, guardHandled); err != nil {
		return d.unsettled(ctx, err)
	}
	if err := d.m.cfg.Store.Complete(ctx, d.key, claim.Fence, kept); err != nil {
		return d.unsettled(ctx, err)
	}
	return rep
}

// release gives the claim back. When that fails, the claim ends with its lease.
func (d *inbound) release(ctx context.Context, claim Claim, end ending, code string) reply {
	maybe := end.outcome != OutcomeNotWritten
	guardErr := d.guard.open(ctx, d, maybe)
	err := d.m.cfg.Store.Release(ctx, d.key, claim.Fence, maybe)
	return unavailable(end.outcome, code, errors.Join(end.err, guardErr, err))
}

// unsettled answers for an effect that may have happened but could not be
// recorded by this claim: acknowledged only if it is on record all the same, by
// another claim or by a step whose success was not heard of.
func (d *inbound) unsettled(ctx context.Context, cause error) reply {
	rec, err := d.m.cfg.Store.Lookup(ctx, d.key)
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
