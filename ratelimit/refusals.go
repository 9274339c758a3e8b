package ratelimit

import (
	"sync"
	"time"
)

// setSize is how many refusals share a lock.
const setSize = 8

// refusal is one key that its store refused. Times are of Cached.clock.
type refusal struct {
	key   string
	hash  uint64
	limit Limit // the zero Limit in an empty place
	until int64 // when it ends at the earliest
	late  int64 // how much later it may end: the time that the store took
	asked int64 // when a call last set out to ask the store
	used  int64 // when it was last looked for
}

// wait is what is left of r at now: 0 when it may be over.
func (r *refusal) wait(now int64) time.Duration {
	if now >= r.until {
		return 0
	}
	return time.Duration(r.until + r.late - now)
}

// due reports whether the store is to be asked again. So it is when the clock
// was set back, and nobody knows how much time has passed.
func (r *refusal) due(now int64) bool {
	return now < r.asked || now-r.asked >= int64(recheck)
}

// refusalSet is a few refusals under one lock. They are allocated with the first.
type refusalSet struct {
	mu      sync.Mutex
	refunds uint32 // places given back so far, to any key of the set
	places  *[setSize]refusal
}

// find returns the refusal of key, nil when there is none.
func (s *refusalSet) find(hash uint64, key string) *refusal {
	if s.places == nil {
		return nil
	}
	for i := range s.places {
		if r := &s.places[i]; r.hash == hash && r.key == key && r.limit != (Limit{}) {
			return r
		}
	}
	return nil
}

// recall is Cached.recall.
func (s *refusalSet) recall(hash uint64, key string, limit Limit, now int64) (wait time.Duration, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(hash, key)
	if r == nil || r.limit != limit {
		return 0, false
	}
	r.used = now
	return r.wait(now), r.due(now)
}

// claim is how long key is refused without asking the store. It is 0 when the
// caller is to ask, and to pass refunds to record.
func (s *refusalSet) claim(hash uint64, key string, limit Limit, now int64) (wait time.Duration, refunds uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(hash, key)
	if r == nil || r.limit != limit {
		return 0, s.refunds
	}
	r.used = now
	if r.due(now) {
		r.asked = now
		return 0, s.refunds
	}
	return r.wait(now), s.refunds
}

// unclaim lets the next caller ask in place of one who set out at asked and
// left.
func (s *refusalSet) unclaim(hash uint64, key string, asked int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(hash, key); r != nil && r.asked == asked {
		r.asked = asked - int64(recheck)
	}
}

// record remembers what the store refused, unless a place was given back since
// the caller set out to ask, or somebody who set out later has recorded already.
func (s *refusalSet) record(r refusal, refunds uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refunds != refunds {
		return
	}
	place := s.find(r.hash, r.key)
	switch {
	case place == nil:
		place = s.victim(r.asked)
	case place.limit == r.limit && place.asked > r.asked:
		return
	}
	*place = r
}

// victim is the place for a new refusal.
func (s *refusalSet) victim(now int64) *refusal {
	if s.places == nil {
		s.places = new([setSize]refusal)
	}
	oldest := &s.places[0]
	for i := range s.places {
		r := &s.places[i]
		if r.limit == (Limit{}) || r.wait(now) == 0 {
			return r
		}
		if r.used < oldest.used {
			oldest = r
		}
	}
	return oldest
}

// forget drops what is remembered of key.
func (s *refusalSet) forget(hash uint64, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(hash, key); r != nil {
		*r = refusal{}
	}
}

// refunded drops what is remembered of key, and what is just being learned.
func (s *refusalSet) refunded(hash uint64, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refunds++
	if r := s.find(hash, key); r != nil {
		*r = refusal{}
	}
}
