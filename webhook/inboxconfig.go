package webhook

import (
	"cmp"
	"strconv"
	"time"
)

const (
	defaultMaxAttempts  = 100
	defaultMaxAge       = 72 * time.Hour
	defaultFirstRetry   = 5 * time.Second
	defaultLongestRetry = time.Hour
	defaultConcurrency  = 8

	maxMaxAttempts = 100_000
	maxRetry       = 24 * time.Hour
	maxConcurrency = 1000
)

// InboxConfig makes a [Middleware] keep messages and acknowledge them at once.
// [Middleware.Deliver] takes them to the handler.
type InboxConfig struct {
	// Store keeps the messages. Required; it is used in place of Config.Store.
	Store Inbox
	// Order is where the order key of a message comes from: "json:/pointer" or
	// "header:NAME". Messages with the same one are handled one after the other,
	// in the order in which they were accepted, each when the one ahead of it is
	// done or dead. Those without one, and all when Order is empty, are handled
	// as they come. A provider itself keeps no order.
	Order string
	// MaxAttempts (1 to 100,000) and MaxAge (1 s to 8760 h, from acceptance, by
	// the store's clock) end the attempts: a message whose attempt fails when
	// either is reached is dead. Zero means 100 and 72 h.
	MaxAttempts int
	MaxAge      time.Duration
	// FirstRetry is about how long the first pause between two attempts is. Each
	// is twice the one before, up to LongestRetry, and shortened by a random part
	// of up to half. Both 1 ms to 24 h. Zero means 5 s, and 1 h.
	FirstRetry   time.Duration
	LongestRetry time.Duration
	// Concurrency is how many attempts run at a time, of each Deliver: 1 to 1000.
	// Each holds a message in memory. Zero means 8.
	Concurrency int
	// Timeout bounds each attempt: 1 ms to 1 h. No provider waits for it, so it
	// may be longer than Config.Timeout. Zero means 20 s, or Config.Timeout when
	// that is longer.
	Timeout time.Duration
	// Signer signs each message anew at each attempt, in place of the provider:
	// for a handler that verifies again, and would refuse an old signature. Nil
	// hands on the provider's headers as they were received. See [CanSignFresh].
	Signer *Signer
}

// withDefaults returns a copy of c with every zero field set.
func (c *InboxConfig) withDefaults(timeout time.Duration) *InboxConfig {
	d := *c
	c = &d
	c.MaxAttempts = cmp.Or(c.MaxAttempts, defaultMaxAttempts)
	c.MaxAge = cmp.Or(c.MaxAge, defaultMaxAge)
	c.FirstRetry = cmp.Or(c.FirstRetry, defaultFirstRetry)
	c.LongestRetry = cmp.Or(c.LongestRetry, max(defaultLongestRetry, c.FirstRetry))
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Timeout = cmp.Or(c.Timeout, max(defaultTimeout, min(timeout, maxTimeout)))
	return c
}

// check tells bad of every problem of c for messages of p.
func (c *InboxConfig) check(p Provider, bad func(field, value, reason string)) {
	if c.Store == nil {
		bad("Inbox.Store", "", "is required")
	}
	if p.AnswerUsed {
		bad("Inbox", "", p.Name+" uses the handler's answer to every message, so none can be acknowledged before it is handled")
	}
	if source, ok := parseSource(c.Order); !ok || source.digest {
		bad("Inbox.Order", shorten(c.Order), "must be json:/pointer or header:NAME")
	}
	if c.MaxAttempts < 1 || c.MaxAttempts > maxMaxAttempts {
		bad("Inbox.MaxAttempts", strconv.Itoa(c.MaxAttempts), "must be 1 to "+strconv.Itoa(maxMaxAttempts))
	}
	if c.MaxAge < time.Second || c.MaxAge > maxRetention {
		bad("Inbox.MaxAge", c.MaxAge.String(), "must be 1s to 8760h")
	}
	if c.FirstRetry < time.Millisecond || c.FirstRetry > maxRetry {
		bad("Inbox.FirstRetry", c.FirstRetry.String(), "must be 1ms to 24h")
	}
	if c.LongestRetry < c.FirstRetry || c.LongestRetry > maxRetry {
		bad("Inbox.LongestRetry", c.LongestRetry.String(), "must be FirstRetry to 24h")
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		bad("Inbox.Concurrency", strconv.Itoa(c.Concurrency), "must be 1 to "+strconv.Itoa(maxConcurrency))
	}
	if c.Timeout < time.Millisecond || c.Timeout > maxTimeout {
		bad("Inbox.Timeout", c.Timeout.String(), "must be 1ms to 1h")
	}
}

// lease is how long a message that was taken is exclusive.
func (c *InboxConfig) lease(of Config) time.Duration {
	return max(of.Lease, c.Timeout+leaseMargin).Truncate(time.Millisecond)
}
