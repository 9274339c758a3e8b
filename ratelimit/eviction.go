package ratelimit

// entry is one key. It stands at position index of shard.blocked or shard.open.
type entry struct {
	key     string
	times   admissions
	limit   Limit // of the last call
	until   int64 // end of the block, when blocked
	index   int
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
}

// entry returns the entry of key, a new one when there is none.
func (s *shard) entry(key string, limit Limit, now int64) *entry {
	if e := s.keys[key]; e != nil {
		e.limit = limit
		return e
	}
	s.unblock(now)
	s.sweep(now)
	var e *entry
	if len(s.keys) < s.max {
		e = new(entry)
	} else {
		e = s.victim()
		s.drop(e)
	}
	*e = entry{key: key, limit: limit, index: len(s.open)}
	e.times.reset()
	s.open = append(s.open, e)
	s.keys[key] = e
	return e
}

// admit records an admission of e at now.
func (s *shard) admit(e *entry, now int64) Decision {
	at := e.times.later(now)
	e.times.push(at, e.limit.Count)
	e.recent = true
	s.settle(e, now)
	return Decision{Allowed: true, Token: at}
}

// settle files e under blocked or open, after its times or its limit changed.
func (s *shard) settle(e *entry, now int64) {
	end, full := e.times.blockedUntil(e.limit)
	if full && end > e.times.later(now) {
		if e.blocked && e.until == end {
			return
		}
		s.detach(e)
		e.until, e.blocked = end, true
		s.blocked.push(e)
		return
	}
	if e.blocked {
		s.reopen(e)
	}
}

// reopen moves e from blocked to open.
func (s *shard) reopen(e *entry) {
	s.detach(e)
	e.blocked, e.index = false, len(s.open)
	s.open = append(s.open, e)
}

// unblock reopens what has ceased to be blocked. Every key that comes in pays
// for two, so the work of a call is bounded and nothing is left waiting.
func (s *shard) unblock(now int64) {
	for range 2 {
		if len(s.blocked) == 0 || s.blocked[0].until > now {
			return
		}
		s.reopen(s.blocked[0])
	}
}

// sweep moves the hand by two and drops what has expired there.
func (s *shard) sweep(now int64) {
	for range 2 {
		if len(s.open) == 0 {
			return
		}
		e := s.under()
		if e.expired(now) {
			s.drop(e)
			continue
		}
		s.hand++
	}
}

// victim is the key to drive out of a full shard: an open one that was not
// admitted since the hand last came by, else the blocked one that ends first.
func (s *shard) victim() *entry {
	if len(s.open) == 0 {
		return s.blocked[0]
	}
	for {
		e := s.under()
		if !e.recent {
			return e
		}
		e.recent = false
		s.hand++
	}
}

// under is the open entry under the hand. There must be one.
func (s *shard) under() *entry {
	if s.hand >= len(s.open) {
		s.hand = 0
	}
	return s.open[s.hand]
}

func (s *shard) drop(e *entry) {
	s.detach(e)
	delete(s.keys, e.key)
}

// detach takes e out of blocked or open.
func (s *shard) detach(e *entry) {
	if e.blocked {
		s.blocked.remove(e.index)
		return
	}
	last := len(s.open) - 1
	moved := s.open[last]
	s.open[e.index] = moved
	moved.index = e.index
	s.open[last] = nil
	s.open = s.open[:last]
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
