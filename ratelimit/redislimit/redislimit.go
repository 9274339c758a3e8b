package redislimit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
)

// DefaultTimeout bounds a call unless Config says otherwise. It leaves a decision
// that Redis does not take some time to be taken elsewhere, within 100 ms.
const DefaultTimeout = 80 * time.Millisecond

// Config makes a Limiter.
type Config struct {
	// Client is required. Its options must have ContextTimeoutEnabled set, as
	// those of Options do: without it go-redis ignores the deadline of a call
	// and waits out its own timeouts. With MaxRetries other than -1 a call may
	// count twice, and every call goes by itself.
	Client redis.UniversalClient

	Timeout time.Duration // bounds every call, beside ctx; 0 means DefaultTimeout
}

// Limiter is a ratelimit.Limiter whose counts live in Redis. It is safe for
// concurrent use and starts no goroutine.
type Limiter struct {
	servers *servers
	scripts scripts
	gcra    *redis_rate.Limiter
	clock   func() time.Duration // since some moment, on this side
}

//go:embed allow.lua
var allowSource string

//go:embed counter.lua
var counterSource string

//go:embed counter_refund.lua
var counterRefundSource string

//go:embed gcra_refund.lua
var gcraRefundSource string

// script is a source and what Redis knows it by.
type script struct{ source, hash string }

func newScript(source string) script { return script{source, redis.NewScript(source).Hash()} }

type scripts struct{ allow, counter, counterRefund, gcraRefund script }

func newScripts(edit func(source string) string) scripts {
	return scripts{
		allow:         newScript(edit(allowSource)),
		counter:       newScript(edit(counterSource)),
		counterRefund: newScript(edit(counterRefundSource)),
		gcraRefund:    newScript(edit(gcraRefundSource)),
	}
}

// New returns a Limiter, or every problem of cfg as *ratelimit.ConfigError,
// joined. It does not connect. The client stays the caller's to close.
func New(cfg Config) (*Limiter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	l := &Limiter{
		servers: newServers(cfg.Client, cfg.Timeout),
		scripts: newScripts(func(source string) string { return source }),
	}
	l.gcra = redis_rate.NewLimiter(rateClient{cfg.Client, l.servers})
	start := time.Now()
	l.clock = func() time.Duration { return time.Since(start) }
	return l, nil
}

// Allow is AllowN with a cost of 1.
func (l *Limiter) Allow(ctx context.Context, key string, limit ratelimit.Limit) (ratelimit.Decision, error) {
	return l.AllowN(ctx, key, limit, 1)
}

// AllowN implements ratelimit.Limiter. Beside a limit or a cost out of bounds,
// errors are those of the client and of ctx, and ErrOpen; a call takes at most
// Config.Timeout. After an error other than ErrOpen the admission may or may not
// have been recorded.
func (l *Limiter) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	if err := errors.Join(limit.Validate(), limit.CheckCost(cost)); err != nil {
		return ratelimit.Decision{}, err
	}
	if cost > limit.Capacity() {
		return ratelimit.Decision{}, nil
	}
	var d ratelimit.Decision
	var err error
	switch limit.Algorithm {
	case ratelimit.GCRA:
		d, err = l.allowGCRA(ctx, key, limit, cost)
	case ratelimit.SlidingCounter:
		d, err = l.allow(ctx, l.scripts.counter, counterKey(key), cost,
			limit.Count, micros(limit.Window), bucketWidth(limit.Window), cost)
	default:
		if limit.Lockout == nil {
			d, err = l.allow(ctx, l.scripts.allow, key, cost, limit.Count, micros(limit.Window), cost)
		} else {
			d, err = l.allow(ctx, l.scripts.allow, key, cost, tierArgs(limit, cost)...)
		}
	}
	if err != nil {
		return ratelimit.Decision{}, fmt.Errorf("redislimit: allow: %w", err)
	}
	return d, nil
}

