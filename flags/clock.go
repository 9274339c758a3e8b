package flags

import (
	"sync/atomic"
	"time"
)

// clockStep is how old the time may be by which an expiry date is judged.
const clockStep = 500 * time.Millisecond

// clock gives the time in Unix seconds. It asks for the time of day, which costs
// twice what the time passed does and more than the rest of a decision, once in
// clockStep.
type clock struct {
	now  func() time.Time // asked each time; nil: time.Now, in steps
	base time.Time
	// last is the time of day that was read last, in the lower half, and in the
	// upper half the step since base, from 1 on, in which that was: one word, so
	// that a renewal held up between two others cannot give the older time of day
	// to the newer step. It lasts until 2106.
	last atomic.Uint64
}

func newClock(now func() time.Time) *clock { return &clock{now: now, base: time.Now()} }

// read is the time of now, at most clockStep late.
func (c *clock) read() int64 {
	if c.now != nil {
		return c.now().Unix()
	}
	step, last := uint64(time.Since(c.base)/clockStep)+1, c.last.Load()
	if last>>32 != step {
		last = c.renew(step)
	}
	return int64(uint32(last))
}

func (c *clock) renew(step uint64) uint64 {
	last := step<<32 | uint64(uint32(time.Now().Unix()))
	c.last.Store(last)
	return last
}
