package ratelimit

import (
	"context"
	"net/http"
	"time"
)

// reservation is what one policy decided on one request.
type reservation struct {
	policy *policy
	subject
	outcome  Outcome
	decision Decision // of the limiter, or of the fallback when local
	mirrored Decision // of the fallback, following the limiter
	local    bool
	cause    error
}

// refuse settles res by a decision that is not an admission.
func (res *reservation) refuse(d Decision) {
	res.decision, res.outcome = d, Denied
	if res.policy.shadow {
		res.outcome = ShadowDenied
	}
}

func (res *reservation) event(o Outcome) Event {
	return Event{
		Policy:     res.policy.name,
		Outcome:    o,
		RetryAfter: res.decision.RetryAfter,
		Local:      res.local,
		Cause:      res.cause,
	}
}

// reserve asks the policy of res.
func (m *Middleware) reserve(ctx context.Context, r *http.Request, res *reservation) {
	p, cost := res.policy, 1
	if p.cost != nil {
		cost = max(p.cost(r), 1)
	}
	res.outcome = Allowed
	switch {
	case m.store == nil:
		res.decision = m.fallback.allow(res.key, p.limit, cost)
	case !m.ask(ctx, r, res, cost):
		return
	}
	if !res.decision.Allowed {
		res.refuse(res.decision)
	}
}

// ask asks the store, or what stands in for it. It reports false when nobody
// decided, and res tells what that comes to.
func (m *Middleware) ask(ctx context.Context, r *http.Request, res *reservation, cost int) bool {
	p := res.policy
	d, remembered, err := m.store.allow(ctx, res.key, p.limit, cost)
	if err == nil {
		m.storeAnswered()
		// What is remembered was mirrored when the store told it.
		if p.onError == Local && !remembered {
			res.mirrored = m.fallback.Mirror(res.key, p.share, d)
		}
		res.decision = d
		return true
	}
	if r.Context().Err() != nil {
		// The client is gone. The store may have counted the request; it did not
		// fail, and a request that may be uncounted never reaches the handler.
		res.outcome, res.cause = Canceled, context.Cause(r.Context())
		return false
	}
	m.storeFailed(p, err)
	switch {
	case p.onError == Local:
		res.local = true
		if cost <= p.limit.Capacity() { // more than that is refused for ever, as by the store
			cost = min(cost, p.share.Capacity())
		}
		res.decision = m.fallback.allow(res.key, p.share, cost)
		return true
	case p.onError == Deny && !p.shadow:
		res.outcome = Unavailable
	}
	return false
}

// release gives back what was reserved, and calls that o. It waits for the store
// no longer than patience.
func (m *Middleware) release(ctx context.Context, list []reservation, o Outcome, patience time.Duration) {
	var inStore []reservation
	for i := range list {
		res := &list[i]
		if res.outcome != Allowed {
			continue
		}
		res.outcome = o
		switch {
		case !res.decision.Allowed: // passed uncounted while the store failed
			continue
		case res.local:
			_ = m.fallback.Refund(ctx, res.key, res.policy.share, res.decision)
		case m.store == nil:
			_ = m.fallback.Refund(ctx, res.key, res.policy.limit, res.decision)
		default:
			_ = m.fallback.Refund(ctx, res.key, res.policy.share, res.mirrored)
			inStore = append(inStore, *res)
			continue
		}
		if o == Refunded {
			m.refunded(res)
		}
	}
	if len(inStore) > 0 {
		m.giveBack(ctx, inStore, patience)
	}
}

func (m *Middleware) storeFailed(p *policy, err error) {
	m.onEvent(Event{Policy: p.name, Outcome: StoreError, Cause: err})
	if m.store.state.failed(err) {
		m.onEvent(Event{Outcome: Degraded, Cause: err})
	}
}

func (m *Middleware) storeAnswered() {
	if m.store.state.answered() {
		m.onEvent(Event{Outcome: Recovered})
	}
}
