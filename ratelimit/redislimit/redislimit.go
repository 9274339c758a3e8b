package redislimit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
)

// DefaultTimeout bounds a call unless Config says otherwise.
const DefaultTimeout = 100 * time.Millisecond

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
	client  redis.UniversalClient
	timeout time.Duration
	servers *servers
}

//go:embed allow.lua
var allowSource string

// script is a redis.Script that tells its source.
type script struct {
	*redis.Script
	source string
}

func newScript(source string) script { return script{redis.NewScript(source), source} }

// New returns a Limiter, or every problem of cfg as *ratelimit.ConfigError,
// joined. It does not connect. The client stays the caller's to close.
func New(cfg Config) (*Limiter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Limiter{client: cfg.Client, timeout: cfg.Timeout, servers: newServers(cfg.Client, newScript(allowSource))}, nil
}

// Allow is AllowN with a cost of 1.
func (l *Limiter) Allow(ctx context.Context, key string, limit ratelimit.Limit) (ratelimit.Decision, error) {
	return l.AllowN(ctx, key, limit, 1)
}

// AllowN implements ratelimit.Limiter. Beside a limit or a cost out of bounds,
// errors are those of the client and of ctx; a call takes at most Config.Timeout.
// After an error the admission may or may not have been recorded.
func (l *Limiter) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	if err := errors.Join(limit.Validate(), limit.CheckCost(cost)); err != nil {
		return ratelimit.Decision{}, err
	}
	if cost > limit.Capacity() {
		return ratelimit.Decision{}, nil
	}
	answer, err := l.run(ctx, key, limit.Count, int64((limit.Window+time.Microsecond-1)/time.Microsecond), cost)
	if err != nil {
		return ratelimit.Decision{}, fmt.Errorf("redislimit: allow: %w", err)
	}
	if len(answer) != 2 {
		return ratelimit.Decision{}, fmt.Errorf("redislimit: allow: script answered %d values instead of 2", len(answer))
	}
	if answer[0] == 0 {
		return ratelimit.Decision{RetryAfter: time.Duration(answer[1]) * time.Microsecond}, nil
	}
	return ratelimit.Decision{Allowed: true, Cost: cost, Token: answer[1]}, nil
}

// run runs the script, together with those of other callers unless ctx ends
// before they may be done.
func (l *Limiter) run(ctx context.Context, key string, count int, window int64, cost int) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := newCall(ctx, time.Now().Add(l.timeout), key, count, window, cost)
	if b := l.servers.of(ctx, c.deadline, key); b != nil {
		sooner, ok := ctx.Deadline()
		if ok && sooner.Before(c.deadline) {
			b.send(ctx, []*call{c})
		} else if err := b.run(ctx, c); err != nil {
			return nil, err
		}
		answer, err := c.cmd.Result()
		if !elsewhere(err) {
			return answer, err
		}
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	return l.servers.script.Run(ctx, l.client, []string{key}, count, window, cost).Int64Slice()
}

// Refund implements ratelimit.Limiter. Its errors are those of the client.
func (l *Limiter) Refund(ctx context.Context, key string, _ ratelimit.Limit, d ratelimit.Decision) error {
	if !d.Allowed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := l.client.LRem(ctx, key, int64(max(d.Cost, 1)), d.Token).Err(); err != nil {
		return fmt.Errorf("redislimit: refund: %w", err)
	}
	return nil
}

// Reset implements ratelimit.Limiter. Its errors are those of the client.
func (l *Limiter) Reset(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := l.client.Del(ctx, key).Err(); err != nil {
		return fmt.Errorf("redislimit: reset: %w", err)
	}
	return nil
}
