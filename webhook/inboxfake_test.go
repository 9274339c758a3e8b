package webhook_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// fakeInbox is an inbox in memory, on the clock of time.Now, so that synctest
// can move it. What is done or dead is forgotten when its retention is over.
type fakeInbox struct {
	mu   sync.Mutex
	all  map[string]*fakeRecord
	puts int64
	// fail is asked before each step, failAfter after it.
	fail, failAfter func(step, key string) error
	steps           []string
	takes           int
}

type fakeRecord struct {
	webhook.Record
	leaseUntil, received, due time.Time
	place                     int64
	message                   *webhook.Stored
	failure                   webhook.Failure
	attempts                  int // of the message
	retention                 time.Duration
	expires                   time.Time
}

// live is the record of key, nil when there is none any more.
func (f *fakeInbox) live(key string, now time.Time) *fakeRecord {
	r := f.all[key]
	if r != nil && (r.State == webhook.StateDone || r.State == webhook.StateDead) && !r.expires.IsZero() && !now.Before(r.expires) {
		delete(f.all, key)
		return nil
	}
	return r
}

func newFakeInbox() *fakeInbox {
	nothing := func(string, string) error { return nil }
	return &fakeInbox{all: map[string]*fakeRecord{}, fail: nothing, failAfter: nothing}
}

// step runs do under the lock, between the faults.
func (f *fakeInbox) step(ctx context.Context, name, key string, do func(now time.Time) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	f.steps = append(f.steps, name)
	if err := f.fail(name, key); err != nil {
		return err
	}
	if err := do(time.Now()); err != nil {
		return err
	}
	return f.failAfter(name, key)
}

// known answers for a key that is not to be claimed or kept.
func (f *fakeInbox) known(key string, req webhook.ClaimRequest, now time.Time) (*fakeRecord, webhook.Claim) {
	r := f.live(key, now)
	if r == nil {
		r = &fakeRecord{Record: webhook.Record{BodyDigest: req.BodyDigest}}
		f.all[key] = r
	}
	c := webhook.Claim{
		Fence: r.Fence, Attempt: r.Attempt, MaybeProcessed: r.MaybeProcessed, BodyChanged: r.BodyDigest != req.BodyDigest,
	}
	switch {
	case c.BodyChanged && req.SameBody:
		c.Status = webhook.OtherBody
	case r.State == webhook.StateDone:
		c.Status, c.Answer = webhook.Done, r.Answer
	case r.State == webhook.StateDead:
		c.Status = webhook.Dead
	case r.message != nil:
		c.Status = webhook.Waiting
	case r.State == webhook.StateClaimed && now.Before(r.leaseUntil):
		c.Status, c.LeaseLeft = webhook.InFlight, r.leaseUntil.Sub(now)
	}
	return r, c
}

func (f *fakeInbox) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (c webhook.Claim, err error) {
	err = f.step(ctx, "claim", key, func(now time.Time) error {
		var r *fakeRecord
		if r, c = f.known(key, req, now); c.Status == 0 {
			r.claim(now, req.Lease)
			r.retention = req.Retention
			c.Status, c.Fence, c.Attempt, c.MaybeProcessed = webhook.Claimed, r.Fence, r.Attempt, r.MaybeProcessed
		}
		return nil
	})
	return c, err
}

func (r *fakeRecord) claim(now time.Time, lease time.Duration) {
	r.MaybeProcessed = r.MaybeProcessed || r.State == webhook.StateClaimed
	r.State = webhook.StateClaimed
	r.Fence++
	r.Attempt++
	r.leaseUntil = now.Add(lease)
}

func (f *fakeInbox) settle(ctx context.Context, step, key string, fence int64, change func(r *fakeRecord, now time.Time)) error {
	return f.step(ctx, step, key, func(now time.Time) error {
		r := f.all[key]
		if r == nil || r.State != webhook.StateClaimed || r.Fence != fence {
			return webhook.ErrStaleFence
		}
		change(r, now)
		r.expires = now.Add(r.retention)
		return nil
	})
}

func (f *fakeInbox) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	return f.settle(ctx, "complete", key, fence, func(r *fakeRecord, _ time.Time) {
		r.State, r.Answer, r.message = webhook.StateDone, a, nil
	})
}

func (f *fakeInbox) Release(ctx context.Context, key string, fence int64, maybe bool) error {
	return f.settle(ctx, "release", key, fence, func(r *fakeRecord, _ time.Time) {
		r.State, r.MaybeProcessed = webhook.StateRetry, r.MaybeProcessed || maybe
	})
}

func (f *fakeInbox) Kill(ctx context.Context, key string, fence int64) error {
	return f.settle(ctx, "kill", key, fence, func(r *fakeRecord, _ time.Time) { r.State = webhook.StateDead })
}

