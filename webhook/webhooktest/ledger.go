package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// LedgerRules returns what every store keeps to that is a [webhook.Ledger]. Each
// takes a fixture of its own.
func LedgerRules() []Rule {
	var all []Rule
	for _, group := range [][]Rule{ledgerListRules, ledgerStepRules, ledgerTogetherRules} {
		all = append(all, group...)
	}
	return all
}

// RunLedger checks each of LedgerRules as a subtest of t, on a fixture that open
// makes, whose store is a [webhook.Ledger].
func RunLedger(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	runRules(t, LedgerRules(), open)
}

// ledgerDriver is a driver of a store that is a ledger.
type ledgerDriver struct {
	*driver
	webhook.Ledger
}

func ledgerRule(name string, check func(d ledgerDriver)) Rule {
	return rule(name, func(d *driver) {
		l, ok := d.Store.(webhook.Ledger)
		if !ok {
			d.failf("%T is no webhook.Ledger", d.Store)
			return
		}
		check(ledgerDriver{d, l})
	})
}

// slack is how much real time may have passed beside what Advance let pass.
const slack = 8 * time.Second

// about reports whether d is want, but for real time that passed.
func about(d, want time.Duration) bool { return d > want-slack && d < want+slack }

// entry compares what the ledger tells of a key that no message is kept of.
func (d ledgerDriver) entry(key string, want webhook.Record) webhook.Entry {
	if d.err != nil {
		return webhook.Entry{}
	}
	e, err := d.Entry(d.ctx, key)
	if err != nil {
		d.failf("Entry(%q): %w", key, err)
		return e
	}
	d.sound(e)
	if e.Key != key || !reflect.DeepEqual(e.Record, want) {
		d.failf("Entry(%q) = %q %+v, want %+v", key, e.Key, e.Record, want)
	}
	return e
}

// sound looks at what holds of every entry of a key that no message is kept of.
func (d ledgerDriver) sound(e webhook.Entry) {
	claimed := e.State == webhook.StateClaimed
	switch {
	case e.State == webhook.StateAbsent:
		d.failf("an entry of %q, which is absent", e.Key)
	case e.Kept != nil:
		d.failf("an entry of %q with a message that was never put", e.Key)
	case e.LeaseUntil.IsZero() == claimed:
		d.failf("%q is %v, and its claim ends at %v", e.Key, e.State, e.LeaseUntil)
	case e.Expires.IsZero():
		d.failf("%q is %v without end", e.Key, e.State)
	}
}

// refuses takes a step that must return want and change nothing.
func (d ledgerDriver) refuses(name string, step func(context.Context, string) error, key string, want error) {
	if d.err != nil {
		return
	}
	before, err := d.Store.Lookup(d.ctx, key)
	if err != nil {
		d.failf("Lookup(%q): %w", key, err)
		return
	}
	if err := step(d.ctx, key); !errors.Is(err, want) {
		d.failf("%s of %q, which is %v: %v, want %v", name, key, before.State, err, want)
	}
	d.record(key, before)
}

func (d ledgerDriver) does(name string, step func(context.Context, string) error, key string) {
	if d.err != nil {
		return
	}
	if err := step(d.ctx, key); err != nil {
		d.failf("%s(%q): %w", name, key, err)
	}
}

// list reads all pages of q. between, which may be nil, is called after each.
func (d ledgerDriver) list(q webhook.Query, between func()) map[string]webhook.Entry {
	const maxPages = 10_000
	all := make(map[string]webhook.Entry)
	for range maxPages {
		if d.err != nil {
			return all
		}
		page, after, err := d.List(d.ctx, q)
		if err != nil {
			d.failf("List(%+v): %w", q, err)
			return all
		}
		if len(page) > q.Limit {
			d.failf("List(%+v) returned %d", q, len(page))
		}
		for _, e := range page {
			if before, listed := all[e.Key]; listed && between == nil && !reflect.DeepEqual(before, e) {
				d.failf("List(%+v) holds %q twice, as %+v and as %+v", q, e.Key, before, e)
			}
			all[e.Key] = e
		}
		if after == "" {
			return all
		}
		q.After = after
		if between != nil {
			between()
		}
	}
	d.failf("List(%+v) does not end in %d pages", q, maxPages)
	return all
}

// lists compares the keys of all pages of q.
func (d ledgerDriver) lists(q webhook.Query, want ...string) {
	if d.err != nil {
		return
	}
	got := d.list(q, nil)
	for _, key := range want {
		if e, ok := got[key]; ok {
			d.sound(e)
			d.record(key, e.Record)
		} else {
			d.failf("List(%+v) lacks %q", q, key)
		}
		delete(got, key)
	}
	for key := range got {
		d.failf("List(%+v) holds %q", q, key)
	}
}

var everyState = []webhook.State{webhook.StateClaimed, webhook.StateRetry, webhook.StateDone, webhook.StateDead}

