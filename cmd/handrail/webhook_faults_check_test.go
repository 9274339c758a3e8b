package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
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
	r.kept, r.byKey = kept, map[string][]faultCall{}
	for _, c := range calls {
		r.byKey[c.key] = append(r.byKey[c.key], c)
	}
	known := map[string]bool{}
	for _, e := range r.events {
		known[e.key()] = true
		r.checkEvent(e, kept[e.key()], r.byKey[e.key()])
	}
	for key := range r.byKey {
		if !known[key] {
			r.t.Errorf("the app was called for %q, which was never sent", key)
		}
	}
	for key := range kept {
		if !known[key] && !strings.HasPrefix(key, r.route+"/replay:") {
			r.t.Errorf("the store holds %q, which was never sent", key)
		}
	}
	if r.setup.mode == "inbox" && r.order != "" {
		r.checkOrder()
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
	r.count("events")
	if r.count("acknowledged"); e.acked == 0 {
		wrong("was never acknowledged")
	}
	for range effects {
		r.count("effects")
	}
	if e.twin != nil {
		r.checkTwins(e, d, calls, wrong)
		return
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
	for _, once := range []string{"processed", "accepted"} {
		if n := e.marks[once]; n > 1 {
			wrong("was answered as %s %d times", once, n)
		}
	}
	r.checkCalls(e, d, calls, wrong)
	if d.state == stateDead {
		r.count("events dead, as the app said")
	}
}

// checkTwins looks at a message that came under two ids, of which one stands for
// the other: there are two effects only if the first one's attempt failed, which
// the second was told.
func (r *faultRun) checkTwins(e *faultEvent, d keptDelivery, calls []faultCall, wrong func(format string, args ...any)) {
	r.count("events under two ids")
	other := r.kept[e.twin.key()]
	settled := func(d keptDelivery) bool { return d.state == stateDone || d.state == stateDead }
	if !settled(d) && !settled(other) {
		wrong("was acknowledged, and is neither done nor dead under any id")
	}
	mine, theirs := r.app.effects[e.key()], r.app.effects[e.twin.key()]
	switch {
	case mine > 1:
		wrong("has %d effects", mine)
	case mine+theirs == 0 && !r.app.gone[e.key()] && !r.app.gone[e.twin.key()]:
		wrong("has no effect under any id")
	}
	if mine > 0 && theirs > 0 {
		r.count("effects under a second id, told that the first may have had it")
	}
	r.checkFences(e, d, calls, wrong)
	for _, c := range calls {
		for _, before := range r.byKey[e.twin.key()] {
			if before.begun < c.begun && before.did != "410" {
				r.checkTakeover(before, c, wrong)
			}
		}
	}
}

// checkTakeover looks at a call under one id that came after one under the other.
func (r *faultRun) checkTakeover(before, c faultCall, wrong func(format string, args ...any)) {
	r.count("calls under a second id")
	first := r.kept[before.key]
	switch {
	case before.ok && first.state == stateDone && first.fence == before.fence && c.begun > before.ended && !r.disturbed():
		wrong("fence %d was called although the other id was done with fence %d", c.fence, before.fence)
	case c.begun < before.ended && !r.disturbed():
		wrong("fence %d began beside fence %d of the other id", c.fence, before.fence)
	case !c.maybe && !r.fromSync: // from one mode to the other the mark is lost
		wrong("fence %d is not marked as maybe processed, although fence %d of the other id reached the app", c.fence, before.fence)
	}
}

func (r *faultRun) checkCalls(e *faultEvent, d keptDelivery, calls []faultCall, wrong func(format string, args ...any)) {
	r.checkFences(e, d, calls, wrong)
	settled := slices.ContainsFunc(calls, func(c faultCall) bool {
		return c.fence == d.fence && (c.ok && d.state == stateDone || c.did == "410" && d.state == stateDead)
	})
	if !settled && (d.state == stateDone || d.state == stateDead) {
		wrong("the claim that settled it belongs to no call that was answered so")
	}
}

func (r *faultRun) checkFences(e *faultEvent, d keptDelivery, calls []faultCall, wrong func(format string, args ...any)) {
	for i, c := range calls {
		if c.sum != e.sum {
			wrong("the app got other bytes")
		}
		if c.fence > d.fence {
			wrong("the app was called with fence %d, beyond the store's", c.fence)
		}
		r.count("calls")
		for _, before := range calls[:i] {
			r.checkPair(before, c, wrong)
		}
	}
}

// checkOrder looks at the events of each customer: one that was accepted before
// another was sent is done, or dead, before the other's first call.
func (r *faultRun) checkOrder() {
	for _, a := range r.events {
		for _, b := range r.events {
			if a.customer != b.customer || a.twin != nil || b.twin != nil || a.acked == 0 || b.first <= a.acked || len(r.byKey[b.key()]) == 0 {
				continue
			}
			r.count("pairs in order")
			first := r.byKey[b.key()][0]
			for _, c := range r.byKey[a.key()] {
				if c.fence == r.kept[a.key()].fence && c.begun > first.begun {
					r.t.Errorf("%s was handled before %s, which came first", b.id, a.id)
				}
			}
		}
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
	case c.attempt <= before.attempt && !r.fromSync: // an inbox counts its own
		wrong("attempt %d came after %d", c.attempt, before.attempt)
	case !c.maybe:
		wrong("fence %d is not marked as maybe processed, although fence %d reached the app", c.fence, before.fence)
	}
	if before.mute && c.fence > before.fence && !r.disturbed() && !r.agedBetween(before.begun, c.begun) {
		wrong("fence %d was called within the lease of %d, which had not been answered", c.fence, before.fence)
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

// agedBetween reports whether a lease was made to end.
func (r *faultRun) agedBetween(from, to time.Duration) bool {
	return slices.ContainsFunc(r.agings, func(at [2]time.Duration) bool { return from < at[1] && at[0] < to })
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
		if status != 200 || mark != "duplicate" && !r.app.gone[e.key()] && (e.twin == nil || !r.app.gone[e.twin.key()]) {
			r.t.Errorf("%s: a late copy was answered %d %s", e.id, status, mark)
		}
	}
	if n := len(r.app.seen()); n != calls {
		r.t.Errorf("late copies made %d calls of the app", n-calls)
	}
}
