package webhooktest

import (
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var inboxLedgerRules = []Rule{
	inboxRule("a dead message that is revived is due at once: marked, attempt 1, its age from then", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		d.fails("k", 1, never)
		d.Advance(pastLease)
		d.does("Revive", d.Revive, "r/k")
		d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, MaybeProcessed: true, BodyDigest: body})
		d.keeps("k", "")
		d.stale("r/k", 1, fail(never))
		d.stale("r/k", 1, complete(nil))
		d.Advance(pastRetention)
		d.purge()
		got := d.takes(taken{"k", 2, 1, true})
		if d.err == nil && !d.aged(got[0].Age, pastRetention) {
			d.failf("an age of %v, want %v", got[0].Age, pastRetention)
		}
		d.fails("k", 2, atOnce)
		d.takes(taken{"k", 3, 2, true})
	}),
	inboxRule("a message that waits for its time is due at once when it is revived", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		d.fails("k", 1, webhook.Failure{Then: webhook.StateRetry, After: backoff})
		d.takes()
		for range 2 {
			d.does("Revive", d.Revive, "r/k")
			d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, BodyDigest: body})
		}
		d.takes(taken{"k", 2, 2, false})
	}),
	inboxRule("what is discarded stays dead without its message, waiting before or dead", func(d inboxDriver) {
		d.accepts("", "waiting", "dead")
		d.takes(first("waiting", "dead")...)
		d.fails("waiting", 1, atOnce)
		d.fails("dead", 1, never)
		for _, name := range []string{"waiting", "dead"} {
			for range 2 {
				d.does("Discard", d.Discard, "r/"+name)
				d.lacks(name)
				d.put(name, "", webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
			}
		}
		d.takes()
		d.backlog()
		d.does("Revive", d.Revive, "r/dead") // waits for the provider
		d.takes()
		d.put("dead", "", webhook.Claim{Status: webhook.Accepted, Fence: 1, MaybeProcessed: true})
		d.takes(taken{"dead", 2, 1, true})
		d.Advance(pastRetention)
		d.record("r/waiting", webhook.Record{})
	}),
	inboxRule("a message under way can neither be revived nor discarded", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		for range 2 {
			d.refuses("Revive", d.Revive, "r/k", webhook.ErrWrongState)
			d.refuses("Discard", d.Discard, "r/k", webhook.ErrWrongState)
			d.waits(d.keeps("k", ""), false)
			d.Advance(10 * time.Second)
			d.fails("k", 1, unknown) // its lease goes on
		}
		d.settle("r/k", 1, complete(nil))
	}),
	inboxRule("an attempt that broke off is revived when its lease is over, marked, and counts", func(d inboxDriver) {
		for _, paused := range []bool{false, true} {
			name := fmt.Sprint(paused)
			d.accepts("", name)
			d.breaksOff(name, "", paused)
			for range 2 {
				d.does("Revive", d.Revive, "r/"+name)
				d.record("r/"+name, webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, MaybeProcessed: true, BodyDigest: body})
				d.stale("r/"+name, 1, complete(nil))
				d.stale("r/"+name, 1, fail(never))
			}
			d.takes(taken{name, 2, 2, true})
			d.refuses("Revive", d.Revive, "r/"+name, webhook.ErrWrongState)
			d.settle("r/"+name, 2, complete(nil))
		}
	}),
	inboxRule("an attempt that broke off is discarded when its lease is over, marked, and lets the next of its order go", func(d inboxDriver) {
		for _, paused := range []bool{false, true} {
			name, next := fmt.Sprint(paused), fmt.Sprint(paused, " next")
			d.accepts("o", name, next)
			d.breaksOff(name, "o", paused)
			for range 2 {
				d.does("Discard", d.Discard, "r/"+name)
				d.record("r/"+name, webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, MaybeProcessed: true, BodyDigest: body})
				d.lacks(name)
				d.stale("r/"+name, 1, complete(nil))
			}
			d.takes(first(next)...)
			d.settle("r/"+next, 1, complete(nil))
		}
	}),
	inboxRule("an attempt that broke off keeps its place when it is revived", func(d inboxDriver) {
		d.accepts("o", "1", "2", "3")
		d.takes(first("1")...)
		d.fails("1", 1, never)
		d.breaksOff("2", "o", true)
		d.does("Revive", d.Revive, "r/2")
		d.takes(taken{"2", 2, 2, true})
		d.takes()
		d.fails("2", 2, unknown)
		d.Advance(pastLease)
		d.does("Revive", d.Revive, "r/1") // ahead of it
		d.does("Revive", d.Revive, "r/2")
		d.takes(taken{"1", 2, 1, true})
		d.takes()
		d.does("Discard", d.Discard, "r/2") // from the middle
		d.settle("r/1", 2, complete(nil))
		d.takes(first("3")...)
	}),
	inboxRule("the backlog counts what is kept, route by route", func(d inboxDriver) {
		d.backlog()
		d.bring("r/retry", webhook.StateRetry)
		d.bring("r/dead", webhook.StateDead)
		d.backlog()
		d.accepts("", "1")
		d.Advance(20 * time.Second)
		d.accepts("o", "2", "3")
		d.accepts("", "4", "5")
		m := message("1", "")
		m.Route = "s"
		if _, err := d.box.Put(d.ctx, "s/1", m, request); err != nil {
			d.failf("Put: %w", err)
		}
		d.takes(first("1", "2", "4", "5")...)
		d.fails("4", 1, never)
		d.settle("r/5", 1, complete(nil))
		d.backlog(webhook.Backlog{Route: "r", Waiting: 3, Dead: 1, Oldest: 20 * time.Second}, webhook.Backlog{Route: "s", Waiting: 1})
		d.settle("r/1", 1, complete(nil))
		d.Advance(10 * time.Second)
		d.backlog(webhook.Backlog{Route: "r", Waiting: 2, Dead: 1, Oldest: 10 * time.Second}, webhook.Backlog{Route: "s", Waiting: 1, Oldest: 10 * time.Second})
	}),
}
