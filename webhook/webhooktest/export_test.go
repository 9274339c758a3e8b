package webhooktest

import "github.com/handrail-go/handrail/webhook"

// Call is one call of a history. An End of 0 means that no answer came.
type Call struct {
	What       string
	With       int64 // the fence
	Began, End int64

	Status webhook.Status
	State  webhook.State
	Fence  int64
	Maybe  bool
	Stale  bool
}

// CheckHistory returns what is wrong with a history.
func CheckHistory(calls []Call) error {
	var h history
	for _, c := range calls {
		e := event{what: c.What, fence: c.With, began: c.Began, end: c.End}
		if e.end == 0 {
			e.end = endless
		}
		e.said = said{status: c.Status, stale: c.Stale, machine: machine{state: c.State, fence: c.Fence, maybe: c.Maybe}}
		h = append(h, e)
	}
	return h.check()
}
