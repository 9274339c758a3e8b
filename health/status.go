package health

// Status is the state of the whole service, as in "status" of the answers.
type Status string

// Every Status; the first one that applies wins. All but the last two are
// answered with 503.
const (
	StatusDraining Status = "draining" // SetDraining was called
	StatusStarting Status = "starting" // SetReady was not, or a critical check has not answered yet
	StatusStale    Status = "stale"    // the publisher stopped: nothing is known any more
	StatusDegraded Status = "degraded" // a critical check failed
	StatusWarning  Status = "warning"  // something else failed, or warns
	StatusOK       Status = "ok"
)

// Value is the state of one check, as in "checks" of the answers.
type Value string

// Every Value.
const (
	ValueOK      Value = "ok"
	ValueWarning Value = "warning"
	ValueError   Value = "error"
	ValueUnknown Value = "unknown" // no call has returned yet
)

// Event is a change that Config.OnEvent hears of.
type Event struct {
	Check string // the check or warning; "" when it is the Status that changed
	From  string // a Value or Status
	To    string
	Err   error // why, when To is "warning" or "error" of a check
}

// serving reports whether s is answered with 200.
func (s Status) serving() bool { return s == StatusOK || s == StatusWarning }

// orStale is s as it stands when the publisher stopped.
func (s Status) orStale() Status {
	if s == StatusDraining || s == StatusStarting {
		return s
	}
	return StatusStale
}

// overall is the status that rows amount to, in the order of precedence.
func overall(p phase, rows []row) Status {
	switch p {
	case phaseDraining:
		return StatusDraining
	case phaseStarting:
		return StatusStarting
	}
	s := StatusOK
	for i := range rows {
		r := &rows[i]
		switch {
		case r.critical && r.value == ValueUnknown:
			return StatusStarting
		case r.critical && r.value == ValueError:
			s = StatusDegraded
		case s == StatusOK && (r.value == ValueError || r.value == ValueWarning):
			s = StatusWarning
		}
	}
	return s
}

// readiness is the status for /readyz: the checks with Ready set, each of
// them needed, whether critical or not, and none of them stale.
func readiness(p phase, rows []row) Status {
	needed := make([]row, 0, len(rows))
	for _, r := range rows {
		r.critical = true
		if r.stale {
			r.value = ValueError
		}
		needed = append(needed, r)
	}
	return overall(p, needed)
}
