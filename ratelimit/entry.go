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

	ends    int64  // of SlidingWindow: when nothing counts any more
	start   uint16 // of admissions
	count   uint16 // of admissions
	hasMore bool   // of SlidingWindow
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
	c.kind = kindOf(limit)
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
		if c.hasMore {
			beside := c.table.moreOf(c.number)
			beside.ring, beside.held = nil, never
		}
		c.start, c.count, c.ends, c.hasMore = 0, 0, never, false
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
	a.ring, a.start, a.n, a.held = c.times[:], int(c.start), int(c.count), never
	if c.hasMore {
		beside := c.table.moreOf(c.number)
		a.held = beside.held
		if beside.ring != nil {
			a.ring = beside.ring
		}
	}
}

func (c cell) keep(a *admissions) {
	c.start, c.count = uint16(a.start), uint16(a.n)
	if len(a.ring) > inlineTimes || a.held != never || c.hasMore {
		beside := c.table.moreOf(c.number)
		c.hasMore, beside.held = true, a.held
		if len(a.ring) > inlineTimes {
			beside.ring = a.ring
		}
	}
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (c cell) wait(now int64, limit *Limit, cost int) int64 {
	switch c.kind {
	case slidingCounter:
		return c.counter().wait(now, limit, cost)
	case gcraKind:
		return c.gcra.wait(now, limit, cost)
	default:
		var a admissions
		c.load(&a)
		return a.wait(now, limit, cost)
	}
}

// standing is what wait is for 1. It also notes when nothing counts any more.
func (c cell) standing(now int64, limit *Limit) int64 {
	if c.kind != slidingWindow {
		return c.wait(now, limit, 1)
	}
	var a admissions
	c.load(&a)
	c.ends = a.end(limit)
	return a.wait(now, limit, 1)
}

// record admits cost at now, and returns the token of the admission.
func (c cell) record(now int64, limit *Limit, cost int) int64 {
	switch c.kind {
	case slidingCounter:
		return c.counter().record(now, cost)
	case gcraKind:
		return c.gcra.record(now, limit, cost)
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
	wait = a.wait(now, limit, cost)
	standing = wait
	if wait == 0 {
		token = a.record(now, limit, cost)
		c.keep(&a)
	}
	c.ends = a.end(limit)
	if wait == 0 || cost > 1 {
		standing = a.wait(now, limit, 1)
	}
	return wait, token, standing
}

// refund takes an admission back.
func (c cell) refund(now int64, limit *Limit, token int64, cost int) {
	switch c.kind {
	case slidingCounter:
		c.counter().refund(token, cost)
	case gcraKind:
		c.gcra.refund(now, limit, token, cost)
	default:
		var a admissions
		c.load(&a)
		a.refund(token, cost)
		c.keep(&a)
	}
}

// hold makes the next call wait from now for as long, at least.
func (c cell) hold(now, wait int64, limit *Limit) {
	switch c.kind {
	case slidingCounter:
		c.counter().hold(now, wait, limit)
	case gcraKind:
		c.gcra.hold(now, wait, limit)
	default:
		var a admissions
		c.load(&a)
		a.hold(now, wait, limit)
		c.keep(&a)
	}
}

// expired reports whether nothing counts any more at now.
func (c cell) expired(now int64) bool {
	switch c.kind {
	case slidingCounter:
		return c.counter().expired(now)
	case gcraKind:
		return c.gcra.expired(now)
	default:
		return c.ends <= now
	}
}
