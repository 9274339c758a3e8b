package health

import (
	"context"
	"time"
)

// publisher renders the answers whenever something changed and at every
// refresh, and tells OnEvent what changed, until ctx ends.
func (m *Monitor) publisher(ctx context.Context) {
	ticker := time.NewTicker(m.refresh)
	defer ticker.Stop()
	told := announced{values: make(map[string]Value)}
	for {
		m.beat.Store(int64(time.Since(m.epoch)))
		rows, status := m.publish()
		if m.onEvent != nil {
			told.announce(rows, status, m.onEvent)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-ticker.C:
		}
	}
}

// publish renders what is known now and puts it in place of the last answers.
func (m *Monitor) publish() ([]row, Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	rows := m.rows(now)
	var ready []row
	for _, r := range rows {
		if r.ready {
			ready = append(ready, r)
		}
	}
	status, readyStatus := overall(m.phase, rows), readiness(m.phase, ready)
	m.started = m.started || readyStatus.serving()
	startup := StatusStarting
	if m.started {
		startup = StatusOK
	}

	s := &snapshot{status: status}
	s.fill(viewHealth, m.retryAfter, report{now: now, status: status, rows: rows})
	s.fill(viewVerbose, m.retryAfter, report{now: now, status: status, rows: rows, verbose: true})
	s.fill(viewReady, m.retryAfter, report{now: now, status: readyStatus, rows: ready})
	s.fill(viewStartup, m.retryAfter, report{now: now, status: startup})
	m.snap.Store(s)
	return rows, status
}

// announced is what OnEvent has heard so far.
type announced struct {
	status Status
	values map[string]Value
}

func (a *announced) announce(rows []row, status Status, tell func(Event)) {
	present := make(map[string]bool, len(rows))
	for _, r := range rows {
		present[r.name] = true
		from, known := a.values[r.name]
		if !known {
			from = ValueUnknown
		}
		if from != r.value {
			tell(Event{Check: r.name, From: string(from), To: string(r.value), Err: r.err})
		}
		a.values[r.name] = r.value
	}
	for name, from := range a.values {
		if !present[name] { // a warning that was cleared
			tell(Event{Check: name, From: string(from), To: string(ValueOK)})
			delete(a.values, name)
		}
	}
	if a.status == "" {
		a.status = StatusStarting
	}
	if a.status != status {
		tell(Event{From: string(a.status), To: string(status)})
	}
	a.status = status
}
