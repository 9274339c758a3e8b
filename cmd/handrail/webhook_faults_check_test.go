package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// check compares what provider, app and store have to show for each event.
func (r *faultRun) check() {
	kept, err := r.store.kept(r.t.Context(), r.route)
	if err != nil {
		r.t.Errorf("the store: %v", err)
		return
	}
	calls := r.app.seen()
	byKey := map[string][]faultCall{}
	for _, c := range calls {
		byKey[c.key] = append(byKey[c.key], c)
	}
	known := map[string]bool{}
	for _, e := range r.events {
		known[e.key()] = true
		r.checkEvent(e, kept[e.key()], byKey[e.key()])
	}
	for key := range byKey {
		if !known[key] {
			r.t.Errorf("the app was called for %q, which was never sent", key)
		}
	}
	for key := range kept {
		if !known[key] && !strings.HasPrefix(key, r.route+"/replay:") {
			r.t.Errorf("the store holds %q, which was never sent", key)
		}
	}
	r.checkLogs()
	if !r.t.Failed() {
		r.checkCopies(len(calls))
	}
}

const (
	stateDone = 3
	stateDead = 4
)

func (r *faultRun) checkEvent(e *faultEvent, d keptDelivery, calls []faultCall) {
	key := e.key()
	effects := r.app.effects[key]
	wrong := func(format string, args ...any) {
		r.t.Errorf("%s: %s (store: state %d, fence %d; %d effects)", e.id, fmt.Sprintf(format, args...), d.state, d.fence, effects)
	}
	if e.acked == 0 {
		wrong("was never acknowledged")
	}
	switch {
	case d.state == stateDone && effects != 1:
		wrong("is done with %d effects", effects)
	case d.state == stateDead && !r.app.gone[key]:
		wrong("is dead, which the app never said")
	case d.state == stateDead && effects != 0:
		wrong("is dead with an effect")
	case d.state != stateDone && d.state != stateDead && e.acked > 0:
		wrong("was acknowledged")
	}
	if n := e.marks["processed"]; n > 1 {
		wrong("was answered as processed %d times", n)
	}
	r.checkCalls(e, d, calls, wrong)
	r.count("events")
	if e.acked > 0 {
		r.count("acknowledged")
	}
	if d.state == stateDead {
		r.count("dead")
	}
}

func (r *faultRun) checkCalls(e *faultEvent, d keptDelivery, calls []faultCall, wrong func(format string, args ...any)) {
	settled := false
	for i, c := range calls {
		if c.sum != e.sum {
			wrong("the app got other bytes")
		}
		if c.fence > d.fence {
			wrong("the app was called with fence %d, beyond the store's", c.fence)
		}
		if c.fence == d.fence {
			settled = settled || c.ok && d.state == stateDone || c.did == "410" && d.state == stateDead
		}
		r.count("calls")
		for _, before := range calls[:i] {
			r.checkPair(before, c, wrong)
		}
	}
	if !settled && (d.state == stateDone || d.state == stateDead) {
		wrong("the claim that settled it belongs to no call that was answered so")
	}
}

// checkPair looks at two calls of one event, in the order in which they came.
func (r *faultRun) checkPair(before, c faultCall, wrong func(format string, args ...any)) {
	switch {
	case c.fence == before.fence:
		wrong("fence %d came twice", c.fence)
	case c.fence < before.fence && !r.disturbed():
		wrong("fence %d came after %d", c.fence, before.fence)
	case c.fence < before.fence:
		r.count("calls of a sidecar that had been stopped, after its successor's")
	case c.attempt <= before.attempt && r.setup.mode == "sync":
		wrong("attempt %d came after %d", c.attempt, before.attempt)
	case !c.maybe:
		wrong("fence %d is not marked as maybe processed, although fence %d reached the app", c.fence, before.fence)
	}
	if c.begun < before.ended {
		if !r.disturbed() {
			wrong("two calls at one time, fences %d and %d", before.fence, c.fence)
		}
		r.count("calls beside another of the same event")
	}
}

// disturbed reports whether a lease may have ended under a sidecar that was at
// work: it was stopped, or the store's clock went forward.
func (r *faultRun) disturbed() bool {
	return slices.ContainsFunc(r.armed, func(f *fault) bool { return f.struck && (f.kind == "stop" || f.kind == "clock forward") })
}

func (r *faultRun) checkLogs() {
	secrets := []string{r.provider.secret, strings.TrimPrefix(r.provider.secret, "whsec_"), base64.StdEncoding.EncodeToString([]byte(r.provider.secret))}
	for _, s := range r.sidecars {
		for _, log := range s.logs() {
			for _, secret := range secrets {
				if strings.Contains(log, secret) {
					r.t.Errorf("a secret is in the log of sidecar %d", s.n)
				}
			}
			for _, bad := range []string{"DATA RACE", "panic", "goroutine 1 ["} {
				if strings.Contains(log, bad) {
					r.t.Errorf("%q is in the log of sidecar %d:\n%s", bad, s.n, log)
				}
			}
		}
	}
}

// checkCopies sends each event once more: all is on record, so the app is not
// called again.
func (r *faultRun) checkCopies(calls int) {
	for _, e := range r.events {
		sidecar, status, mark := e.rnd.IntN(len(r.sidecars)), 0, ""
		for deadline := time.Now().Add(20 * time.Second); status != 200 && time.Now().Before(deadline); {
			status, mark = e.post(sidecar, 0, e.body, e.signedFor(e.id, e.body, r.provider.secret, time.Now()))
		}
		if status != 200 || mark != "duplicate" && !r.app.gone[e.key()] {
			r.t.Errorf("%s: a late copy was answered %d %s", e.id, status, mark)
		}
	}
	if n := len(r.app.seen()); n != calls {
		r.t.Errorf("late copies made %d calls of the app", n-calls)
	}
}

// faultSums are the sums of a campaign.
type faultSums struct {
	mu     sync.Mutex
	runs   map[string]int
	failed int
	counts map[string]int
	took   map[string]time.Duration
}

func newFaultSums() *faultSums {
	return &faultSums{runs: map[string]int{}, counts: map[string]int{}, took: map[string]time.Duration{}}
}

func (s *faultSums) add(r *faultRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[r.setup.String()]++
	s.took[r.setup.String()] += r.took
	if r.t.Failed() {
		s.failed++
	}
	for what, n := range r.counts {
		s.counts[what] += n
	}
	for _, n := range r.app.effects {
		s.counts["effects"] += n
	}
}

func (s *faultSums) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, setup := range slices.Sorted(maps.Keys(s.runs)) {
		fmt.Fprintf(&b, "%-20s %6d runs, %v each\n", setup, s.runs[setup], (s.took[setup] / time.Duration(s.runs[setup])).Round(time.Millisecond))
	}
	s.counts["calls that were not needed"] = s.counts["calls"] - s.counts["effects"]
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "%-60s %6d\n", what, s.counts[what])
	}
	fmt.Fprintf(&b, "%d runs failed", s.failed)
	return b.String()
}
