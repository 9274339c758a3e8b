package health

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

type phase int

const (
	phaseStarting phase = iota
	phaseReady
	phaseDraining
)

// A Monitor runs checks and publishes what they say. All of its methods are
// safe for concurrent use.
type Monitor struct {
	checks     []*check
	refresh    time.Duration
	retryAfter []string // header value, shared by all answers
	onEvent    func(Event)
	epoch      time.Time // of beat
	wake       chan struct{}
	ran        atomic.Bool

	mu       sync.Mutex // held for moments only, never while a check runs
	phase    phase
	started  bool // latched
	warnings map[string]string

	snap atomic.Pointer[snapshot]
	beat atomic.Int64 // when the publisher last came round, since epoch
}

// New returns a Monitor in the state "starting". Nothing runs before Run.
// The error joins a *ConfigError for every problem.
func New(cfg Config) (*Monitor, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = DefaultRefresh
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = DefaultRetryAfter
	}
	m := &Monitor{
		refresh:    cfg.Refresh,
		retryAfter: headerInt(httpx.RetryAfterSeconds(cfg.RetryAfter)),
		onEvent:    cfg.OnEvent,
		epoch:      time.Now(),
		wake:       make(chan struct{}, 1),
		warnings:   make(map[string]string),
	}
	for _, c := range cfg.Checks {
		m.checks = append(m.checks, newCheck(c))
	}
	m.publish()
	return m, nil
}

// Run calls the checks and publishes their results until ctx ends. Then it
// waits for calls under way, at most the longest Timeout: one that hangs is
// left behind, its goroutine ends when it returns. A Monitor runs once;
// another call is ErrRunning.
func (m *Monitor) Run(ctx context.Context) error {
	if m.ran.Swap(true) {
		return ErrRunning
	}
	for _, c := range m.checks {
		go c.loop(ctx, m)
	}
	m.publisher(ctx)

	patience := time.Duration(0)
	for _, c := range m.checks {
		patience = max(patience, c.Timeout)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, c := range m.checks {
		select {
		case <-c.done:
		case <-timer.C:
			return nil
		}
	}
	return nil
}

// SetReady ends the state "starting". It does nothing once draining.
func (m *Monitor) SetReady() { m.enter(phaseReady) }

// SetDraining makes Handler and ReadyzHandler answer 503 from now on: the
// next poll sees it. There is no way back.
func (m *Monitor) SetDraining() { m.enter(phaseDraining) }

func (m *Monitor) enter(p phase) {
	m.mu.Lock()
	m.phase = max(m.phase, p)
	m.mu.Unlock()
	m.publish()
	m.nudge()
}

// Warn shows name with the value "warning" until Clear; the text of reason is
// for VerboseHandler. A check of that name shows "warning" instead of "ok".
// Names come from the program, never from a client: each is kept.
func (m *Monitor) Warn(name, reason string) {
	m.mu.Lock()
	m.warnings[name] = reason
	m.mu.Unlock()
	m.publish()
	m.nudge()
}

// Clear takes back what Warn said of name.
func (m *Monitor) Clear(name string) {
	m.mu.Lock()
	delete(m.warnings, name)
	m.mu.Unlock()
	m.publish()
	m.nudge()
}

// Status is what Handler answers now.
func (m *Monitor) Status() Status {
	s := m.snap.Load()
	if m.stopped() {
		return s.status.orStale()
	}
	return s.status
}

// stopped reports whether the publisher missed five rounds.
func (m *Monitor) stopped() bool {
	return time.Since(m.epoch)-time.Duration(m.beat.Load()) > 5*m.refresh
}

// nudge makes the publisher come round at once.
func (m *Monitor) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// rows is every check and warning as of now; m.mu is held.
func (m *Monitor) rows(now time.Time) []row {
	out := make([]row, 0, len(m.checks)+len(m.warnings))
	for _, c := range m.checks {
		out = append(out, c.row(now))
	}
	var names []string
	for name := range m.warnings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		reason := Warning(m.warnings[name])
		i := slices.IndexFunc(out, func(r row) bool { return r.name == name })
		if i < 0 {
			out = append(out, row{name: name, componentType: "component", value: ValueWarning, err: reason, at: now})
		} else if out[i].value == ValueOK {
			out[i].value, out[i].err = ValueWarning, reason
		}
	}
	return out
}
