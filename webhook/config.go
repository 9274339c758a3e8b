package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

const (
	defaultTimeout      = 20 * time.Second
	defaultMaxBodyBytes = 1 << 20
	maxMaxBodyBytes     = 64 << 20
	// defaultBufferedBodies is how many bodies of the largest size are held.
	defaultBufferedBodies = 64
	defaultRetention      = 168 * time.Hour

	maxTimeout   = time.Hour
	maxLease     = 24 * time.Hour
	maxRetention = 8760 * time.Hour

	// leaseMargin is what a lease leaves after the timeout to settle the claim.
	leaseMargin = 10 * time.Second
)

// Config configures a [Middleware].
type Config struct {
	// Route names the route in keys, events and headers, for example
	// "stripe": 1 to 64 of A-Z a-z 0-9 . _ -. Required. Renaming it makes
	// every event a new one.
	Route string
	// Verifier judges the messages. Required.
	Verifier Verifier
	// Store keeps what became of each event. Required, unless there is an
	// Inbox, whose Store it is then. Routes may share one.
	Store Store
	// Inbox keeps the messages themselves, and has them acknowledged before
	// they are handled: see [InboxConfig]. Nil calls the handler while the
	// provider waits.
	Inbox *InboxConfig

	// Timeout bounds the reading of the body, and then, anew, the rest of the
	// delivery: waiting for another copy and the call of the handler. It is
	// below the time the provider waits for an answer, where that is known. 1 ms
	// to 1 h. Zero means the provider's, see [Provider], else 20 s. A body that stops coming is cut off where the ResponseWriter, or
	// one that it unwraps to, has SetReadDeadline, as those of net/http do.
	Timeout time.Duration
	// Lease is how long a claim is exclusive: at least, and by default when
	// zero, Timeout + 10 s; at most 24 h.
	Lease time.Duration
	// Retention is how long an outcome is remembered: not below the
	// provider's retry horizon, nor below Lease, nor above 8760 h. Zero means
	// 168 h. With an Inbox and a [Provider].ReplayGuard it is remembered for
	// longer, by how long a message may wait: Inbox.MaxAge, Inbox.LongestRetry and
	// two leases.
	Retention time.Duration
	// MaxBodyBytes is the largest body that is accepted, at most 64 MiB. Zero
	// means 1 MiB. Bodies are held in memory, before they are verified.
	MaxBodyBytes int64
	// MaxBufferedBytes is what the bodies of all deliveries under way may take
	// together, of this Middleware: at least MaxBodyBytes. Each counts by what
	// has come of it, up to twice that, until it is answered. A delivery for
	// which nothing is left is answered 503 and not read on. What Deliver has
	// taken does not count: see InboxConfig.Concurrency. Zero means 64 times
	// MaxBodyBytes.
	MaxBufferedBytes int64

	// DiscardStatuses are the statuses (400 to 599) by which the handler says
	// that an event must never be sent again: the provider is told that all
	// is well, the event is dead. Nil means 410; empty means none.
	DiscardStatuses []int
	// ReplayAnswers keeps the handler's answers of up to 64 KiB, and gives
	// them to duplicates: for providers that use the answer. By default a
	// duplicate is answered {"status":"duplicate"}. It is always on for a
	// [Provider] that has ReplayAnswers.
	ReplayAnswers bool
	// DisableReplayGuard handles every message with an id of its own, also
	// where the signature does not cover the id: see [Provider].ReplayGuard. For
	// handlers that must act on several messages of the same bytes, such as
	// GitHub's repository_dispatch, and have other means against replays.
	DisableReplayGuard bool

	// Drain ends the calls in flight when it ends, and refuses new ones. What
	// was cut off is sent again by the provider, marked as maybe processed.
	// Nil means never.
	Drain context.Context
	// OnEvent is told how each request ended, before the middleware returns, and
	// how each attempt of Deliver ended, from any number of goroutines. With an
	// Inbox an event is told at least twice: when it is accepted, and for each
	// attempt, with Event.Inbox. Nil means nobody is told.
	OnEvent func(context.Context, Event)
	// Now is the clock for signatures and durations; leases run on the
	// store's. Nil means time.Now.
	Now func() time.Time
}

