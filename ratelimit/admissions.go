package ratelimit

import "math"

// inlineTimes is how many admission times fit into an entry.
const inlineTimes = 8

// admissions are the newest admission times of a key, oldest first, in a ring
// that grows up to the limit: what SlidingWindow keeps.
type admissions struct {
	ring  []int64
	start int
	n     int
}

const never = math.MinInt64 // before all time

// at is the i-th oldest time.
func (a *admissions) at(i int) int64 {
	i += a.start
	if i >= len(a.ring) {
		i -= len(a.ring)
	}
	return a.ring[i]
}

func (a *admissions) set(i int, t int64) {
	i += a.start
	if i >= len(a.ring) {
		i -= len(a.ring)
	}
	a.ring[i] = t
}

// later is now, or the newest time when the clock stepped back behind it.
func (a *admissions) later(now int64) int64 {
	if a.n == 0 {
		return now
	}
	return max(now, a.at(a.n-1))
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (a *admissions) wait(now int64, limit *Limit, cost int) int64 {
	end := int64(never)
	if t, ok := a.newest(limit.Count - cost + 1); ok {
		end = t + int64(limit.Window)
	}
	if limit.Lockout != nil {
		end = max(end, a.lockedUntil(limit.Lockout, cost))
	}
	if a.later(now) >= end {
		return 0
	}
	return end - now
}

func (a *admissions) lockedUntil(lockout *Lockout, cost int) int64 {
	end := int64(never)
	for i := range lockout.Tiers {
		tier := &lockout.Tiers[i]
		t, ok := a.newest(tier.Count - cost + 1)
		if !ok {
			break // nor are there enough for the next
		}
		if last := a.at(a.n - 1); last-t < int64(tier.Window) {
			end = max(end, last+int64(tier.Block))
		}
	}
	return end
}

// newest is the n-th newest time.
func (a *admissions) newest(n int) (t int64, ok bool) {
	if n > a.n {
		return 0, false
	}
	return a.at(a.n - n), true
}

// record admits cost at now, and returns the time that they count from.
func (a *admissions) record(now int64, limit *Limit, cost int) int64 {
	at := a.later(now)
	keep := limit.Count
	if limit.Lockout != nil {
		for _, tier := range limit.Lockout.Tiers {
			keep = max(keep, tier.Count)
		}
	}
	for range cost {
		a.push(at, keep)
	}
	return at
}

// refund takes out as many as cost that count from t.
func (a *admissions) refund(t int64, cost int) {
	for range cost {
		if !a.remove(t) {
			return
		}
	}
}

// end is when nothing counts any more.
func (a *admissions) end(limit *Limit) int64 {
	if a.n == 0 {
		return never
	}
	matters := limit.Window
	if limit.Lockout != nil {
		for _, tier := range limit.Lockout.Tiers {
			matters = max(matters, tier.Window, tier.Block)
		}
	}
	return a.at(a.n-1) + int64(matters)
}

// push appends t, the newest, and keeps the newest count times.
func (a *admissions) push(t int64, count int) {
	a.keep(count - 1)
	if a.n == len(a.ring) {
		a.grow(min(2*len(a.ring), MaxCount))
	}
	a.n++
	a.set(a.n-1, t)
}

// keep drops all but the newest count times.
func (a *admissions) keep(count int) {
	if drop := a.n - count; drop > 0 {
		a.n = count
		if a.start += drop; a.start >= len(a.ring) {
			a.start -= len(a.ring)
		}
	}
}

func (a *admissions) grow(size int) {
	ring := make([]int64, size)
	for i := range a.n {
		ring[i] = a.at(i)
	}
	a.ring, a.start = ring, 0
}

// remove takes one time equal to t out, and reports whether there was one.
func (a *admissions) remove(t int64) bool {
	for i := a.n - 1; i >= 0 && a.at(i) >= t; i-- {
		if a.at(i) != t {
			continue
		}
		for ; i < a.n-1; i++ {
			a.set(i, a.at(i+1))
		}
		a.n--
		return true
	}
	return false
}