var ledgerListRules = []Rule{
	ledgerRule("an entry tells what a look-up does, and until when", func(d ledgerDriver) {
		for _, state := range everyState {
			key := "r/" + state.String()
			d.bring(key, state)
			e := d.entry(key, webhook.Record{State: state, Fence: 1, Attempt: 1, BodyDigest: body})
			since := e.Expires.Sub(e.Updated)
			switch {
			case state == webhook.StateClaimed && !about(e.Expires.Sub(e.LeaseUntil), retention):
				d.failf("%q is kept for %v after its lease, want %v", key, e.Expires.Sub(e.LeaseUntil), retention)
			case state == webhook.StateClaimed && !e.Updated.IsZero() && !about(e.LeaseUntil.Sub(e.Updated), lease):
				d.failf("%q has a lease of %v, want %v", key, e.LeaseUntil.Sub(e.Updated), lease)
			case state != webhook.StateClaimed && !e.Updated.IsZero() && !about(since, retention):
				d.failf("%q is kept for %v, want %v", key, since, retention)
			}
		}
		d.bring("r/answered", webhook.StateClaimed)
		d.settle("r/answered", 1, complete(answer))
		d.entry("r/answered", webhook.Record{State: webhook.StateDone, Fence: 1, Attempt: 1, BodyDigest: body, Answer: answer})
	}),
	ledgerRule("a lease ends as much later as its claim was made", func(d ledgerDriver) {
		claimed := webhook.Record{State: webhook.StateClaimed, Fence: 1, Attempt: 1, BodyDigest: body}
		d.bring("r/a", webhook.StateClaimed)
		d.Advance(20 * time.Second)
		d.bring("r/b", webhook.StateClaimed)
		a, b := d.entry("r/a", claimed), d.entry("r/b", claimed)
		if between := b.LeaseUntil.Sub(a.LeaseUntil); !about(between, 20*time.Second) {
			d.failf("claims 20s apart end %v apart", between)
		}
		d.Advance(pastLease)
		d.entry("r/a", claimed) // ended, and nobody's yet
	}),
	ledgerRule("every delivery is listed, whatever the size of pages", func(d ledgerDriver) {
		var all []string
		for i := range 25 {
			key := fmt.Sprintf("r/%d", i)
			d.bring(key, everyState[i%len(everyState)])
			all = append(all, key)
		}
		for _, limit := range []int{1, 2, 7, 25, 26, 1000} {
			d.lists(webhook.Query{Limit: limit}, all...)
		}
	}),
	ledgerRule("a route's list holds its own deliveries and no other's", func(d ledgerDriver) {
		for _, key := range []string{"a_b/1", "a_b/2", "a.b/1", "axb/1", "a_/1", "a_b.c/1", "a_b0/1", "A_B/1", "a_b", "a_b-/1", "z/a_b/1", "a_b/", "a_b//"} {
			d.bring(key, webhook.StateRetry)
		}
		for _, limit := range []int{1, 1000} {
			d.lists(webhook.Query{Route: "a_b", Limit: limit}, "a_b/1", "a_b/2", "a_b/", "a_b//")
			d.lists(webhook.Query{Route: "a.b", Limit: limit}, "a.b/1")
			d.lists(webhook.Query{Route: "z", Limit: limit}, "z/a_b/1")
			d.lists(webhook.Query{Route: "none", Limit: limit})
		}
	}),
	ledgerRule("a list by state holds those alone", func(d ledgerDriver) {
		for _, state := range everyState {
			d.bring("r/"+state.String(), state)
			d.bring("s/"+state.String(), state)
		}
		for _, state := range everyState {
			one := []webhook.State{state}
			d.lists(webhook.Query{States: one, Limit: 1}, "r/"+state.String(), "s/"+state.String())
			d.lists(webhook.Query{Route: "r", States: one, Limit: 10}, "r/"+state.String())
		}
		d.lists(webhook.Query{Route: "r", States: []webhook.State{webhook.StateDead, webhook.StateRetry}, Limit: 1}, "r/dead", "r/retry")
	}),
	ledgerRule("keys of any bytes are listed as they are", func(d ledgerDriver) {
		keys := []string{"r/a'b", `r/a\b`, `r/\x61`, "r/nul\x00", "r/\xff\xfe", "r/é😀", "r/line\nbreak", "r/*?[a]", "r/%_", "", `\`, `\tx/k`, "r/ "}
		for _, key := range keys {
			d.bring(key, webhook.StateDead)
			d.entry(key, webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
		}
		d.lists(webhook.Query{Limit: 1}, keys...)
		d.lists(webhook.Query{Limit: 1000}, keys...)
	}),
	ledgerRule("what is past its retention is not listed, purged or not", func(d ledgerDriver) {
		for _, state := range everyState {
			d.bring("r/"+state.String(), state)
		}
		d.Advance(pastRetention)
		d.bring("r/new", webhook.StateRetry)
		d.lists(webhook.Query{Limit: 10}, "r/claimed", "r/new") // a claim outlives its lease by the retention
		d.purge()
		d.lists(webhook.Query{Limit: 10}, "r/claimed", "r/new")
	}),
	ledgerRule("a limit below 1 or above 1000 is an error", func(d ledgerDriver) {
		for _, limit := range []int{-1, 0, 1001} {
			if _, _, err := d.List(d.ctx, webhook.Query{Limit: limit}); err == nil {
				d.failf("List with a limit of %d: no error", limit)
			}
		}
	}),
	ledgerRule("a list that others change meanwhile holds what does not change", func(d ledgerDriver) {
		var still, going []string
		for i := range 20 {
			still, going = append(still, fmt.Sprintf("r/%02d", i)), append(going, fmt.Sprintf("r/!%02d", i))
			d.bring(still[i], webhook.StateDead)
			d.bring(going[i], webhook.StateDead)
		}
		n := 0
		dead := []webhook.State{webhook.StateDead}
		got := d.list(webhook.Query{Route: "r", States: dead, Limit: 3}, func() {
			if n++; n%2 == 0 {
				d.bring(fmt.Sprintf("r/%02d/new", n), webhook.StateDead)
			} else if len(going) > 0 {
				d.does("Revive", d.Revive, going[0])
				going = going[1:]
			}
		})
		for _, key := range still {
			if _, ok := got[key]; !ok {
				d.failf("the list lacks %q, which did not change", key)
			}
		}
		for key := range got {
			if !strings.HasPrefix(key, "r/") {
				d.failf("the list holds %q", key)
			}
		}
	}),
}
