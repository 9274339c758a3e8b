package ratelimit

// entry is one key. It stands at position index of its class's blocked or open.
type entry struct {
	key     string
	limit   Limit      // of the last call; its algorithm says which of the three counts
	times   admissions // SlidingWindow
	counter *counter   // SlidingCounter
	gcra    gcra       // GCRA
	until   int64      // end of the block, when blocked
	index   int
	class   uint8 // its position in shard.classes
	blocked bool
	recent  bool // admitted since the hand last came by
}

// begin makes e an entry without an admission.
func (e *entry) begin(limit Limit) {
	e.limit = limit
	e.times.reset()
	switch limit.Algorithm {
	case SlidingCounter:
		if e.counter == nil {
			e.counter = new(counter)
		}
		*e.counter = counter{window: int64(limit.Window)}
	case GCRA:
		e.gcra = gcra{tat: never, count: uint32(limit.Count)}
	}
}

// fit makes e count for limit what it has recorded under another.
func (e *entry) fit(limit Limit) {
	if e.limit == limit {
		return
	}
	old := e.limit
	e.limit = limit
	switch {
	case !old.sameAlgorithm(limit):
		e.begin(limit)
	case limit.Algorithm == SlidingCounter:
		e.counter.fit(limit.Window)
	case limit.Algorithm == GCRA:
		e.gcra.fit(&limit)
	}
}

// wait is how long a call of cost has to wait at now; 0 when it is admitted.
func (e *entry) wait(now int64, cost int) int64 {
	switch e.limit.Algorithm {
	case SlidingCounter:
		return e.counter.wait(now, &e.limit, cost)
	case GCRA:
		return e.gcra.wait(now, &e.limit, cost)
	default:
		return e.times.wait(now, &e.limit, cost)
	}
}

// record admits cost at now, and returns the token of the admission.
func (e *entry) record(now int64, cost int) int64 {
	switch e.limit.Algorithm {
	case SlidingCounter:
		return e.counter.record(now, cost)
	case GCRA:
		return e.gcra.record(now, &e.limit, cost)
	default:
		return e.times.record(now, &e.limit, cost)
	}
}

// refund takes an admission back.
func (e *entry) refund(now, token int64, cost int) {
	switch e.limit.Algorithm {
	case SlidingCounter:
		e.counter.refund(token, cost)
	case GCRA:
		e.gcra.refund(now, &e.limit, token, cost)
	default:
		e.times.refund(token, cost)
	}
}

// hold makes the next call wait from now for as long, at least.
func (e *entry) hold(now, wait int64) {
	switch e.limit.Algorithm {
	case SlidingCounter:
		e.counter.hold(now, wait, &e.limit)
	case GCRA:
		e.gcra.hold(now, wait, &e.limit)
	default:
		e.times.hold(now, wait, &e.limit)
	}
}

// expired reports whether nothing counts any more at now.
func (e *entry) expired(now int64) bool {
	switch e.limit.Algorithm {
	case SlidingCounter:
		return e.counter.expired(now)
	case GCRA:
		return e.gcra.expired(now)
	default:
		return e.times.expired(now, &e.limit)
	}
}

func (s *shard) init(maxKeys int) {
	s.max = maxKeys
	s.keys = make(map[string]*entry)
	s.classes = []*class{{}}
}

// entry returns the entry of key, a new one when there is none.
func (s *shard) entry(key string, limit Limit, now int64) *entry {
	if e := s.keys[key]; e != nil {
		e.fit(limit)
		return e
	}
	id := s.intern(key)
	c := s.classes[id]
	s.tidy(c, now)
	var e *entry
	if len(s.keys) < s.max {
		e = new(entry)
	} else {
		e = s.largest(c).victim()
		s.drop(e)
	}
	*e = entry{key: key, counter: e.counter, class: id}
	e.begin(limit)
	c.add(e)
	s.keys[key] = e
	return e
}

// admit records cost admissions of e at now.
func (s *shard) admit(e *entry, now int64, cost int) Decision {
	token := e.record(now, cost)
	e.recent = true
	s.settle(e, now)
	return Decision{Allowed: true, Cost: cost, Token: token}
}

// settle files e under blocked or open, after its admissions or its limit changed.
func (s *shard) settle(e *entry, now int64) {
	if wait := e.wait(now, 1); wait > 0 {
		if end := now + wait; !e.blocked || e.until != end {
			s.classes[e.class].block(e, end)
		}
		return
	}
	if e.blocked {
		s.classes[e.class].reopen(e)
	}
}

func (s *shard) drop(e *entry) {
	s.classes[e.class].detach(e)
	delete(s.keys, e.key)
}

// blockHeap is a binary heap by until that tells its entries where they are.
type blockHeap []*entry

func (h *blockHeap) push(e *entry) {
	e.index = len(*h)
	*h = append(*h, e)
	h.up(e.index)
}

func (h *blockHeap) remove(i int) {
	old := *h
	last := len(old) - 1
	moved := old[last]
	old[last] = nil
	*h = old[:last]
	if i == last {
		return
	}
	old[i] = moved
	moved.index = i
	h.down(i)
	h.up(moved.index)
}

func (h *blockHeap) up(i int) {
	all := *h
	for i > 0 {
		parent := (i - 1) / 2
		if all[parent].until <= all[i].until {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *blockHeap) down(i int) {
	all := *h
	for {
		child := 2*i + 1
		if child >= len(all) {
			return
		}
		if child+1 < len(all) && all[child+1].until < all[child].until {
			child++
		}
		if all[i].until <= all[child].until {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h *blockHeap) swap(i, j int) {
	all := *h
	all[i], all[j] = all[j], all[i]
	all[i].index, all[j].index = i, j
}
