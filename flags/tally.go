package flags

import "sync/atomic"

// A tally holds the counter of each answer that one flag gave.
type tally [len(reasons)][2]atomic.Pointer[Counter]

// count gives every flag of s a tally, before s is used.
func (s *Set) count() {
	for _, f := range s.ordered {
		f.tally = new(tally)
	}
}

// tell tells whoever wants to know of a decision.
func (c *Client) tell(f *flag, on bool, r rule) {
	if f.tally != nil {
		c.counter(f, on, r).Inc()
	}
	if c.onEvaluation != nil {
		c.onEvaluation(newDecision(f.def.Key, on, r))
	}
}

// counter asks for the counter of an answer when it is given first. Where two
// goroutines do so at once, both get a counter of it, and one is kept.
func (c *Client) counter(f *flag, on bool, r rule) Counter {
	i := 0
	if on {
		i = 1
	}
	at := &f.tally[r][i]
	if known := at.Load(); known != nil {
		return *known
	}
	counter := c.counterOf(newDecision(f.def.Key, on, r))
	at.Store(&counter)
	return counter
}

// tellUnknown is tell for a flag that does not exist.
func (c *Client) tellUnknown(key string) {
	d := failed(key, ErrorFlagNotFound)
	if c.counterOf != nil {
		c.counterOf(d).Inc()
	}
	if c.onEvaluation != nil {
		c.onEvaluation(d)
	}
}
