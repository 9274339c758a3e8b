package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"strconv"
	"sync"
	"time"
)

// DefaultMaxKeys is how many keys a Memory keeps unless told otherwise.
const DefaultMaxKeys = 1 << 17

// MemoryConfig makes a Memory.
type MemoryConfig struct {
	// MaxKeys bounds the keys kept; 0 means DefaultMaxKeys. A key costs about
	// 350 bytes, under SlidingWindow up to 8 bytes more per unit of a limit above
	// 8, under SlidingCounter 300 bytes more.
	MaxKeys int

	// Now is the clock; nil means the monotonic one of package time.
	Now func() time.Time
}

// Memory is a Limiter in the memory of this process, for every algorithm. Its
// times are whole nanoseconds. It starts no goroutine.
//
// A Refund under GCRA does nothing once what the call cost is earned back, so
// that one which comes late makes no room for more than its own.
//
// At most MaxKeys keys are kept, spread over shards of equal size. A new key in
// a full shard takes the place of one of the policy that holds the most keys
// there, so that a flood of new subjects drives out those of its own policy and
// not another's. Of these it is one that is not blocked and was not admitted of
// late; only when every one of them is blocked does the one go whose block ends
// first. A key that is driven out begins anew. Keys without a live admission are
// dropped as new ones come.
//
// The policy of a key is the key up to its last colon. Of more than 32 in a
// shard, those that came last count as one.
//
// A clock that steps backward neither admits more nor blocks anything beyond
// the window plus the step.
type Memory struct {
	clock  clock // read under a shard's lock, so that a key sees no reordered times
	seed   maphash.Seed
	shards []shard
}

// shardKeys is the least number of keys worth a shard of their own.
const (
	shardKeys = 1024
	maxShards = 64
)

// NewMemory returns an empty Memory, or every problem of cfg as *ConfigError,
// joined.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	var p problems
	if cfg.MaxKeys < 0 {
		p.addf("MaxKeys", strconv.Itoa(cfg.MaxKeys), "must not be negative")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = DefaultMaxKeys
	}
	n := min(max(cfg.MaxKeys/shardKeys, 1), maxShards)
	m := &Memory{clock: newClock(cfg.Now), seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].init(cfg.MaxKeys / n)
	}
	return m, nil
}

// Allow is AllowN with a cost of 1.
func (m *Memory) Allow(ctx context.Context, key string, limit Limit) (Decision, error) {
	return m.AllowN(ctx, key, limit, 1)
}

// AllowN implements Limiter. Its only errors are those of a limit or a cost out
// of bounds.
func (m *Memory) AllowN(_ context.Context, key string, limit Limit, cost int) (Decision, error) {
	if err := errors.Join(limit.Validate(), limit.CheckCost(cost)); err != nil {
		return Decision{}, err
	}
	return m.allow(key, limit, cost), nil
}

// Refund implements Limiter. It never fails.
func (m *Memory) Refund(_ context.Context, key string, limit Limit, d Decision) error {
	if limit.valid() {
		m.takeBack(key, &limit, d)
	}
	return nil
}

// Reset implements Limiter. It never fails.
func (m *Memory) Reset(_ context.Context, key string) error {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.keys[key]; e != nil {
		s.drop(e)
	}
	return nil
}

// Mirror records what another Limiter decided on key just now, so that m can
// take over from it: an admission is recorded even beyond the limit, and after
// a refusal m refuses for as long. It returns m's own decision for Refund.
//
// When m takes over, it adds to any window at most what limit lets through by
// itself, however often the two change places: what the other admitted through
// this process counts in m as well. A refusal does not tell what it was asked
// for, so that m refuses every call for as long; under SlidingCounter for up to
// Window/CounterBuckets longer.
func (m *Memory) Mirror(key string, limit Limit, d Decision) Decision {
	if limit.Validate() != nil || !d.Allowed && d.RetryAfter <= 0 {
		return Decision{}
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.clock.now()
	e := s.entry(key, limit, now)
	if !d.Allowed {
		e.hold(now, int64(min(d.RetryAfter, 2*MaxWindow)))
		s.settle(e, now)
		return Decision{}
	}
	return s.admit(e, now, min(max(d.Cost, 1), limit.Capacity()))
}

// Len is the number of keys kept.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}

func (m *Memory) allow(key string, limit Limit, cost int) Decision {
	if cost > limit.Capacity() {
		return Decision{}
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.clock.now()
	e := s.entry(key, limit, now)
	if wait := e.wait(now, cost); wait > 0 {
		s.settle(e, now)
		return Decision{RetryAfter: time.Duration(wait)}
	}
	return s.admit(e, now, cost)
}

// wait is how long m would refuse one call; 0 when it would admit it.
func (m *Memory) wait(key string, limit Limit) time.Duration {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.keys[key]
	if e == nil {
		return 0
	}
	e.fit(limit)
	return time.Duration(e.wait(m.clock.now(), 1))
}

// refund is Refund under the limit of the key's last call.
func (m *Memory) refund(key string, d Decision) { m.takeBack(key, nil, d) }

func (m *Memory) takeBack(key string, limit *Limit, d Decision) {
	if !d.Allowed {
		return
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.keys[key]
	if e == nil {
		return
	}
	if limit != nil {
		if !e.limit.sameAlgorithm(*limit) {
			return
		}
		e.fit(*limit)
	}
	now := m.clock.now()
	e.refund(now, d.Token, min(max(d.Cost, 1), MaxLargeCount))
	s.settle(e, now)
}

func (m *Memory) shard(key string) *shard {
	if len(m.shards) == 1 {
		return &m.shards[0]
	}
	return &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
}

// shard is one lock's worth of keys. Every key belongs to one class.
type shard struct {
	mu      sync.Mutex
	keys    map[string]*entry
	classes []*class // the first takes what has none of its own
	turn    int      // the class to tidy next
	max     int
	_       [32]byte // keeps neighbours' locks off this cache line
}
