package flags

import (
	"maps"
	"sync/atomic"
)

// A tally holds the counter of each answer that one flag gave, and whether its
// Set was replaced.
type tally struct {
	fate   *fate // nil: nobody looks
	plain  [len(reasons)][2]atomic.Pointer[Counter]
	others atomic.Pointer[map[answered]Counter] // as many as variants times reasons; replaced, never changed
}

// answered is what counts alike among the answers of a flag that is not plain.
type answered struct {
	variant string
	reason  Reason
	code    ErrorCode
}

// count gives every flag of s a tally, before s is used.
func (s *Set) count(fate *fate) {
	for _, f := range s.ordered {
		f.tally = &tally{fate: fate}
	}
}

// tell tells whoever wants to know of a decision.
func (c *Client) tell(f *flag, on bool, r rule) {
	if f.tally != nil {
		f.tally.fate.decided()
		if c.counterOf != nil {
			c.counter(f, on, r).Inc()
		}
	}
	if c.onEvaluation != nil {
		c.onEvaluation(f.decision(on, r))
	}
}

// heard is tell for a flag that is not plain.
func (c *Client) heard(f *flag, d *Decision) {
	if f.tally != nil {
		f.tally.fate.decided()
		if c.counterOf != nil {
			c.otherCounter(f, d).Inc()
		}
	}
	if c.onEvaluation != nil {
		c.onEvaluation(*d)
	}
}

// otherCounter is counter for a flag that is not plain.
func (c *Client) otherCounter(f *flag, d *Decision) Counter {
	like := answered{d.Variant, d.Reason, d.ErrorCode}
	var known map[answered]Counter
	if p := f.tally.others.Load(); p != nil {
		known = *p
	}
	if counter := known[like]; counter != nil {
		return counter
	}
	counter := c.counterOf(*d)
	more := maps.Clone(known)
	if more == nil {
		more = map[answered]Counter{}
	}
	more[like] = counter
	f.tally.others.Store(&more) // what another goroutine adds now is added again
	return counter
}

// counter asks for the counter of an answer when it is given first. Where two
// goroutines do so at once, both get a counter of it, and one is kept.
func (c *Client) counter(f *flag, on bool, r rule) Counter {
	i := 0
	if on {
		i = 1
	}
	at := &f.tally.plain[r][i]
	if known := at.Load(); known != nil {
		return *known
	}
	counter := c.counterOf(f.decision(on, r))
	at.Store(&counter)
	return counter
}

// tellUnknown is tell for a flag that does not exist.
func (c *Client) tellUnknown(d Decision) {
	if c.counterOf != nil {
		c.counterOf(d).Inc()
	}
	if c.onEvaluation != nil {
		c.onEvaluation(d)
	}
}
