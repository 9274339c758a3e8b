package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxRefunds bounds the refunds under way, of a Middleware.
const maxRefunds = 256

// A refund that fails is tried again, as long as it takes the store a while to be
// back.
const (
	refundAttempts = 8
	firstRetry     = 500 * time.Millisecond // doubled each time: a minute in all
)

var errManyRefunds = errors.New("ratelimit: too many places are being given back, so that this one stays taken")

// refunds are the places that are being given back in the store. A request waits
// for its own for a moment only: they go on without it.
type refunds struct {
	running sync.WaitGroup
	room    chan struct{}
	stop    chan struct{} // closed when nothing is tried again
	once    sync.Once
}

func newRefunds() *refunds {
	return &refunds{room: make(chan struct{}, maxRefunds), stop: make(chan struct{})}
}

// Close has refunds that failed not tried again, and waits for those under way,
// as long as ctx lasts. The Limiter is to be closed after it. Requests may still
// be served; what they give back is tried once.
func (m *Middleware) Close(ctx context.Context) error {
	m.refunds.once.Do(func() { close(m.refunds.stop) })
	done := make(chan struct{})
	go func() {
		m.refunds.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// giveBack returns when the places of list are given back in the store, or after
// patience. Those that are not are in the hands of a goroutine by then.
func (m *Middleware) giveBack(ctx context.Context, list []reservation, patience time.Duration) {
	ctx = context.WithoutCancel(ctx) // it goes on although the client may be gone
	tried := make(chan struct{}, len(list))
	for i := range list {
		res := list[i]
		select {
		case m.refunds.room <- struct{}{}:
			m.refunds.running.Go(func() {
				defer func() { <-m.refunds.room }()
				m.refund(ctx, &res, tried)
			})
		default:
			m.storeFailed(res.policy, errManyRefunds)
			tried <- struct{}{}
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range list {
		select {
		case <-tried:
		case <-timer.C:
			return
		}
	}
}

// refund gives one place back.
func (m *Middleware) refund(ctx context.Context, res *reservation, tried chan<- struct{}) {
	err := m.tryRefund(ctx, res)
	tried <- struct{}{}
	wait := firstRetry
	for attempt := 1; err != nil && attempt < refundAttempts && res.policy.limit.exact(); attempt++ {
		select {
		case <-time.After(wait):
		case <-m.refunds.stop:
			return
		}
		wait *= 2
		err = m.tryRefund(ctx, res)
	}
}

func (m *Middleware) tryRefund(ctx context.Context, res *reservation) error {
	err := m.store.Refund(ctx, res.key, res.policy.limit, res.decision)
	if err != nil {
		m.storeFailed(res.policy, err)
		return err
	}
	if res.outcome == Refunded {
		m.refunded(res)
	}
	return nil
}

// refunded tells of a success whose place was given back.
func (m *Middleware) refunded(res *reservation) {
	m.watch.forget(res.key) // who was refused meanwhile may come again
	m.onEvent(res.event(Refunded))
}

// exact reports whether a refund that is repeated finds nothing the second time,
// since each admission is recorded by itself.
func (l Limit) exact() bool { return l.Algorithm == "" || l.Algorithm == SlidingWindow }