// ConfigError is one problem of a Config.
type ConfigError struct {
	Field  string
	Value  string // as written; empty when there was none
	Reason string
}

// Error is, for example, `webhook: Timeout: "-1s": must be 1ms to 1h`.
func (e *ConfigError) Error() string {
	if e.Value == "" {
		return "webhook: " + e.Field + ": " + e.Reason
	}
	return fmt.Sprintf("webhook: %s: %q: %s", e.Field, e.Value, e.Reason)
}

var routeName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// withDefaults returns c with every zero field set, and all problems of c.
func (c Config) withDefaults() (Config, error) {
	var p Provider
	if c.Verifier != nil {
		p = c.Verifier.Provider()
	}
	if c.Timeout == 0 {
		c.Timeout = cmp.Or(p.Timeout, defaultTimeout)
	}
	c.ReplayAnswers = c.ReplayAnswers || p.ReplayAnswers
	if c.Inbox != nil {
		c.Inbox = c.Inbox.withDefaults(c.Timeout)
		if c.Inbox.Store != nil {
			c.Store = c.Inbox.Store
		}
	}
	if c.Lease == 0 {
		c.Lease = c.Timeout + leaseMargin
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = defaultMaxBodyBytes
	}
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = defaultBufferedBodies * c.MaxBodyBytes
	}
	if c.DiscardStatuses == nil {
		c.DiscardStatuses = []int{410}
	}
	c.DiscardStatuses = slices.Clone(c.DiscardStatuses)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnEvent == nil {
		c.OnEvent = func(context.Context, Event) {}
	}
	return c, c.validate()
}

func (c Config) validate() error {
	var problems []error
	bad := func(field, value, reason string) {
		problems = append(problems, &ConfigError{Field: field, Value: value, Reason: reason})
	}
	if !routeName.MatchString(c.Route) {
		bad("Route", shorten(c.Route), "must be 1 to 64 of A-Z a-z 0-9 . _ -")
	}
	if c.Verifier == nil {
		bad("Verifier", "", "is required")
	}
	if c.Inbox != nil {
		var p Provider
		if c.Verifier != nil {
			p = c.Verifier.Provider()
		}
		c.Inbox.check(p, bad)
	} else if c.Store == nil {
		bad("Store", "", "is required")
	}
	switch {
	case c.Timeout < time.Millisecond || c.Timeout > maxTimeout:
		bad("Timeout", c.Timeout.String(), "must be 1ms to 1h")
	case c.Lease < c.Timeout+leaseMargin || c.Lease > maxLease:
		bad("Lease", c.Lease.String(), "must be Timeout + 10s to 24h")
	case c.Retention < c.Lease || c.Retention > maxRetention:
		bad("Retention", c.Retention.String(), "must be Lease to 8760h")
	}
	if c.Verifier != nil {
		p := c.Verifier.Provider()
		if c.Retention < p.RetryHorizon {
			bad("Retention", c.Retention.String(), fmt.Sprintf("must not be below the time %s may retry for, %s", p.Name, p.RetryHorizon))
		}
		if p.Deadline > 0 && c.Timeout >= p.Deadline && c.Timeout <= maxTimeout {
			bad("Timeout", c.Timeout.String(), fmt.Sprintf("must be below the time %s waits for an answer, %s", p.Name, p.Deadline))
		}
	}
	switch {
	case c.MaxBodyBytes < 1 || c.MaxBodyBytes > maxMaxBodyBytes:
		bad("MaxBodyBytes", strconv.FormatInt(c.MaxBodyBytes, 10), "must be 1 to "+strconv.Itoa(maxMaxBodyBytes))
	case c.MaxBufferedBytes < c.MaxBodyBytes:
		bad("MaxBufferedBytes", strconv.FormatInt(c.MaxBufferedBytes, 10), "must not be below MaxBodyBytes")
	}
	for i, s := range c.DiscardStatuses {
		if s < 400 || s > 599 {
			bad(fmt.Sprintf("DiscardStatuses[%d]", i), strconv.Itoa(s), "must be 400 to 599")
		}
	}
	return errors.Join(problems...)
}

// shorten keeps a value of any length from filling a log.
func shorten(s string) string {
	const limit = 64
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
