package webhooktest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/webhook"
)

// A history is what happened to one key: when each call began and ended, and
// what it said. It is linearizable when there is an order of the calls, each at
// a moment between its beginning and its end, in which a store that does one
// thing at a time would have said the same. A call without an answer may have
// happened at any moment after its beginning, or not at all.
type history []event

type event struct {
	what       string // claim, done, retry, maybe (retry, maybe processed), dead, expire, look
	fence      int64
	said       said
	began, end int64 // in order of events; end is endless when nothing was said
}

const endless = 1 << 62

// said is the answer to an event.
type said struct {
	status webhook.Status
	stale  bool
	machine
}

// machine is the state of a key; its lease ends by the event "expire".
type machine struct {
	state   webhook.State
	expired bool
	fence   int64
	maybe   bool
}

// settled is the state that an event leads to; StateAbsent for what settles
// nothing.
func (e event) settled() webhook.State {
	switch e.what {
	case "done":
		return webhook.StateDone
	case "retry", "maybe":
		return webhook.StateRetry
	case "dead":
		return webhook.StateDead
	}
	return webhook.StateAbsent
}

// step is what a store at m makes of e, and says.
func (m machine) step(e event) (machine, said) {
	to := e.settled()
	settles := to != webhook.StateAbsent
	switch {
	case e.what == "expire":
		m.expired = m.state == webhook.StateClaimed
		return m, said{}
	case e.what == "look":
		return m, said{machine: machine{state: m.state, fence: m.fence, maybe: m.maybe}}
	case settles && m.fence == e.fence && m.state == to:
		return m, said{}
	case settles && (m.fence != e.fence || m.state != webhook.StateClaimed):
		return m, said{stale: true}
	case settles:
		return machine{state: to, fence: m.fence, maybe: m.maybe || e.what == "maybe"}, said{}
	}
	status := webhook.Claimed
	switch {
	case m.state == webhook.StateDone:
		status = webhook.Done
	case m.state == webhook.StateDead:
		status = webhook.Dead
	case m.state == webhook.StateClaimed && !m.expired:
		status = webhook.InFlight
	default:
		m = machine{state: webhook.StateClaimed, fence: m.fence + 1, maybe: m.maybe || m.expired}
	}
	return m, said{status: status, machine: machine{fence: m.fence, maybe: m.maybe}}
}

const (
	// maxEvents is how long a history may be.
	maxEvents = 256
	// maxPlaces is how many places a search looks at before it gives up. A
	// history without lost answers takes some hundreds.
	maxPlaces = 1 << 21
)

var (
	errNotLinearizable = errors.New("the history is not linearizable")
	errNoVerdict       = errors.New("the history is too tangled to tell whether it is linearizable")
)

// check returns nil for a linearizable history. It searches for an order, one
// call after the other, and remembers from where it found none.
func (h history) check() error {
	slices.SortFunc(h, func(a, b event) int { return cmp.Compare(a.began, b.began) })
	s := search{h: h, barren: make(map[place]bool)}
	known := 0
	for _, e := range h {
		if e.end != endless {
			known++
		}
	}
	switch {
	case len(h) > maxEvents:
		return errNoVerdict
	case s.from(place{}, known):
		return nil
	case len(s.barren) >= maxPlaces:
		return errNoVerdict
	}
	return errNotLinearizable
}

// place is which calls were taken, and what the store is then.
type place struct {
	taken [maxEvents / 64]uint64
	machine
}

func (p place) has(i int) bool { return p.taken[i/64]&(1<<(i%64)) != 0 }

type search struct {
	h      history
	barren map[place]bool
}

// from reports whether those of the calls with an answer that are left, at
// place, have an order.
func (s search) from(at place, left int) bool {
	if left == 0 {
		return true
	}
	if s.barren[at] || len(s.barren) >= maxPlaces {
		return false
	}
	firstEnd := int64(endless)
	for i, e := range s.h {
		if !at.has(i) {
			firstEnd = min(firstEnd, e.end)
		}
	}
	for i, e := range s.h {
		if at.has(i) {
			continue
		}
		if e.began > firstEnd {
			break
		}
		next := at
		next.taken[i/64] |= 1 << (i % 64)
		var answer said
		next.machine, answer = at.step(e)
		switch {
		case e.end == endless:
			if next.machine != at.machine && s.from(next, left) {
				return true
			}
		case answer == e.said && s.from(next, left-1):
			return true
		}
	}
	s.barren[at] = true
	return false
}

// String has a line for each call, in the order in which they began.
func (h history) String() string {
	var b strings.Builder
	for _, e := range h {
		fmt.Fprintf(&b, "%4d to ", e.began)
		if e.end == endless {
			fmt.Fprintf(&b, "   ? %s(%d): no answer\n", e.what, e.fence)
			continue
		}
		fmt.Fprintf(&b, "%4d %s(%d):", e.end, e.what, e.fence)
		switch {
		case e.what == "claim":
			fmt.Fprintf(&b, " %v, fence %d, maybe %t", e.said.status, e.said.fence, e.said.maybe)
		case e.what == "look":
			fmt.Fprintf(&b, " %v, fence %d, maybe %t", e.said.state, e.said.fence, e.said.maybe)
		case e.said.stale:
			b.WriteString(" stale")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
