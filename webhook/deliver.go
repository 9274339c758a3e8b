package webhook

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// pollEvery is how often an inbox is asked for what is due, about.
	pollEvery = time.Second
	// lastRetry is the longest pause after a step of the store that failed.
	lastRetry = 30 * time.Second
)

// ErrExhausted is the Err of an [Event] when a message is dead because its
// attempts, or its age, came to their end: InboxConfig.MaxAttempts and MaxAge.
var ErrExhausted = errors.New("webhook: given up")

var errNoInbox = errors.New("webhook: Deliver needs Config.Inbox")

// Deliver takes messages out of the inbox when they are due, and calls next for
// each, until ctx or Config.Drain ends; then it waits for the attempts under
// way, which end by InboxConfig.Timeout or by Config.Drain, and until what came of
// them is on record, or their leases or Config.Drain end, and returns nil. Any
// number of them may run, in any number of processes: each message is taken by
// one. An inbox that fails is asked again after pauses of 1 s growing to 30 s, and
// OnEvent is told each time.
//
// A 2xx makes the event done. A status of DiscardStatuses makes it dead, as do
// MaxAttempts and MaxAge when an attempt has failed. After any other complete
// answer it is attempted again, marked as maybe processed; after a request that
// was never written, without the mark. What was taken out as Deliver ended, and
// next not called for, is given back and counts as no attempt. Without a complete
// answer the claim stays until its lease ends, so that no two attempts run at a
// time, and then the pause begins. A Retry-After in an answer of 408, 425, 429 or
// 503 prolongs the pause, up to LongestRetry.
//
// The request is the one that was received: body, header, Host, RemoteAddr,
// path and query. It lacks what belonged to its connection. Errors: only when
// there is no inbox.
func (m *Middleware) Deliver(ctx context.Context, next http.Handler) error {
	if m.cfg.Inbox == nil {
		return errNoInbox
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	if m.cfg.Drain != nil {
		defer context.AfterFunc(m.cfg.Drain, cancel)()
	}
	d := &deliverer{m: m, next: next, places: make(chan struct{}, m.cfg.Inbox.Concurrency)}
	defer d.attempts.Wait()
	pause := pollEvery
	for d.await(stop) {
		more, err := d.take(stop, context.WithoutCancel(ctx))
		switch {
		case err != nil:
			d.failed(ctx, err)
			rest(stop, nil, pause)
			pause = min(2*pause, lastRetry)
		case more:
			pause = pollEvery
		default:
			pause = pollEvery
			rest(stop, m.wake, pause)
		}
	}
	return nil
}

// Wake lets Deliver look for messages that are due now, for example after
// [Ledger.Revive]. Without it that takes about a second.
func (m *Middleware) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// rest waits for half to all of d, or until one of the two.
func rest(stop context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d/2+1)) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-stop.Done():
	}
}

// deliverer is one call of Deliver.
type deliverer struct {
	m        *Middleware
	next     http.Handler
	places   chan struct{} // one for each attempt under way
	attempts sync.WaitGroup
}

// await takes a place for an attempt. It reports false when it is time to stop.
func (d *deliverer) await(stop context.Context) bool {
	select {
	case d.places <- struct{}{}:
		if stop.Err() != nil {
			<-d.places
			return false
		}
		return true
	case <-stop.Done():
		return false
	}
}

// take fills the free places, of which await has taken one. It reports whether
// more may be due. ctx does not end: what the store has handed out counts.
func (d *deliverer) take(stop, ctx context.Context) (more bool, err error) {
	n := 1
	for free := true; free && n < cap(d.places); {
		select {
		case d.places <- struct{}{}:
			n++
		default:
			free = false
		}
	}
	cfg := &d.m.cfg
	step, cancel := context.WithTimeout(ctx, storeTimeout)
	taken, err := cfg.Inbox.Store.Take(step, cfg.Route, n, cfg.Inbox.lease(*cfg))
	cancel()
	at := time.Now()
	for i, t := range taken {
		if i >= n { // more than were asked for
			d.places <- struct{}{}
		}
		d.attempts.Go(func() {
			defer func() { <-d.places }()
			d.deliver(stop, ctx, t, at)
		})
	}
	for range n - len(taken) {
		<-d.places
	}
	return len(taken) > 0, err
}

// failed tells of a step of the inbox that belongs to no message.
func (d *deliverer) failed(ctx context.Context, err error) {
	d.m.cfg.OnEvent(ctx, Event{
		Route: d.m.cfg.Route, Provider: d.m.provider.Name, Outcome: OutcomeStoreError,
		Inbox: true, SecretIndex: -1, Err: fmt.Errorf("webhook: inbox: %w", err),
	})
}

// deliver makes one attempt.
func (d *deliverer) deliver(stop, ctx context.Context, t Taken, at time.Time) {
	m := d.m
	p := &delivery{taken: t, at: at, stop: stop, job: job{
		m: m, next: d.next, started: m.cfg.Now(), r: received(ctx, t.Message),
		body: t.Message.Body, verified: t.Message.Event,
		id: strings.TrimPrefix(t.Key, m.cfg.Route+"/"), key: t.Key,
		deadline: at.Add(m.cfg.Inbox.Timeout),
		event: Event{
			Route: m.cfg.Route, Provider: m.provider.Name, Inbox: true, Age: t.Age,
			EventType: bounded(t.Message.Event.Type), APIVersion: bounded(t.Message.Event.APIVersion),
			SecretIndex: t.Message.Event.SecretIndex,
			Attempt:     t.Attempt, Fence: t.Fence, MaybeProcessed: t.MaybeProcessed,
		},
	}}
	p.event.EventID = p.id
	if p.run(ctx) && t.Message.Order != "" {
		m.Wake() // for the next in the order
	}
}
