package webhooktest

import (
	"errors"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var inboxFailRules = []Rule{
	inboxRule("a failure makes the message due again when it says", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		d.fails("k", 1, again)
		d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, MaybeProcessed: true, BodyDigest: body})
		e := d.keeps("k", "")
		if d.err == nil && (e.Kept.LastStatus != 500 || e.Kept.LastReason != "upstream_status" || !about(e.Kept.Due.Sub(e.Kept.Received), backoff)) {
			d.failf("after a failure is kept %+v", *e.Kept)
		}
		d.Advance(pastBackoff - 10*time.Second)
		d.takes()
		d.Advance(10 * time.Second)
		d.takes(taken{"k", 2, 2, true})
		d.fails("k", 2, atOnce)
		d.takes(taken{"k", 3, 3, true})
	}),
	inboxRule("a failure without a mark leaves the message unmarked", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		d.fails("k", 1, atOnce)
		d.takes(taken{"k", 2, 2, false})
		d.settle("r/k", 2, release(false))
		d.takes(taken{"k", 3, 3, false})
		d.settle("r/k", 3, release(true))
		d.takes(taken{"k", 4, 4, true})
	}),
	inboxRule("a failure may leave the claim until its lease ends, and longer", func(d inboxDriver) {
		d.accepts("", "longer", "lease")
		d.takes(first("longer", "lease")...)
		d.fails("longer", 1, unknown)
		d.fails("lease", 1, webhook.Failure{Then: webhook.StateClaimed, Reason: "no_answer"})
		d.record("r/longer", webhook.Record{State: webhook.StateClaimed, Fence: 1, Attempt: 1, BodyDigest: body})
		d.Advance(pastLease - 10*time.Second)
		d.takes()
		d.Advance(10 * time.Second)
		d.takes(taken{"lease", 2, 2, true})
		d.Advance(pastBackoff - pastLease)
		d.takes(taken{"longer", 2, 2, true})
	}),
	inboxRule("a failure may be the last: dead and kept for the retention", func(d inboxDriver) {
		d.accepts("", "fail", "kill")
		d.takes(first("fail", "kill")...)
		d.fails("fail", 1, never)
		d.settle("r/kill", 1, kill())
		d.Advance(pastRetention - 10*time.Second)
		d.purge()
		for _, name := range []string{"fail", "kill"} {
			d.put(name, "", webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
			d.want("r/"+name, request, webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
			e := d.keeps(name, "")
			if d.err == nil && (e.State != webhook.StateDead || !about(e.Expires.Sub(e.Updated), retention)) {
				d.failf("%q is %v, from %v to %v", name, e.State, e.Updated, e.Expires)
			}
		}
		d.takes()
		d.backlog(webhook.Backlog{Route: "r", Dead: 2})
		d.lists(webhook.Query{Route: "r", States: []webhook.State{webhook.StateClaimed, webhook.StateRetry}, Limit: 1})
	}),
	inboxRule("a failure said again succeeds and changes nothing", func(d inboxDriver) {
		for name, f := range map[string]webhook.Failure{"again": again, "unknown": unknown, "never": never} {
			d.accepts("", name)
			d.takes(first(name)...)
			d.fails(name, 1, f)
			d.fails(name, 1, f)
			d.Advance(10 * time.Second)
			d.fails(name, 1, f)
			switch f.Then {
			case webhook.StateRetry:
				d.Advance(pastBackoff - 10*time.Second)
				d.takes(taken{name, 2, 2, true})
				d.settle("r/"+name, 2, complete(nil))
			case webhook.StateClaimed:
				d.settle("r/"+name, 1, complete(nil))
			case webhook.StateDead:
				d.keeps(name, "")
			}
		}
	}),
	inboxRule("a failure of what is no attempt of a message is stale", func(d inboxDriver) {
		d.bring("r/claimed", webhook.StateClaimed)
		d.bring("r/done", webhook.StateDone)
		d.accepts("", "waiting")
		for _, f := range []webhook.Failure{again, unknown, never} {
			for key, fence := range map[string]int64{"r/none": 1, "r/claimed": 1, "r/done": 1, "r/waiting": 1} {
				d.stale(key, fence, fail(f))
			}
		}
		d.settle("r/claimed", 1, complete(nil))
		d.takes(first("waiting")...)
		for _, then := range []webhook.State{webhook.StateAbsent, webhook.StateDone} {
			if err := d.box.Fail(d.ctx, "r/waiting", 1, webhook.Failure{Then: then}); err == nil || errors.Is(err, webhook.ErrStaleFence) {
				d.failf("Fail to %v: %v", then, err)
			}
		}
		d.settle("r/waiting", 1, complete(nil))
	}),
	inboxRule("what was not tried is no attempt, and its fence goes on", func(d inboxDriver) {
		later := webhook.Failure{Then: webhook.StateRetry, After: backoff, Untried: true}
		d.accepts("", "k")
		d.takes(first("k")...)
		for range 2 { // said again it takes nothing more back
			d.fails("k", 1, untried)
			d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, BodyDigest: body})
		}
		if e := d.keeps("k", ""); d.err == nil && e.Kept.LastReason != "draining" {
			d.failf("after what was not tried is kept %+v", *e.Kept)
		}
		d.stale("r/k", 1, complete(nil))
		d.takes(taken{"k", 2, 1, false})
		d.fails("k", 2, again)
		d.Advance(pastBackoff)
		d.takes(taken{"k", 3, 2, true})
		for _, then := range []webhook.State{webhook.StateClaimed, webhook.StateDead} {
			err := d.box.Fail(d.ctx, "r/k", 3, webhook.Failure{Then: then, Untried: true})
			if err == nil || errors.Is(err, webhook.ErrStaleFence) {
				d.failf("Fail to %v of what was not tried: %v", then, err)
			}
		}
		d.fails("k", 3, later)
		d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 3, Attempt: 1, MaybeProcessed: true, BodyDigest: body})
		d.takes()
		d.Advance(pastBackoff)
		d.takes(taken{"k", 4, 2, true})
	}),
}

