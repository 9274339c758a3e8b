package ratelimit

import "time"

// ringParts is how many parts a counter keeps: those that a window touches, and as
// many more as make a power of two.
const ringParts = 64

// counter is what SlidingCounter keeps: the number of admissions in each part of
// the window. Part n is the time [n·width, (n+1)·width) of the Memory's clock. It
// counts in full until all of it has left the window, at (n+1)·width + window.
type counter struct {
	window int64 // of the limit that the parts were made for
	last   int64 // time of the newest admission
	head   int64 // number of the newest part
	total  int64 // sum of parts
	parts  [ringParts]uint32
}

func (c *counter) part(n int64) *uint32 { return &c.parts[uint64(n)%ringParts] }

// partWidth is how long a part of the window is.
func partWidth(window int64) int64 { return (window + CounterBuckets - 1) / CounterBuckets }

// later is now, or the newest time when the clock stepped back behind it.
func (c *counter) later(now int64) int64 {
	if c.total == 0 {
		return now
	}
	return max(now, c.last)
}

// oldest is the number of the first part that counts at time at.
func (c *counter) oldest(at int64) int64 {
	return floorDiv(at-c.window, partWidth(c.window))
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (c *counter) wait(now int64, limit *Limit, cost int) int64 {
	room := int64(limit.Count - cost)
	live := c.total
	if live <= room {
		return 0
	}
	oldest := c.oldest(c.later(now))
	n := c.head - ringParts
	for live > room {
		n++
		live -= int64(*c.part(n))
	}
	if n < oldest {
		return 0
	}
	return (n+1)*partWidth(c.window) + c.window - now
}

// record admits cost at now, and returns the time that they count from.
func (c *counter) record(now int64, cost int) int64 {
	at := c.later(now)
	c.add(floorDiv(at, partWidth(c.window)), int64(cost))
	c.last = at
	return at
}

// add puts count into part n. What is too old to be kept is let go.
func (c *counter) add(n, count int64) {
	switch {
	case c.total == 0:
		c.head = n
	case n <= c.head-ringParts:
		return
	case n-c.head >= ringParts:
		c.clear()
		c.head = n
	}
	for c.head < n {
		c.head++
		c.total -= int64(*c.part(c.head))
		*c.part(c.head) = 0
	}
	p := c.part(n)
	count = min(count, 2*MaxLargeCount-int64(*p)) // for what is mirrored beyond the limit
	*p += uint32(count)
	c.total += count
}

func (c *counter) clear() {
	c.total = 0
	clear(c.parts[:])
}

// refund takes out as many as cost that count from t.
func (c *counter) refund(t int64, cost int) {
	n := floorDiv(t, partWidth(c.window))
	if n > c.head || n <= c.head-ringParts {
		return
	}
	count := min(*c.part(n), uint32(cost))
	*c.part(n) -= count
	c.total -= int64(count)
}

// fit makes c count for a window. Of what it holds already, each admission is
// taken for the last that its part can hold, so that none is let go too early.
func (c *counter) fit(window time.Duration) {
	if c.window == int64(window) {
		return
	}
	old := *c
	c.clear()
	c.window = int64(window)
	if old.total == 0 {
		return
	}
	width := partWidth(old.window)
	for n := old.head - ringParts + 1; n <= old.head; n++ {
		if count := *old.part(n); count > 0 {
			at := min((n+1)*width-1, old.last)
			c.add(floorDiv(at, partWidth(c.window)), int64(count))
		}
	}
}

// expired reports whether nothing counts any more at now.
func (c *counter) expired(now int64) bool {
	return c.total == 0 || c.head < c.oldest(c.later(now))
}

// floorDiv is a/b rounded down, for positive b.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
