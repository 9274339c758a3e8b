package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Defaults of the optional fields of Config and Check.
const (
	DefaultInterval   = 5 * time.Second
	DefaultTimeout    = 800 * time.Millisecond
	DefaultRefresh    = time.Second
	DefaultRetryAfter = 5 * time.Second
)

// Config configures a Monitor.
type Config struct {
	// Checks in the order in which they are shown. None is allowed: the
	// answers then speak of the lifecycle alone.
	Checks []Check

	// Refresh is how often the answers are rendered anew when nothing
	// changed. Zero means DefaultRefresh. A publisher that missed five
	// rounds shows as status "stale".
	Refresh time.Duration

	// RetryAfter goes with every 503, in whole seconds, rounded up.
	// Zero means DefaultRetryAfter.
	RetryAfter time.Duration

	// OnEvent, when set, is called for every change of a check's value and
	// of the status, in order and from one goroutine. It must not block:
	// while it does, nothing is published.
	OnEvent func(Event)
}

// A Check asks one dependency whether it works.
type Check struct {
	// Name is the key in the answers and the label in metrics: 1 to 64
	// letters, digits, "_", "-" or ".". It is unique within a Monitor.
	Name string

	// Func returns nil when all is well, a Warning when the dependency works
	// but somebody should look, any other error when it does not work. Its
	// context ends after Timeout. It is never called again before it
	// returned; a panic counts as an error.
	Func func(context.Context) error

	// Interval from the start of one call to the start of the next.
	// Zero means DefaultInterval.
	Interval time.Duration

	// Timeout of one call. Zero means DefaultTimeout. A call that has not
	// returned after twice this time makes the check stale.
	Timeout time.Duration

	// Critical makes a failure degrade the service (503).
	Critical bool

	// Ready makes ReadyzHandler wait for this check. Leave it unset for what
	// all instances share.
	Ready bool

	// Fall is how many calls in a row have to fail before the value becomes
	// "error"; Rise how many have to succeed before it leaves it. Zero means
	// 1. The first call of all decides at once.
	Fall, Rise int

	// ComponentType is shown in application/health+json: "datastore",
	// "system", or "component", which is also what "" means.
	ComponentType string
}

// ConfigError is one problem of a Config. New reports all of them, joined.
type ConfigError struct {
	Field  string // as in "Checks[2].Interval"
	Value  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("health: %s %q: %s", e.Field, e.Value, e.Reason)
}

// Errors of a Monitor; ErrStale and ErrTimeout come in Event.Err.
var (
	ErrRunning = errors.New("health: Run was called before")
	ErrStale   = errors.New("health: the check does not return")
	ErrTimeout = errors.New("health: the check took longer than its timeout")
)

// Warning is the error of a check whose dependency works but needs a look.
// Wrapped ones count too.
type Warning string

func (w Warning) Error() string { return string(w) }

func (c *Config) validate() error {
	var errs []error
	bad := func(field string, value any, reason string) {
		errs = append(errs, &ConfigError{field, fmt.Sprint(value), reason})
	}
	if c.Refresh < 0 || c.Refresh > 0 && c.Refresh < 10*time.Millisecond {
		bad("Refresh", c.Refresh, "must be at least 10ms")
	}
	if c.RetryAfter < 0 {
		bad("RetryAfter", c.RetryAfter, "must not be negative")
	}
	names := make(map[string]bool, len(c.Checks))
	for i := range c.Checks {
		ck := &c.Checks[i]
		at := func(field string) string { return fmt.Sprintf("Checks[%d].%s", i, field) }
		switch {
		case !validName(ck.Name):
			bad(at("Name"), ck.Name, `must be 1 to 64 letters, digits, "_", "-" or "."`)
		case names[ck.Name]:
			bad(at("Name"), ck.Name, "is the name of an earlier check")
		}
		names[ck.Name] = true
		ck.validate(func(field string, value any, reason string) { bad(at(field), value, reason) })
	}
	return errors.Join(errs...)
}

func (c *Check) validate(bad func(field string, value any, reason string)) {
	if c.Func == nil {
		bad("Func", "nil", "is required")
	}
	if c.Interval < 0 || c.Interval > 0 && c.Interval < 10*time.Millisecond {
		bad("Interval", c.Interval, "must be at least 10ms")
	}
	if c.Timeout < 0 {
		bad("Timeout", c.Timeout, "must not be negative")
	}
	if c.Fall < 0 {
		bad("Fall", c.Fall, "must not be negative")
	}
	if c.Rise < 0 {
		bad("Rise", c.Rise, "must not be negative")
	}
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}
