package ratelimit

// inlineTimes is how many admission times fit without an allocation.
const inlineTimes = 8

// admissions are the newest admission times of a key, oldest first, in a ring
// that grows up to the limit.
type admissions struct {
	ring   []int64
	start  int
	n      int
	inline [inlineTimes]int64
}

func (a *admissions) reset() {
	a.start, a.n = 0, 0
	a.ring = a.inline[:]
}

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

// blockedUntil is when a key that has no room for cost more admits them again.
func (a *admissions) blockedUntil(limit Limit, cost int) (end int64, full bool) {
	room := limit.Count - cost // the times that may stay
	if a.n <= room {
		return 0, false
	}
	return a.at(a.n-1-room) + int64(limit.Window), true
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

// fill makes the count-th newest time at least t: with fewer times after t than
// that, what is older gives way to as many of t as are missing.
func (a *admissions) fill(t int64, count int) {
	later := 0
	for later < a.n && a.at(a.n-1-later) > t {
		later++
	}
	if later >= count {
		return
	}
	a.keep(later)
	if len(a.ring) < count {
		a.grow(count)
	}
	missing := count - later
	if a.start -= missing; a.start < 0 {
		a.start += len(a.ring)
	}
	a.n = count
	for i := range missing {
		a.set(i, t)
	}
}
