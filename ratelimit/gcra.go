package ratelimit

import "math/bits"

// gcra is what GCRA keeps: the theoretical arrival time, at which everything
// admitted is earned back. An admission moves it by Window/Count, to the fraction.
type gcra struct {
	tat   int64  // whole nanoseconds
	frac  uint32 // and as many parts of 1/count
	count uint32 // of the limit that frac was made for
}

// earned is how long it takes to earn n admissions: Window·n/Count, whole
// nanoseconds and rest. It cannot overflow, since Limit.refills.
func earned(limit *Limit, n int) (ns int64, frac uint32) {
	if n == limit.Count {
		return int64(limit.Window), 0
	}
	hi, lo := bits.Mul64(uint64(limit.Window), uint64(n))
	q, r := bits.Div64(hi, lo, uint64(limit.Count))
	return int64(q), uint32(r)
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (g *gcra) wait(now int64, limit *Limit, cost int) int64 {
	if g.expired(now) {
		return 0
	}
	ns, frac := earned(limit, limit.Capacity()-cost)
	wait := g.tat - ns - now
	if g.frac > frac {
		wait++
	}
	return max(wait, 0)
}

// record admits cost at now, and returns when all is earned back. Beyond the
// limit nobody owes more than a burst.
func (g *gcra) record(now int64, limit *Limit, cost int) int64 {
	if g.tat < now {
		g.tat, g.frac = now, 0
	}
	before := *g
	ns, frac := earned(limit, cost)
	g.tat, g.frac = add(g.tat+ns, g.frac, frac, g.count)
	if ns, frac = earned(limit, limit.Capacity()); g.after(now+ns, frac) {
		g.tat, g.frac = now+ns, frac
		g.raise(before.tat, before.frac)
	}
	return g.end()
}

func add(ns int64, frac, more, count uint32) (int64, uint32) {
	if frac += more; frac >= count { // both are below count: no overflow
		return ns + 1, frac - count
	}
	return ns, frac
}

// refund takes back what cost is. It does nothing once that is earned back in
// any case, which it is at the time that record returned, nor when that is later
// than record can have said.
func (g *gcra) refund(now int64, limit *Limit, end int64, cost int) {
	burst, _ := earned(limit, limit.Capacity())
	if end <= now || end > max(g.end(), now+burst+1) || g.expired(now) {
		return
	}
	ns, frac := earned(limit, min(cost, limit.Capacity()))
	g.tat -= ns
	if g.frac < frac {
		g.tat, g.frac = g.tat-1, g.frac+g.count
	}
	if g.frac -= frac; g.tat < now {
		g.tat, g.frac = now, 0
	}
}

func (g *gcra) raise(ns int64, frac uint32) {
	if !g.after(ns, frac) {
		g.tat, g.frac = ns, frac
	}
}

func (g *gcra) after(ns int64, frac uint32) bool {
	return g.tat > ns || g.tat == ns && g.frac > frac
}

// fit makes g count for limit.
func (g *gcra) fit(limit *Limit) {
	if count := uint32(limit.Count); g.count != count {
		g.tat, g.frac, g.count = g.end(), 0, count
	}
}

// end is when all is earned back, rounded up.
func (g *gcra) end() int64 {
	if g.frac > 0 {
		return g.tat + 1
	}
	return g.tat
}

// expired reports whether nothing counts any more at now.
func (g *gcra) expired(now int64) bool { return g.end() <= now }
