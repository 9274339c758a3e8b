package ratelimit

import (
	"cmp"
	"math/bits"
)

// fingerprint stands for a key. Its 128 bits come from two seeds that are secret
// and of this process alone; the key itself is not kept. The zero one is no key's.
type fingerprint [2]uint64

// table holds the entries of a shard where their fingerprints say, or in the
// next places: linear probing. A decision so touches one place in memory, which
// holds no pointer for the garbage collector to follow. The table doubles as keys
// come, three quarters full at most, and keeps its size. Entries move: their
// numbers hold until the next insert or remove.
type table struct {
	entries []entry
	more    []*more // of the entry with the same number; nil as long as none has any
	spare   *more   // of the last entry that was removed
	len     int
	max     int
	lives   uint64 // keys that have come to be so far
}

// more is what does not fit into an entry.
type more struct {
	ring    []int64  // of admissions
	held    int64    // end of a refusal that another Limiter told
	counter *counter // SlidingCounter
}

// spread is 2^64 by the golden ratio: its multiples lie far apart, however many
// there are.
const spread = 0x9e3779b97f4a7c15

// life tells one life of a key from all others.
func (t *table) life() int64 {
	t.lives++
	return int64(t.lives * spread)
}

// home is the number that the entry of f has when no other is in the way.
func (t *table) home(f *fingerprint) int {
	hi, _ := bits.Mul64(f[1], uint64(len(t.entries)))
	return int(hi)
}

func (t *table) next(n int) int {
	if n++; n == len(t.entries) {
		return 0
	}
	return n
}

// find returns the number of the entry of f.
func (t *table) find(f *fingerprint) (n int, ok bool) {
	if t.len == 0 {
		return 0, false
	}
	for n = t.home(f); ; n = t.next(n) {
		switch e := &t.entries[n]; {
		case e.key == *f:
			return n, true
		case !e.used():
			return 0, false
		}
	}
}

// vacancy is the number for an entry of f, which has none.
func (t *table) vacancy(f *fingerprint) int {
	n := t.home(f)
	for t.entries[n].used() {
		n = t.next(n)
	}
	return n
}

// insert makes an entry for f, which has none. Of the entry only key is set.
func (s *shard) insert(f *fingerprint) int {
	if 4*s.len >= 3*len(s.entries) {
		s.grow()
	}
	s.len++
	n := s.vacancy(f)
	s.entries[n] = entry{key: *f}
	return n
}

func (s *shard) grow() {
	old, oldMore := s.entries, s.more
	s.entries = make([]entry, min(max(2*len(old), 8), s.max+s.max/3+2))
	if oldMore != nil {
		s.more = make([]*more, len(s.entries))
	}
	for i := range old {
		if e := &old[i]; e.used() {
			n := s.vacancy(&e.key)
			s.entries[n] = *e
			if oldMore != nil {
				s.more[n] = oldMore[i]
			}
			s.refile(n)
		}
	}
}

// remove frees the place of entry n, which is in no class any more.
func (s *shard) remove(n int) {
	if s.more != nil {
		s.spare = cmp.Or(s.more[n], s.spare)
	}
	// Those behind close up, unless they would come before their home.
	for from := s.next(n); s.entries[from].used(); from = s.next(from) {
		home := s.home(&s.entries[from].key)
		if s.distance(home, from) < s.distance(n, from) {
			continue
		}
		s.entries[n] = s.entries[from]
		if s.more != nil {
			s.more[n] = s.more[from]
		}
		s.refile(n)
		n = from
	}
	s.entries[n] = entry{}
	if s.more != nil {
		s.more[n] = nil
	}
	s.len--
}

func (t *table) distance(from, to int) int {
	if to < from {
		to += len(t.entries)
	}
	return to - from
}

// moreOf returns what entry n has beside, an empty one when it has nothing.
func (t *table) moreOf(n int) *more {
	if t.more == nil {
		t.more = make([]*more, len(t.entries))
	}
	if t.more[n] == nil {
		t.more[n], t.spare = t.spare, nil
		if t.more[n] == nil {
			t.more[n] = new(more)
		}
		t.more[n].ring, t.more[n].held = nil, never
	}
	return t.more[n]
}
