package ratelimit

import (
	"context"
	"hash/maphash"
	"strconv"
	"time"
)

// DefaultMaxBlocked is how many keys a Cached remembers unless told otherwise.
const DefaultMaxBlocked = 1 << 14

// recheck is how long a refusal is believed before its store is asked again.
// With the time that a store takes to answer, what changes there is seen within
// a second.
const recheck = 900 * time.Millisecond

// CachedConfig makes a Cached.
type CachedConfig struct {
	Limiter Limiter // required; stays the caller's

	// MaxBlocked bounds the keys remembered; 0 means DefaultMaxBlocked. One
	// costs about 80 bytes beside the key itself.
	MaxBlocked int

	// Now is the clock; nil means the monotonic one of package time.
	Now func() time.Time
}

// Cached is a Limiter that remembers what another one refused, so that a key
// over its limit costs the store next to nothing. New puts one in front of every
// Limiter that is not a Memory. It starts no goroutine.
//
// It never admits by itself. A refusal is repeated from memory for the same key
// and limit until its time is over, and for 900 ms at most: then one call asks
// the store while the others go on from memory. So a place given back by another
// process, a key unblocked or a clock set forward is seen within a second; a
// Refund through the Cached itself, and another Limit, at once.
//
// That time is taken from before the store was asked, so that memory refuses no
// longer than the store would. The wait that it tells counts from the store's
// answer, as for the call that asked: it is late by the time that the answer
// took, never early.
//
// Keys that are over their limit stand in sets of eight. In a full set a new one
// takes the place of one whose time is over, else of the one asked for least
// recently. A key that is driven out is asked for in the store again.
type Cached struct {
	limiter Limiter
	clock   clock
	seed    maphash.Seed
	sets    []refusalSet
	state   storeState
}

// NewCached returns a Cached that remembers nothing yet, or every problem of cfg
// as *ConfigError, joined.
func NewCached(cfg CachedConfig) (*Cached, error) {
	var p problems
	if cfg.Limiter == nil {
		p.addf("Limiter", "", "is required")
	}
	if cfg.MaxBlocked < 0 {
		p.addf("MaxBlocked", strconv.Itoa(cfg.MaxBlocked), "must not be negative")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if cfg.MaxBlocked == 0 {
		cfg.MaxBlocked = DefaultMaxBlocked
	}
	c := &Cached{
		limiter: cfg.Limiter,
		clock:   newClock(cfg.Now),
		seed:    maphash.MakeSeed(),
		sets:    make([]refusalSet, max(cfg.MaxBlocked/setSize, 1)),
	}
	c.state.clock = &c.clock
	return c, nil
}

// Allow is AllowN with a cost of 1.
func (c *Cached) Allow(ctx context.Context, key string, limit Limit) (Decision, error) {
	return c.AllowN(ctx, key, limit, 1)
}

// AllowN implements Limiter. Its errors are those of the Limiter behind. What
// costs more than 1 is asked there every time.
func (c *Cached) AllowN(ctx context.Context, key string, limit Limit, cost int) (Decision, error) {
	d, _, err := c.allow(ctx, key, limit, cost)
	return d, err
}

// allow tells besides whether d was remembered.
func (c *Cached) allow(ctx context.Context, key string, limit Limit, cost int) (d Decision, remembered bool, err error) {
	if cost != 1 {
		if d, err = c.limiter.AllowN(ctx, key, limit, cost); d.Allowed {
			c.forget(key) // whoever waited for less waits anew
		}
		return d, false, err
	}
	h, set := c.set(key)
	asked := c.clock.now()
	wait, refunds := set.claim(h, key, limit, asked)
	if wait > 0 {
		return Decision{RetryAfter: wait}, true, nil
	}
	d, err = c.limiter.AllowN(ctx, key, limit, 1)
	switch {
	case err != nil: // what is remembered stays: the store said so
		if ctx.Err() != nil {
			set.unclaim(h, key, asked)
		}
	case d.Allowed:
		set.forget(h, key)
	default:
		set.record(refusal{
			hash: h, key: key, limit: limit,
			until: asked + int64(d.RetryAfter), late: c.clock.now() - asked, asked: asked, used: asked,
		}, refunds)
	}
	return d, false, err
}

// Refund implements Limiter. Its errors are those of the Limiter behind.
func (c *Cached) Refund(ctx context.Context, key string, limit Limit, d Decision) error {
	err := c.limiter.Refund(ctx, key, limit, d)
	if d.Allowed {
		c.forget(key)
	}
	return err
}

// Reset implements Limiter. Its errors are those of the Limiter behind.
func (c *Cached) Reset(ctx context.Context, key string) error {
	err := c.limiter.Reset(ctx, key)
	c.forget(key)
	return err
}

func (c *Cached) forget(key string) {
	h, set := c.set(key)
	set.refunded(h, key)
}

// recall is how long key is known to be blocked, and whether the store is to be
// asked about that again. It is 0, false when nothing is known.
func (c *Cached) recall(key string, limit Limit) (wait time.Duration, due bool) {
	h, set := c.set(key)
	return set.recall(h, key, limit, c.clock.now())
}

func (c *Cached) set(key string) (hash uint64, set *refusalSet) {
	hash = maphash.String(c.seed, key)
	return hash, &c.sets[hash%uint64(len(c.sets))]
}
