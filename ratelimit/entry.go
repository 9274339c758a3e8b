package ratelimit

// entry is one key: two cache lines, of which GCRA uses the first.
type entry struct {
	key     fingerprint
	until   int64  // end of the block, when blocked
	index   uint32 // its position in its class's blocked or open
	class   uint8  // its position in shard.classes
	kind    kind
	blocked bool
	recent  bool // admitted since the hand last came by

	gcra gcra

	// ends is when nothing counts any more, of SlidingWindow. Of the others it is
	// what their tokens are off by, in this life of the key: one from before a
	// Reset tells a time that nothing can have been recorded at.
	ends    int64
	start   uint16 // of admissions
	count   uint16 // of admissions
	hasMore bool   // a ring or a held
	times   [inlineTimes]int64
}

// kind is an Algorithm.
type kind uint8

const (
	slidingWindow kind = iota
	slidingCounter
	gcraKind
)

func kindOf(limit *Limit) kind {
	switch limit.Algorithm {
	case SlidingCounter:
		return slidingCounter
	case GCRA:
		return gcraKind
	default:
		return slidingWindow
	}
}

func (e *entry) used() bool { return e.key != fingerprint{} }

// cell is an entry in the hands of one call.
type cell struct {
	*entry
	table  *table
	number int
}

func (s *shard) cell(n int) cell { return cell{&s.entries[n], &s.table, n} }

// begin makes c an entry without an admission.
func (c cell) begin(limit *Limit) {
	if c.hasMore {
		beside := c.table.moreOf(c.number)
		beside.ring, beside.held = nil, never
	}
	c.kind, c.hasMore = kindOf(limit), false
	c.ends = c.table.life()
	switch c.kind {
	case slidingCounter:
		beside := c.table.moreOf(c.number)
		if beside.counter == nil {
			beside.counter = new(counter)
		}
		*beside.counter = counter{window: int64(limit.Window)}
	case gcraKind:
		c.gcra = gcra{tat: never, count: uint32(limit.Count)}
	case slidingWindow:
		c.start, c.count, c.ends = 0, 0, never
	}
}

// fit makes c count for limit what it has recorded under another.
func (c cell) fit(limit *Limit) {
	switch {
	case c.kind != kindOf(limit):
		c.begin(limit)
	case c.kind == slidingCounter:
		c.counter().fit(limit.Window)
	case c.kind == gcraKind:
		c.gcra.fit(limit)
	}
}

func (c cell) counter() *counter { return c.table.moreOf(c.number).counter }

// load makes a the admissions of a SlidingWindow; keep puts them back.
func (c cell) load(a *admissions) {
	a.ring, a.start, a.n = c.times[:], int(c.start), int(c.count)
	if c.hasMore {
		if ring := c.table.moreOf(c.number).ring; ring != nil {
			a.ring = ring
		}
	}
}

func (c cell) keep(a *admissions) {
	c.start, c.count = uint16(a.start), uint16(a.n)
	if len(a.ring) > inlineTimes {
		c.hasMore, c.table.moreOf(c.number).ring = true, a.ring
	}
}

// hold makes every call wait from now for as long, at least, until one is recorded.
func (c cell) hold(now, wait int64) {
	beside := c.table.moreOf(c.number)
	c.hasMore, beside.held = true, max(beside.held, now+wait)
}

// held is when the hold ends.
func (c cell) held() int64 {
	if !c.hasMore {
		return never
	}
	return c.table.moreOf(c.number).held
}

// heldFor is how long the hold lasts from now.
func (c cell) heldFor(now int64) int64 {
	if end := c.held(); end > now {
		return end - now
	}
	return 0
}

// release ends the hold: whoever told it admits again, or it is over.
func (c cell) release() {
	if c.hasMore {
		c.table.moreOf(c.number).held = never
	}
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (c cell) wait(now int64, limit *Limit, cost int) int64 {
	held := c.heldFor(now)
	switch c.kind {
	case slidingCounter:
		return max(c.counter().wait(now, limit, cost), held)
	case gcraKind:
		return max(c.gcra.wait(now, limit, cost), held)
	default:
		var a admissions
		c.load(&a)
		return max(a.wait(now, limit, cost), held)
	}
}

// standing is what wait is for 1. It also notes when nothing counts any more.
func (c cell) standing(now int64, limit *Limit) int64 {
	if c.kind != slidingWindow {
		return c.wait(now, limit, 1)
	}
	var a admissions
	c.load(&a)
	c.ends = max(a.end(limit), c.held())
	return max(a.wait(now, limit, 1), c.heldFor(now))
}

// record admits cost at now, and returns the token of the admission.
func (c cell) record(now int64, limit *Limit, cost int) int64 {
	c.release()
	switch c.kind {
	case slidingCounter:
		return c.counter().record(now, cost) + c.ends
	case gcraKind:
		return c.gcra.record(now, limit, cost) + c.ends
	default:
		var a admissions
		c.load(&a)
		token := a.record(now, limit, cost)
		c.keep(&a)
		return token
	}
}

// decide is wait, record when that is 0, and standing, in one.
func (c cell) decide(now int64, limit *Limit, cost int) (wait, token, standing int64) {
	if c.kind != slidingWindow {
		if wait = c.wait(now, limit, cost); wait == 0 {
			token = c.record(now, limit, cost)
		} else if cost == 1 {
			return wait, 0, wait
		}
		return wait, token, c.wait(now, limit, 1)
	}
	var a admissions
	c.load(&a)
	wait = max(a.wait(now, limit, cost), c.heldFor(now))
	standing = wait
	if wait == 0 {
		c.release()
		token = a.record(now, limit, cost)
		c.keep(&a)
	}
	c.ends = max(a.end(limit), c.held())
	if wait == 0 || cost > 1 {
		standing = max(a.wait(now, limit, 1), c.heldFor(now))
	}
	return wait, token, standing
}

// refund takes an admission back.
func (c cell) refund(now int64, limit *Limit, token int64, cost int) {
	switch c.kind {
	case slidingCounter:
		c.counter().refund(token-c.ends, cost)
	case gcraKind:
		c.gcra.refund(now, limit, token-c.ends, cost)
	default:
		var a admissions
		c.load(&a)
		a.refund(token, cost)
		c.keep(&a)
	}
}

// expired reports whether nothing counts any more at now.
func (c cell) expired(now int64) bool {
	if c.held() > now {
		return false
	}
	switch c.kind {
	case slidingCounter:
		return c.counter().expired(now)
	case gcraKind:
		return c.gcra.expired(now)
	default:
		return c.ends <= now
	}
}
