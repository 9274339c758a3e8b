package ratelimit

import "time"

// clock is the time in nanoseconds since it was made.
type clock struct {
	read func() time.Time // nil means the monotonic clock of package time
	base time.Time
}

func newClock(read func() time.Time) clock {
	if read != nil {
		return clock{read, read()}
	}
	return clock{base: time.Now()}
}

func (c *clock) now() int64 {
	if c.read != nil {
		return int64(c.read().Sub(c.base))
	}
	return int64(time.Since(c.base))
}
