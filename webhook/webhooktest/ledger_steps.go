package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var ledgerStepRules = []Rule{
	ledgerRule("a key that is absent, or past its retention, is unknown", func(d ledgerDriver) {
		d.bring("r/dead", webhook.StateDead)
		d.bring("r/retry", webhook.StateRetry)
		d.Advance(pastRetention)
		for _, key := range []string{"r/none", "r/dead", "r/retry"} {
			if _, err := d.Entry(d.ctx, key); !errors.Is(err, webhook.ErrUnknownDelivery) {
				d.failf("Entry(%q): %v, want ErrUnknownDelivery", key, err)
			}
			d.refuses("Revive", d.Revive, key, webhook.ErrUnknownDelivery)
			d.refuses("Discard", d.Discard, key, webhook.ErrUnknownDelivery)
		}
	}),
	ledgerRule("a dead delivery that is revived is claimed anew: marked, attempt 1, its fence going on", func(d ledgerDriver) {
		d.bring("r/k", webhook.StateRetry)
		d.want("r/k", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2})
		d.settle("r/k", 2, kill())
		d.does("Revive", d.Revive, "r/k")
		d.entry("r/k", webhook.Record{State: webhook.StateRetry, Fence: 2, MaybeProcessed: true, BodyDigest: body})
		d.stale("r/k", 2, complete(nil))
		d.stale("r/k", 2, kill())
		d.want("r/k", request, webhook.Claim{Status: webhook.Claimed, Fence: 3, Attempt: 1, MaybeProcessed: true})
		d.settle("r/k", 3, complete(nil))
	}),
	ledgerRule("only a dead delivery can be revived", func(d ledgerDriver) {
		for _, state := range []webhook.State{webhook.StateClaimed, webhook.StateRetry, webhook.StateDone} {
			d.bring("r/"+state.String(), state)
			d.refuses("Revive", d.Revive, "r/"+state.String(), webhook.ErrWrongState)
		}
		d.bring("r/twice", webhook.StateDead)
		d.does("Revive", d.Revive, "r/twice")
		d.refuses("Revive", d.Revive, "r/twice", webhook.ErrWrongState)
	}),
	ledgerRule("a delivery that was revived is kept for its retention", func(d ledgerDriver) {
		d.bring("r/k", webhook.StateDead)
		d.Advance(pastRetention - 10*time.Second)
		d.does("Revive", d.Revive, "r/k")
		d.Advance(pastRetention - 10*time.Second)
		d.purge()
		d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, MaybeProcessed: true, BodyDigest: body})
		d.Advance(10 * time.Second)
		d.record("r/k", webhook.Record{})
	}),
	ledgerRule("a delivery to retry that is discarded is dead for its retention", func(d ledgerDriver) {
		d.bring("r/k", webhook.StateRetry)
		d.Advance(pastRetention - 10*time.Second)
		d.does("Discard", d.Discard, "r/k")
		d.Advance(pastRetention - 10*time.Second)
		d.purge()
		d.entry("r/k", webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
		d.want("r/k", request, webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
		d.Advance(10 * time.Second)
		d.record("r/k", webhook.Record{})
	}),
	ledgerRule("a claimed and a done delivery cannot be discarded, a dead one stays as it is", func(d ledgerDriver) {
		d.bring("r/claimed", webhook.StateClaimed)
		d.bring("r/done", webhook.StateDone)
		d.bring("r/dead", webhook.StateDead)
		for range 2 {
			d.refuses("Discard", d.Discard, "r/claimed", webhook.ErrWrongState)
			d.refuses("Discard", d.Discard, "r/done", webhook.ErrWrongState)
			d.does("Discard", d.Discard, "r/dead")
			d.record("r/dead", webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
			d.Advance(pastLease) // a lease that has ended makes a claim nobody's, not another state
		}
	}),
	ledgerRule("the steps of a ledger end with their context", func(d ledgerDriver) {
		d.bring("r/retry", webhook.StateRetry)
		d.bring("r/dead", webhook.StateDead)
		ctx, cancel := context.WithCancel(d.ctx)
		cancel()
		_, entryErr := d.Entry(ctx, "r/dead")
		_, _, listErr := d.List(ctx, webhook.Query{Limit: 1})
		for name, err := range map[string]error{
			"Entry": entryErr, "List": listErr,
			"Revive": d.Revive(ctx, "r/dead"), "Discard": d.Discard(ctx, "r/retry"),
		} {
			if err == nil {
				d.failf("%s: no error", name)
			}
		}
		d.record("r/retry", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, BodyDigest: body})
		d.record("r/dead", webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
	}),
}

var ledgerTogetherRules = []Rule{
	ledgerRule("of concurrent revivals one happens, and one claim follows", func(d ledgerDriver) {
		for round := range 5 {
			key := fmt.Sprintf("r/%d", round)
			d.bring(key, webhook.StateDead)
			if d.err != nil {
				return
			}
			errs := make([]error, 20)
			together(len(errs), func(i int) { errs[i] = d.Revive(d.ctx, key) })
			revived := 0
			for _, err := range errs {
				if err == nil {
					revived++
				} else if !errors.Is(err, webhook.ErrWrongState) {
					d.failf("Revive: %w", err)
				}
			}
			if revived != 1 {
				d.failf("%d revivals, want 1", revived)
			}
			d.want(key, request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 1, MaybeProcessed: true})
		}
	}),
	ledgerRule("of a claim and a discard at once one happens", func(d ledgerDriver) {
		for round := range 20 {
			key := fmt.Sprintf("r/%d", round)
			d.bring(key, webhook.StateRetry)
			if d.err != nil {
				return
			}
			var c webhook.Claim
			var claimErr, discardErr error
			together(2, func(i int) {
				if i == 0 {
					c, claimErr = d.Store.Claim(d.ctx, key, request)
				} else {
					discardErr = d.Discard(d.ctx, key)
				}
			})
			switch {
			case claimErr != nil:
				d.failf("Claim: %w", claimErr)
			case c.Status == webhook.Claimed && errors.Is(discardErr, webhook.ErrWrongState):
				d.settle(key, 2, complete(nil))
			case c.Status == webhook.Dead && discardErr == nil:
				d.record(key, webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
			default:
				d.failf("Claim says %v and Discard %v", c.Status, discardErr)
			}
		}
	}),
	ledgerRule("random steps of store and ledger agree with the model", func(d ledgerDriver) {
		rng := rand.New(rand.NewPCG(d.Seed, 1))
		m := &model{keys: make(map[string]*modelKey)}
		for i := 0; i < modelSteps && d.err == nil; i++ {
			said := ""
			if rng.IntN(3) == 0 {
				said = d.randomLedgerStep(rng, m)
			} else {
				said = d.randomStep(rng, m)
			}
			if d.err != nil {
				d.err = fmt.Errorf("step %d of seed %d: %s: %w", i, d.Seed, said, d.err)
			}
		}
	}),
}

// revive is Revive of a store that keeps no messages.
func (m *model) revive(key string) error {
	k := m.get(key)
	switch k.State {
	case webhook.StateAbsent:
		return webhook.ErrUnknownDelivery
	case webhook.StateDead:
		k.State, k.Attempt, k.MaybeProcessed, k.keptUntil = webhook.StateRetry, 0, true, m.now+k.retention
		return nil
	}
	return webhook.ErrWrongState
}

// discard is Discard of a store that keeps no messages.
func (m *model) discard(key string) error {
	k := m.get(key)
	switch k.State {
	case webhook.StateAbsent:
		return webhook.ErrUnknownDelivery
	case webhook.StateRetry:
		k.State, k.keptUntil = webhook.StateDead, m.now+k.retention
		return nil
	case webhook.StateDead:
		return nil
	}
	return webhook.ErrWrongState
}

// randomLedgerStep takes one step on both sides and compares; it returns what it
// was. Its keys are those of randomStep.
func (d ledgerDriver) randomLedgerStep(rng *rand.Rand, m *model) string {
	keys := [...]string{"a", "b", "c"}
	key := keys[rng.IntN(len(keys))]
	agree := func(got, want error) {
		if !errors.Is(got, want) {
			d.failf("got %v, want %v", got, want)
		}
		d.record(key, m.get(key).Record)
	}
	switch rng.IntN(3) {
	case 0:
		agree(d.Revive(d.ctx, key), m.revive(key))
		return fmt.Sprintf("Revive(%q)", key)
	case 1:
		agree(d.Discard(d.ctx, key), m.discard(key))
		return fmt.Sprintf("Discard(%q)", key)
	}
	got := d.list(webhook.Query{Limit: 1 + rng.IntN(3)}, nil)
	for _, key := range keys {
		want := m.get(key).Record
		e, listed := got[key]
		if listed != (want.State != webhook.StateAbsent) || !reflect.DeepEqual(e.Record, want) {
			d.failf("%q is listed as %+v, want %+v", key, e.Record, want)
		}
	}
	return "List()"
}
