package ratelimit

// entry is one key. It stands at position index of its class's blocked or open.
type entry struct {
	key     string
	times   admissions
	limit   Limit // of the last call
	until   int64 // end of the block, when blocked
	index   int
	class   uint8 // its position in shard.classes
	blocked bool
	recent  bool // admitted since the hand last came by
}

// expired reports whether no admission counts any more at now.
func (e *entry) expired(now int64) bool {
	return e.times.n == 0 || e.times.at(e.times.n-1)+int64(e.limit.Window) <= now
}

func (s *shard) init(maxKeys int) {
	s.max = maxKeys
	s.keys = make(map[string]*entry)
	s.classes = []*class{{}}
}

// entry returns the entry of key, a new one when there is none.
func (s *shard) entry(key string, limit Limit, now int64) *entry {
	if e := s.keys[key]; e != nil {
		e.limit = limit
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
	*e = entry{key: key, limit: limit, class: id}
	e.times.reset()
	c.add(e)
	s.keys[key] = e
	return e
}

// admit records cost admissions of e at now.
func (s *shard) admit(e *entry, now int64, cost int) Decision {
	at := e.times.later(now)
	for range cost {
		e.times.push(at, e.limit.Count)
	}
	e.recent = true
	s.settle(e, now)
	return Decision{Allowed: true, Cost: cost, Token: at}
}

// settle files e under blocked or open, after its times or its limit changed.
func (s *shard) settle(e *entry, now int64) {
	end, full := e.times.blockedUntil(e.limit, 1)
	if full && end > e.times.later(now) {
		if !e.blocked || e.until != end {
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
