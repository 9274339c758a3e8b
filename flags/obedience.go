package flags

import (
	"context"
	"sync/atomic"
	"time"
)

// obeyedAfter is how long decisions by definitions that were replaced are
// looked for.
const obeyedAfter = time.Minute

// delayOf is how long definitions that were written at one time and taken now
// took. It is zero, not known, for those that were written before the ones that
// they replace were taken, at since: they were put in place later than that, or
// two clocks differ. Otherwise it is a nanosecond at least.
func delayOf(written, since, now time.Time) time.Duration {
	if written.IsZero() || since.IsZero() || written.Before(since) {
		return 0
	}
	return max(now.Sub(written), 1)
}

// A fate is what became of a Set that a Client answered from.
type fate struct {
	replaced atomic.Bool
	last     atomic.Int64 // decision since then, in Unix nanoseconds, 0 for none
}

// decided notes a decision by a Set that was replaced. A nil fate is nobody's.
func (f *fate) decided() {
	if f != nil && f.replaced.Load() {
		f.decidedLate()
	}
}

func (f *fate) decidedLate() {
	now := time.Now().UnixNano()
	for {
		last := f.last.Load()
		if last >= now || f.last.CompareAndSwap(last, now) {
			return
		}
	}
}

// obedience tells how long the last decision by definitions took that were
// replaced.
type obedience struct {
	tell    func(time.Duration)
	changes chan change
}

// A change is that of one Set for another, which took delay.
type change struct {
	old   *fate
	delay time.Duration
	at    time.Time
}

func newObedience(tell func(time.Duration)) *obedience {
	return &obedience{tell: tell, changes: make(chan change, 64)}
}

func (o *obedience) replaced(old *fate, delay time.Duration, at time.Time) {
	old.replaced.Store(true)
	if delay == 0 {
		return
	}
	select {
	case o.changes <- change{old, delay, at}:
	default: // so many in a minute are enough
	}
}

func (o *obedience) run(ctx context.Context) {
	timer := time.NewTimer(obeyedAfter)
	defer timer.Stop()
	for {
		var c change
		select {
		case <-ctx.Done():
			return
		case c = <-o.changes:
		}
		timer.Reset(max(obeyedAfter-time.Since(c.at), time.Millisecond))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		d := c.delay
		if last := c.old.last.Load(); last != 0 {
			d += max(time.Unix(0, last).Sub(c.at), 0)
		}
		o.tell(d)
	}
}
