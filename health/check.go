package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// An Observation is a measurement that a check hands over through Observe.
type Observation struct {
	Name  string // measurement, as in "utilization"
	Value float64
	Unit  string // as in "percent", "bytes", "ms"
}

type observationKey struct{}

// Observe sets what application/health+json shows as observedValue of the
// check that ctx was made for. Without it, that is how long the call took.
// The last call wins. It is for the goroutine that runs the check.
func Observe(ctx context.Context, o Observation) {
	if slot, ok := ctx.Value(observationKey{}).(*Observation); ok {
		*slot = o
	}
}

// check is a Check and what is known of it. The fields after done are
// guarded by Monitor.mu.
type check struct {
	Check
	done chan struct{} // closed when its goroutine ended

	value    Value
	err      error
	streak   int       // calls in a row that spoke against value
	failures int       // calls in a row that failed
	due      time.Time // when the next result has to be there
	at       time.Time // when the last call returned
	took     time.Duration
	observed Observation
}

func newCheck(c Check) *check {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	c.Fall, c.Rise = max(c.Fall, 1), max(c.Rise, 1)
	if c.ComponentType == "" {
		c.ComponentType = "component"
	}
	return &check{Check: c, done: make(chan struct{}), value: ValueUnknown}
}

// loop calls the check until ctx ends. The first call comes within a tenth of
// the interval, at random, so that checks and instances do not move in step.
func (c *check) loop(ctx context.Context, m *Monitor) {
	defer close(c.done)
	timer := time.NewTimer(rand.N(c.Interval/10 + 1)) //nolint:gosec // jitter
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		m.mu.Lock()
		c.due = start.Add(2 * c.Timeout)
		m.mu.Unlock()

		observed, err := c.call(ctx)
		if ctx.Err() != nil {
			return // cut short by the shutdown: says nothing of the dependency
		}
		end := time.Now()
		m.mu.Lock()
		c.record(err, observed, end, end.Sub(start))
		m.mu.Unlock()
		m.nudge()
		timer.Reset(max(0, c.Interval-end.Sub(start)))
	}
}

func (c *check) call(ctx context.Context) (o Observation, err error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, observationKey{}, &o), c.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("health: the check panicked: %v", v)
		}
	}()
	err = c.Func(ctx)
	if err == nil && ctx.Err() != nil {
		err = ErrTimeout
	}
	return o, err
}

// record takes the result of one call into account.
func (c *check) record(err error, o Observation, at time.Time, took time.Duration) {
	next := ValueOK
	var w Warning
	switch {
	case errors.As(err, &w):
		next = ValueWarning
	case err != nil:
		next = ValueError
	}
	c.at, c.took, c.observed = at, took, o
	c.due = at.Add(c.Interval + 2*c.Timeout)
	c.failures++
	if next != ValueError {
		c.failures = 0
	}

	needed := 1
	switch {
	case c.value == ValueUnknown:
	case next == ValueError && c.value != ValueError:
		needed = c.Fall
	case next != ValueError && c.value == ValueError:
		needed = c.Rise
	default: // no line between working and failing is crossed
		c.streak = 0
		c.value, c.err = next, err
		return
	}
	if c.streak++; c.streak >= needed {
		c.streak = 0
		c.value, c.err = next, err
	}
}

// row is a check as the answers show it.
type row struct {
	name, componentType    string
	value                  Value
	critical, ready, stale bool
	err                    error
	failures               int
	at                     time.Time
	took                   time.Duration
	observed               Observation
}

func (c *check) row(now time.Time) row {
	r := row{
		name: c.Name, componentType: c.ComponentType, value: c.value,
		critical: c.Critical, ready: c.Ready, err: c.err, failures: c.failures,
		at: c.at, took: c.took, observed: c.observed,
	}
	if !c.due.IsZero() && now.After(c.due) {
		r.stale, r.err = true, ErrStale
		if c.Critical || c.value == ValueError {
			r.value = ValueError
		} else {
			r.value = ValueWarning
		}
	}
	return r
}
