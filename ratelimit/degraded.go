package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// settled is how long a store must answer without a failure before it counts as
// recovered: one that comes and goes, or a Cluster of which a part is gone, is
// one disturbance, not many.
const settled = 5 * time.Second

// storeState is whether a store fails.
type storeState struct {
	clock *clock
	down  atomic.Bool

	mu    sync.Mutex
	since time.Time
	last  int64 // of clock, when it failed last
	cause error
}

// failed reports whether that is news.
func (s *storeState) failed(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.cause = s.clock.now(), err
	if s.down.Load() {
		return false
	}
	s.since = time.Now()
	s.down.Store(true)
	return true
}

// answered reports whether it is news that the store answers.
func (s *storeState) answered() bool {
	if !s.down.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down.Load() || s.clock.now()-s.last < int64(settled) {
		return false
	}
	s.down.Store(false)
	return true
}

// Degraded tells since when the store fails, and how it failed last. The error is
// nil while it does not. It recovers with the first decision that comes once it
// has answered for five seconds without a failure.
func (c *Cached) Degraded() (since time.Time, cause error) {
	s := &c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down.Load() {
		return time.Time{}, nil
	}
	return s.since, s.cause
}
