package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"strconv"
	"sync"
	"time"
)

// DefaultMaxKeys is how many keys a Memory keeps unless told otherwise.
const DefaultMaxKeys = 1 << 17

// MemoryConfig makes a Memory.
type MemoryConfig struct {
	// MaxKeys bounds the keys kept; 0 means DefaultMaxKeys. A key costs 180 to 360
	// bytes, whatever its length; under SlidingWindow up to 16 bytes more per unit
	// of a limit above 8, under SlidingCounter 350 bytes more; after a refusal that
	// was mirrored 60 bytes more. Room that was once taken is kept for later keys.
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
// shard, those that came last count as one. Of the key itself nothing is kept but
// 128 bits of hashes under seeds of this process.
//
// A clock that steps backward neither admits more nor blocks anything beyond
// the window plus the step. One that is set forward ages what is recorded by as
// much; what was dropped for that does not come back when the clock is set right.
// The monotonic clock does neither.
type Memory struct {
	clock  clock // read under a shard's lock, so that a key sees no reordered times
	seeds  [2]maphash.Seed
	shards []shard
}

// shardKeys is the least number of keys worth a shard of their own.
const (
	shardKeys = 1024
	maxShards = 1024
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
	m := &Memory{clock: newClock(cfg.Now), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, shards: make([]shard, n)}
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
	if cost < 1 || !limit.valid() {
		return Decision{}, errors.Join(limit.Validate(), limit.CheckCost(cost))
	}
	return m.allow(key, limit, cost), nil
}

// Refund implements Limiter. It never fails.
func (m *Memory) Refund(_ context.Context, key string, limit Limit, d Decision) error {
	if !d.Allowed || !limit.valid() {
		return nil
	}
	s, f := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.find(&f)
	if !ok {
		return nil
	}
	if c := s.cell(n); c.kind == kindOf(&limit) {
		now := m.clock.now()
		c.fit(&limit)
		c.refund(now, &limit, d.Token, min(max(d.Cost, 1), MaxLargeCount))
		s.settle(c, now, &limit)
	}
	return nil
}

// Reset implements Limiter. It never fails.
func (m *Memory) Reset(_ context.Context, key string) error {
	s, f := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.find(&f); ok {
		s.drop(n)
	}
	return nil
}

// Mirror records what another Limiter decided on key just now, so that m can
// take over from it: an admission is recorded even beyond the limit, and after
// a refusal m refuses for as long, or until the other admits again: then it has
// forgotten what it refused, and only what was recorded counts. It returns m's own
// decision for Refund, which ends no refusal of the other.
//
// When m takes over, it adds to any window at most what limit lets through by
// itself, however often the two change places: what the other admitted through
// this process counts in m as well, even if the other has forgotten it since. A
// refusal does not tell what it was asked for, so that m refuses every call for
// as long.
func (m *Memory) Mirror(key string, limit Limit, d Decision) Decision {
	if limit.Validate() != nil || !d.Allowed && d.RetryAfter <= 0 {
		return Decision{}
	}
	s, f := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.clock.now()
	c := s.open(key, &f, &limit, now)
	made := Decision{}
	if d.Allowed {
		cost := min(max(d.Cost, 1), limit.Capacity())
		made = Decision{Allowed: true, Cost: cost, Token: c.record(now, &limit, cost)}
		c.recent = true
	} else {
		c.hold(now, int64(min(d.RetryAfter, 2*MaxWindow)))
	}
	s.settle(c, now, &limit)
	return made
}

// Len is the number of keys kept.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.len
		s.mu.Unlock()
	}
	return n
}

func (m *Memory) allow(key string, limit Limit, cost int) Decision {
	if cost > limit.Capacity() {
		return Decision{}
	}
	s, f := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.clock.now()
	c := s.open(key, &f, &limit, now)
	wait, token, standing := c.decide(now, &limit, cost)
	s.file(c, now, standing)
	if wait > 0 {
		return Decision{RetryAfter: time.Duration(wait)}
	}
	c.recent = true
	return Decision{Allowed: true, Cost: cost, Token: token}
}

// wait is how long m would refuse one call; 0 when it would admit it.
func (m *Memory) wait(key string, limit Limit) time.Duration {
	s, f := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.find(&f)
	if !ok || s.entries[n].kind != kindOf(&limit) {
		return 0
	}
	c := s.cell(n)
	c.fit(&limit)
	return time.Duration(c.wait(m.clock.now(), &limit, 1))
}

func (m *Memory) shard(key string) (*shard, fingerprint) {
	f := fingerprint{maphash.String(m.seeds[0], key) | 1, maphash.String(m.seeds[1], key)}
	n, _ := bits.Mul64(f[0], uint64(len(m.shards)))
	return &m.shards[n], f
}

// shard is one lock's worth of keys. Every key belongs to one class.
type shard struct {
	mu sync.Mutex
	table
	classes []*class // the first takes what has none of its own
	turn    int      // the class to tidy next
	_       [8]byte  // makes it two cache lines, so that no lock has a neighbour
}
