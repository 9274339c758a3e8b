package ratelimit

// init makes s an empty shard for that many keys.
func (s *shard) init(maxKeys int) {
	s.max = maxKeys
	s.classes = []*class{{}}
}

// open returns the cell of key, a new one when there is none.
func (s *shard) open(key string, f *fingerprint, limit *Limit, now int64) cell {
	if n, ok := s.find(f); ok {
		c := s.cell(n)
		c.fit(limit)
		return c
	}
	id := s.intern(key)
	class := s.classes[id]
	s.tidy(class, now)
	if s.len >= s.max {
		s.drop(s.victim(s.largest(class)))
	}
	c := s.cell(s.insert(f))
	c.class = id
	c.begin(limit)
	s.add(class, c.number)
	return c
}

// settle files c under blocked or open, after its admissions or its limit changed.
func (s *shard) settle(c cell, now int64, limit *Limit) {
	s.file(c, now, c.standing(now, limit))
}

// file puts c under blocked when it has to wait, and else under open.
func (s *shard) file(c cell, now, wait int64) {
	switch end := now + wait; {
	case wait == 0 && c.blocked:
		s.reopen(c.number)
	case wait > 0 && !(c.blocked && c.until == end):
		s.block(c, end)
	}
}

func (s *shard) drop(n int) {
	s.detach(n)
	s.remove(n)
}

// blockHeap is a binary heap of entries by until, the first to end on top, that
// tells its entries where they are.
type blockHeap []int32

func (t *table) push(h *blockHeap, n int) {
	*h = append(*h, int32(n))
	t.up(*h, len(*h)-1)
}

func (t *table) pull(h *blockHeap, i int) {
	last := len(*h) - 1
	moved := (*h)[last]
	*h = (*h)[:last]
	if i == last {
		return
	}
	t.put(*h, i, moved)
	t.down(*h, i)
	t.up(*h, int(t.entries[moved].index))
}

func (t *table) up(h blockHeap, i int) {
	n := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if t.entries[h[parent]].until <= t.entries[n].until {
			break
		}
		t.put(h, i, h[parent])
		i = parent
	}
	t.put(h, i, n)
}

func (t *table) down(h blockHeap, i int) {
	n := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && t.entries[h[child+1]].until < t.entries[h[child]].until {
			child++
		}
		if t.entries[n].until <= t.entries[h[child]].until {
			break
		}
		t.put(h, i, h[child])
		i = child
	}
	t.put(h, i, n)
}

// put makes n the i-th of h.
func (t *table) put(h blockHeap, i int, n int32) {
	h[i] = n
	t.entries[n].index = uint32(i)
}
