package ratelimit

import (
	"context"
	"strconv"
	"time"
)

// Bounds of a Limit.
const (
	MaxCount  = 512
	MinWindow = time.Millisecond
	MaxWindow = 366 * 24 * time.Hour
)

// A Limit admits at most Count times in any half-open window (t−Window, t],
// wherever it starts: an admission of age exactly Window no longer counts.
type Limit struct {
	Count  int           // 1 to MaxCount
	Window time.Duration // MinWindow to MaxWindow; stores may round it up to a microsecond
}

// Validate returns a *ConfigError, or several joined, when l is out of bounds.
func (l Limit) Validate() error {
	var p problems
	l.check(&p, "Count", "Window")
	return p.err()
}

func (l Limit) check(p *problems, count, window string) {
	if l.Count < 1 || l.Count > MaxCount {
		p.addf(count, strconv.Itoa(l.Count), "must be between 1 and %d", MaxCount)
	}
	if l.Window < MinWindow || l.Window > MaxWindow {
		p.addf(window, l.Window.String(), "must be between %v and %v", MinWindow, MaxWindow)
	}
}

// A Decision is a Limiter's answer.
type Decision struct {
	// Allowed reports whether the call was admitted, and recorded as such.
	Allowed bool

	// RetryAfter is the exact time after which the same call is admitted when
	// nothing else happens to the key. It is 0 when Allowed, else positive.
	RetryAfter time.Duration

	// Token identifies the admission for Refund. Only the Limiter that set it
	// knows what it means.
	Token int64
}

// A Limiter counts admissions by key. It keeps no policy: the limit comes with
// every call, so that one store serves all policies and a limit can be raised
// or lowered at any time. A key belongs to one limit at a time; a change of
// Count is exact on what was recorded under the old one, and a longer Window
// knows only what the shorter one had to keep.
//
// Implementations are safe for concurrent use, and one that does I/O bounds
// every call by a timeout of its own beside ctx. Package ratelimittest holds the
// suite that each must pass.
type Limiter interface {
	// Allow admits and records the call, or refuses it and records nothing. A
	// limit out of bounds is a *ConfigError. Any error means that no decision
	// was taken; the admission may still have been recorded.
	Allow(ctx context.Context, key string, limit Limit) (Decision, error)

	// Refund takes one admission back, as if it had not happened. It does
	// nothing when d was not admitted or is no longer recorded.
	Refund(ctx context.Context, key string, limit Limit, d Decision) error
}
