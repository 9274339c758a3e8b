package ratelimit

import (
	"slices"
	"sync"
	"time"
)

// A majority is looked for in periods with enough requests to speak of one.
const (
	votePeriod  = time.Minute
	voteQuorum  = 500 // requests in a period
	votePortion = 2   // more than one in so many
)

// Dominant returns the policies, in order, of which one subject makes more than
// half of the requests, as of the last full minute; minutes with fewer than 500
// do not tell. So it is when all clients come through a proxy that is not
// trusted and share its address: they then share one limit.
func (w *Watch) Dominant() []string {
	now := w.clock.now()
	var names []string
	for name, p := range *w.policies.Load() {
		if p.vote.isDominant(now) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// vote looks for the key that makes most requests of a policy, in constant
// space. The candidate of one period (Boyer and Moore, "MJRTY", 1991) is counted
// in the next, so that no chance and no order of requests makes a majority of
// what is none. Keys are known by their hash.
type vote struct {
	mu        sync.Mutex
	start     int64 // of the period
	requests  int   // in the period
	suspect   uint64
	count     int // requests of suspect in the period
	candidate uint64
	votes     int
	dominant  bool
	warn      bool // not told yet
}

// cast counts a request of key and reports whether a warning is due.
func (v *vote) cast(key uint64, now int64) (warn bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.roll(now)
	v.requests++
	if key == v.suspect {
		v.count++
	}
	switch {
	case v.votes == 0:
		v.candidate, v.votes = key, 1
	case key == v.candidate:
		v.votes++
	default:
		v.votes--
	}
	warn, v.warn = v.warn, false
	return warn
}

func (v *vote) isDominant(now int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.roll(now)
	return v.dominant
}

// roll ends the period that is over at now. A warning is due when a policy
// becomes dominant, not while it stays so.
func (v *vote) roll(now int64) {
	start := now - now%int64(votePeriod)
	if start == v.start {
		return
	}
	last := v.start == start-int64(votePeriod) // otherwise nothing came since
	dominant := last && v.requests >= voteQuorum && v.count > v.requests/votePortion
	v.warn = dominant && (v.warn || !v.dominant)
	v.dominant = dominant
	v.suspect, v.count, v.requests = 0, 0, 0
	if last {
		v.suspect = v.candidate
	}
	v.candidate, v.votes, v.start = 0, 0, start
}