func (f *fakeInbox) Fail(ctx context.Context, key string, fence int64, failure webhook.Failure) error {
	return f.settle(ctx, "fail", key, fence, func(r *fakeRecord, now time.Time) {
		r.State, r.failure, r.due = failure.Then, failure, now.Add(failure.After)
		r.MaybeProcessed = r.MaybeProcessed || failure.MaybeProcessed
		if failure.Untried {
			r.Attempt--
			r.attempts--
		}
	})
}

func (f *fakeInbox) Lookup(ctx context.Context, key string) (rec webhook.Record, err error) {
	err = f.step(ctx, "lookup", key, func(now time.Time) error {
		if r := f.live(key, now); r != nil {
			rec = r.Record
		}
		return nil
	})
	return rec, err
}

func (f *fakeInbox) Put(ctx context.Context, key string, m webhook.Stored, req webhook.ClaimRequest) (c webhook.Claim, err error) {
	err = f.step(ctx, "put", key, func(now time.Time) error {
		var r *fakeRecord
		if r, c = f.known(key, req, now); c.Status == 0 {
			f.puts++
			m.Header, m.Body = m.Header.Clone(), slices.Clone(m.Body)
			r.MaybeProcessed = r.MaybeProcessed || r.State == webhook.StateClaimed
			r.State, r.message, r.place, r.received, r.due = webhook.StateRetry, &m, f.puts, now, now
			c.Status, r.retention = webhook.Accepted, req.Retention
		}
		return nil
	})
	return c, err
}

func (f *fakeInbox) Take(ctx context.Context, route string, limit int, lease time.Duration) (taken []webhook.Taken, err error) {
	err = f.step(ctx, "take", route, func(now time.Time) error {
		f.takes++
		var due []string
		for key, r := range f.all {
			if r.message == nil || r.message.Route != route || r.State == webhook.StateDead {
				continue
			}
			if r.due.After(now) || r.State == webhook.StateClaimed && r.leaseUntil.After(now) || !f.first(r) {
				continue
			}
			due = append(due, key)
		}
		slices.SortFunc(due, func(a, b string) int { return cmp.Compare(f.all[a].place, f.all[b].place) })
		for _, key := range due[:min(limit, len(due))] {
			r := f.all[key]
			r.claim(now, lease)
			r.attempts++
			taken = append(taken, webhook.Taken{
				Key: key, Fence: r.Fence, Attempt: r.attempts, MaybeProcessed: r.MaybeProcessed,
				Age: now.Sub(r.received), Message: *r.message,
			})
		}
		return nil
	})
	return taken, err
}

// first reports whether nothing is ahead of r in its order.
func (f *fakeInbox) first(r *fakeRecord) bool {
	for _, o := range f.all {
		if o.message != nil && o.State != webhook.StateDead && o.message.Order != "" &&
			o.message.Order == r.message.Order && o.message.Route == r.message.Route && o.place < r.place {
			return false
		}
	}
	return true
}

func (f *fakeInbox) Entry(ctx context.Context, key string) (e webhook.Entry, err error) {
	err = f.step(ctx, "entry", key, func(now time.Time) error {
		r := f.live(key, now)
		if r == nil {
			return webhook.ErrUnknownDelivery
		}
		e = webhook.Entry{Key: key, Record: r.Record, LeaseUntil: r.leaseUntil}
		if r.message != nil {
			e.Kept = &webhook.Kept{Received: r.received, Due: r.due, LastStatus: r.failure.Status, LastReason: r.failure.Reason}
		}
		return nil
	})
	return e, err
}

func (f *fakeInbox) Revive(ctx context.Context, key string) error {
	return f.step(ctx, "revive", key, func(now time.Time) error {
		r := f.all[key]
		if r == nil {
			return webhook.ErrUnknownDelivery
		}
		r.State, r.MaybeProcessed, r.attempts, r.received, r.due = webhook.StateRetry, true, 0, now, now
		return nil
	})
}

func (f *fakeInbox) List(context.Context, webhook.Query) ([]webhook.Entry, string, error) {
	return nil, "", nil
}
func (f *fakeInbox) Discard(context.Context, string) error { return nil }
func (f *fakeInbox) Message(context.Context, string) (webhook.Stored, error) {
	return webhook.Stored{}, webhook.ErrNoMessage
}
func (f *fakeInbox) Backlog(context.Context) ([]webhook.Backlog, error) { return nil, nil }

// stripe is a copy of what is known of stripeKey.
func (f *fakeInbox) stripe() fakeRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.all[stripeKey]; r != nil {
		return *r
	}
	return fakeRecord{}
}