var inboxOrderRules = []Rule{
	inboxRule("messages of one order are taken as they were put, one at a time", func(d inboxDriver) {
		d.accepts("o", "3", "1", "2")
		d.takes(first("3")...)
		d.takes()
		d.fails("3", 1, again)
		d.Advance(30 * time.Second)
		d.takes() // it waits, and all behind it
		d.Advance(pastBackoff - 30*time.Second)
		d.takes(taken{"3", 2, 2, true})
		d.Advance(pastLease)
		d.takes(taken{"3", 3, 3, true})
		d.fails("3", 3, untried)
		d.takes(taken{"3", 4, 3, true})
		d.settle("r/3", 4, complete(nil))
		d.accepts("o", "0")
		d.takes(first("1")...)
		d.settle("r/1", 1, release(false))
		d.takes(taken{"1", 2, 2, false})
		d.settle("r/1", 2, complete(nil))
		d.takes(first("2")...)
		d.settle("r/2", 1, complete(nil))
		d.takes(first("0")...)
	}),
	inboxRule("a dead or discarded message lets the next one of its order go", func(d inboxDriver) {
		d.accepts("o", "fail", "kill", "discard", "between", "last")
		d.takes(first("fail")...)
		d.fails("fail", 1, never)
		d.takes(first("kill")...)
		d.does("Discard", d.Discard, "r/between")
		d.settle("r/kill", 1, kill())
		d.does("Discard", d.Discard, "r/discard")
		d.takes(first("last")...)
		d.takes()
	}),
	inboxRule("orders, and routes, do not wait for each other", func(d inboxDriver) {
		d.accepts("o", "o1", "o2")
		d.accepts("p", "p1", "p2")
		d.accepts("", "1", "2")
		for _, route := range []string{"s", "r/"} {
			m := message("1", "o")
			m.Route = route
			if c, err := d.box.Put(d.ctx, route+"/1", m, request); err != nil || c.Status != webhook.Accepted {
				d.failf("Put: %v, %w", c.Status, err)
			}
			if got := d.take(route, 10); d.err == nil && (len(got) != 1 || got[0].Key != route+"/1") {
				d.failf("Take of %q = %+v", route, got)
			}
		}
		d.takes(first("o1", "p1", "1", "2")...)
		d.settle("r/p1", 1, complete(nil))
		d.takes(first("p2")...)
	}),
	inboxRule("a message that is revived goes by its own place", func(d inboxDriver) {
		d.accepts("o", "1", "2", "3")
		d.takes(first("1")...)
		d.fails("1", 1, never)
		d.Advance(10 * time.Second)
		d.accepts("o", "4")
		d.does("Revive", d.Revive, "r/1")
		d.takes(taken{"1", 2, 1, true})
		d.takes()
		d.settle("r/1", 2, complete(nil))
		d.takes(first("2")...)
		d.fails("2", 1, never)
		d.takes(first("3")...)
		d.fails("3", 1, never)
		d.takes(first("4")...)
		d.fails("4", 1, again)
		d.does("Revive", d.Revive, "r/3") // ahead of 4, behind 2
		d.does("Revive", d.Revive, "r/2")
		d.takes(taken{"2", 2, 1, true})
		d.does("Discard", d.Discard, "r/4")
		d.does("Revive", d.Revive, "r/4") // without a message
		d.settle("r/2", 2, complete(nil))
		d.takes(taken{"3", 2, 1, true})
	}),
	inboxRule("a message that is revived waits for the one of its order that is under way", func(d inboxDriver) {
		d.accepts("o", "1", "2", "3")
		d.takes(first("1")...)
		d.fails("1", 1, never)
		d.takes(first("2")...)
		d.does("Revive", d.Revive, "r/1")
		d.takes()
		d.fails("2", 1, atOnce) // and is behind again
		d.takes(taken{"1", 2, 1, true})
		d.takes()
		d.fails("1", 2, never)
		d.takes(taken{"2", 2, 2, false})
		d.does("Revive", d.Revive, "r/1")
		d.Advance(pastLease)
		d.takes(taken{"1", 3, 1, true})
		d.settle("r/2", 2, complete(nil)) // nobody has taken it since
		d.takes()
		d.settle("r/1", 3, complete(nil))
		d.takes(first("3")...)
	}),
}