// allow takes the decision by a script of ours.
func (l *Limiter) allow(ctx context.Context, s script, key string, cost int, args ...any) (ratelimit.Decision, error) {
	answer, err := l.run(ctx, s, key, args...)
	switch {
	case err != nil:
		return ratelimit.Decision{}, err
	case len(answer) != 2:
		return ratelimit.Decision{}, fmt.Errorf("script answered %d values instead of 2", len(answer))
	case answer[0] == 0:
		return ratelimit.Decision{RetryAfter: time.Duration(answer[1]) * time.Microsecond}, nil
	}
	return ratelimit.Decision{Allowed: true, Cost: cost, Token: answer[1]}, nil
}

// run runs s on key, together with those of other callers.
func (l *Limiter) run(ctx context.Context, s script, key string, args ...any) ([]int64, error) {
	c := &call{script: s, key: key}
	c.args = append(append(c.buf[:2], 1, key), args...)
	cmd := redis.NewIntSliceCmd(ctx, c.args...)
	c.cmd = cmd
	if err := l.servers.do(ctx, c); err != nil {
		return nil, err // somebody may still write to cmd
	}
	return cmd.Val(), nil
}

// Refund implements ratelimit.Limiter. Its errors are those of the client and of
// ctx, and ErrOpen.
func (l *Limiter) Refund(ctx context.Context, key string, limit ratelimit.Limit, d ratelimit.Decision) error {
	if !d.Allowed {
		return nil
	}
	cost := max(d.Cost, 1)
	var err error
	switch limit.Algorithm {
	case ratelimit.GCRA:
		err = l.refundGCRA(ctx, key, limit, cost, time.Duration(d.Token))
	case ratelimit.SlidingCounter:
		_, err = l.run(ctx, l.scripts.counterRefund, counterKey(key), d.Token, cost)
	default:
		err = l.command(ctx, key, "lrem", key, cost, d.Token)
	}
	if err != nil {
		return fmt.Errorf("redislimit: refund: %w", err)
	}
	return nil
}

// Reset implements ratelimit.Limiter. Its errors are those of the client and of
// ctx, and ErrOpen.
func (l *Limiter) Reset(ctx context.Context, key string) error {
	var err error
	if forms := [...]string{key, counterKey(key), gcraKey(key)}; l.servers.together(key) {
		err = l.command(ctx, key, "del", forms[0], forms[1], forms[2])
	} else {
		for _, k := range forms {
			err = errors.Join(err, l.command(ctx, k, "del", k))
		}
	}
	if err != nil {
		return fmt.Errorf("redislimit: reset: %w", err)
	}
	return nil
}

// command runs a command that answers by a number.
func (l *Limiter) command(ctx context.Context, key string, args ...any) error {
	return l.servers.do(ctx, &call{cmd: redis.NewIntCmd(ctx, args...), key: key})
}

// micros is d in the unit of the scripts, rounded up.
func micros(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }

// tierArgs are the arguments of allow.lua for a limit with a lockout.
func tierArgs(limit ratelimit.Limit, cost int) []any {
	keep, life := limit.Count, micros(limit.Window)
	for _, t := range limit.Lockout.Tiers {
		keep = max(keep, t.Count)
		life = max(life, micros(t.Window), micros(t.Block))
	}
	args := []any{limit.Count, micros(limit.Window), cost, keep, life}
	for _, t := range limit.Lockout.Tiers {
		args = append(args, t.Count, micros(t.Window), micros(t.Block))
	}
	return args
}

// counterKey is where the counter of key is. Keys of ratelimit.Middleware hold a
// hash tag, so that a Cluster keeps all forms of one together.
func counterKey(key string) string { return key + ":counter" }

// bucketWidth is that of a counter's buckets in microseconds, rounded up.
func bucketWidth(window time.Duration) int64 {
	return (micros(window) + ratelimit.CounterBuckets - 1) / ratelimit.CounterBuckets
}
