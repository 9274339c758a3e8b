package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxRefunds bounds the refunds of a Middleware that are being tried, and
	// beside them those that failed and wait to be tried again.
	maxRefunds = 256

	// A refund that fails is tried again for a minute: long enough for a store to
	// be back, and soon after it is.
	firstRetry     = 500 * time.Millisecond
	longestRetry   = 4 * time.Second // the time is doubled up to it
	refundAttempts = 18
)

var errManyRefunds = errors.New("ratelimit: too many places are being given back, so that this one stays taken")

// refunds are the places that are being given back in the store. A request waits
// for its own for a moment only: they go on without it.
type refunds struct {
	trying  chan struct{} // room for those that are being tried
	waiting chan struct{} // and for those that are to be tried again
	stop    chan struct{} // closed when nothing is tried again
	once    sync.Once

	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running is 0 again; nil when nobody waits
}

func newRefunds() *refunds {
	return &refunds{
		trying:  make(chan struct{}, maxRefunds),
		waiting: make(chan struct{}, maxRefunds),
		stop:    make(chan struct{}),
	}
}

// begin reports whether there is room for one more. It ends with end.
func (r *refunds) begin() bool {
	select {
	case r.trying <- struct{}{}:
	default:
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running++
	return true
}

func (r *refunds) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running--; r.running == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// rest is closed when no refund is under way.
func (r *refunds) rest() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	return r.idle
}

// Close has refunds that failed not tried again, and waits for those under way,
// as long as ctx lasts. The Limiter is to be closed after it. Requests may still
// be served; what they give back is tried once.
func (m *Middleware) Close(ctx context.Context) error {
	m.refunds.once.Do(func() { close(m.refunds.stop) })
	select {
	case <-m.refunds.rest():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A handover is where a request hears of its refunds while it waits.
type handover struct {
	mu    sync.Mutex
	gone  bool // the request does not wait any more
	tried chan tried
}

type tried struct {
	res *reservation
	err error
}

// give reports whether the request takes t.
func (h *handover) give(t tried) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.tried <- t // which has room for all
	}
	return !h.gone
}

func (h *handover) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
}

// giveBack returns when the places of list are given back in the store, or after
// patience. Those that are not are in the hands of a goroutine by then.
func (m *Middleware) giveBack(ctx context.Context, list []reservation, patience time.Duration) {
	ctx = context.WithoutCancel(ctx) // it goes on although the client may be gone
	h := &handover{tried: make(chan tried, len(list))}
	started := 0
	for i := range list {
		if !m.refunds.begin() {
			m.onEvent(Event{Policy: list[i].policy.name, Outcome: StoreError, Cause: errManyRefunds})
			continue
		}
		started++
		go m.refund(ctx, &list[i], h)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range started {
		select {
		case t := <-h.tried:
			m.heard(t)
			continue
		case <-timer.C:
		}
		h.leave()
		for len(h.tried) > 0 {
			m.heard(<-h.tried)
		}
		return
	}
}

// refund gives one place back. Whoever panics in here, OnEvent or the Limiter, does
// not take the process along.
func (m *Middleware) refund(ctx context.Context, res *reservation, h *handover) {
	defer m.refunds.end()
	defer func() { _ = recover() }()
	err := m.firstTry(ctx, res)
	if t := (tried{res, err}); !h.give(t) {
		m.heard(t)
	}
	if err == nil || !res.policy.limit.exact() {
		return
	}
	select {
	case m.refunds.waiting <- struct{}{}:
		defer func() { <-m.refunds.waiting }()
	default:
		return
	}
	wait := firstRetry
	for attempt := 1; err != nil && attempt < refundAttempts; attempt++ {
		select {
		case <-time.After(wait):
		case <-m.refunds.stop:
			return
		}
		wait = min(2*wait, longestRetry)
		err = m.store.Refund(ctx, res.key, res.policy.limit, res.decision)
		m.heard(tried{res, err})
	}
}

// firstTry makes room for others when it ends, however it does.
func (m *Middleware) firstTry(ctx context.Context, res *reservation) error {
	defer func() { <-m.refunds.trying }()
	return m.store.Refund(ctx, res.key, res.policy.limit, res.decision)
}

// heard tells what came of a refund.
func (m *Middleware) heard(t tried) {
	switch {
	case t.err != nil:
		m.storeFailed(t.res.policy, t.err)
	case t.res.outcome == Refunded:
		m.refunded(t.res)
	}
}

// refunded tells of a success whose place was given back.
func (m *Middleware) refunded(res *reservation) {
	m.watch.forget(res.key) // who was refused meanwhile may come again
	m.onEvent(res.event(Refunded))
}

// exact reports whether a refund that is repeated finds nothing the second time,
// since each admission is recorded by itself.
func (l Limit) exact() bool { return l.Algorithm == "" || l.Algorithm == SlidingWindow }
