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
	at   atomic.Int64 // time passed since base when the time of day was read, 0 for never
	unix atomic.Int64 // the time of day then
}

func newClock(now func() time.Time) *clock { return &clock{now: now, base: time.Now()} }

// read is small enough to stand in its callers.
func (c *clock) read() int64 {
	if c.now != nil {
		return c.now().Unix()
	}
	passed, at := int64(time.Since(c.base)), c.at.Load()
	if age := passed - at; age < 0 || age >= int64(clockStep) || at == 0 {
		return c.renew(passed)
	}
	return c.unix.Load()
}

func (c *clock) renew(passed int64) int64 {
	unix := time.Now().Unix()
	c.unix.Store(unix) // first: whoever sees the new at sees no older time
	c.at.Store(passed)
	return unix
}
