package redislimit

import (
	"context"
	_ "embed"
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
	// and waits out its own timeouts.
	Client redis.UniversalClient

	Timeout time.Duration // bounds every call, beside ctx; 0 means DefaultTimeout
}

// Limiter is a ratelimit.Limiter whose counts live in Redis. It is safe for
// concurrent use and starts no goroutine.
type Limiter struct {
	client  redis.UniversalClient
	script  *redis.Script
	timeout time.Duration
}

//go:embed allow.lua
var allowSource string

// New returns a Limiter, or every problem of cfg as *ratelimit.ConfigError,
// joined. It does not connect. The client stays the caller's to close.
func New(cfg Config) (*Limiter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Limiter{client: cfg.Client, script: redis.NewScript(allowSource), timeout: cfg.Timeout}, nil
}

// Allow implements ratelimit.Limiter. Beside a limit out of bounds, errors are
// those of the client and of ctx; a call takes at most Config.Timeout. After an
// error the admission may or may not have been recorded.
func (l *Limiter) Allow(ctx context.Context, key string, limit ratelimit.Limit) (ratelimit.Decision, error) {
	if err := limit.Validate(); err != nil {
		return ratelimit.Decision{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	window := (limit.Window + time.Microsecond - 1) / time.Microsecond
	answer, err := l.script.Run(ctx, l.client, []string{key}, limit.Count, int64(window)).Int64Slice()
	if err != nil {
		return ratelimit.Decision{}, fmt.Errorf("redislimit: allow: %w", err)
	}
	if len(answer) != 2 {
		return ratelimit.Decision{}, fmt.Errorf("redislimit: allow: script answered %d values instead of 2", len(answer))
	}
	if answer[0] == 0 {
		return ratelimit.Decision{RetryAfter: time.Duration(answer[1]) * time.Microsecond}, nil
	}
	return ratelimit.Decision{Allowed: true, Token: answer[1]}, nil
}

// Refund implements ratelimit.Limiter. Its errors are those of the client.
func (l *Limiter) Refund(ctx context.Context, key string, _ ratelimit.Limit, d ratelimit.Decision) error {
	if !d.Allowed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := l.client.LRem(ctx, key, 1, d.Token).Err(); err != nil {
		return fmt.Errorf("redislimit: refund: %w", err)
	}
	return nil
}
