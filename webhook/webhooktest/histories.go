package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

const (
	historyClients = 6
	historySteps   = 14 // of each
	historyRounds  = 100
	// historyTime is when no further round begins.
	historyTime = 3 * time.Second
)

var historyRules = []Rule{
	rule("what concurrent steps say is what one at a time could have said", func(d *driver) {
		if _, err := Histories(d.ctx, d.Fixture, nil); err != nil {
			d.failf("%w", err)
		}
	}),
}

// Histories takes random steps on one key by several clients at once, some of
// them on another handle when the Fixture has one, while leases end; and so for a
// number of keys. It returns an error unless every history is linearizable: there
// is an order of the steps, each at a moment between its call and its return, in
// which a store that does one thing at a time would have said the same.
//
// A step that fails is an error, unless disturb is given. That is called ahead of
// each step, from one goroutine at a time, and may make it fail: such a step may
// have happened by its return, or later, or not at all. lost is how many there
// were.
func Histories(ctx context.Context, f Fixture, disturb func()) (lost int, err error) {
	stores := f.handles()
	last := time.Now().Add(historyTime)
	for round := range uint64(historyRounds) {
		r := &recorder{stores: stores, advance: f.Advance, disturb: disturb, key: fmt.Sprint("history ", round)}
		h, err := r.run(ctx, f.Seed+round)
		for _, e := range h {
			if e.end == endless {
				lost++
			}
		}
		if err != nil && disturb == nil {
			return lost, err
		}
		if err := h.check(); err != nil {
			return lost, fmt.Errorf("round %d: %w:\n%v", round, err, h)
		}
		if time.Now().After(last) {
			break
		}
	}
	return lost, nil
}

// recorder takes random steps on one key by several clients at once.
type recorder struct {
	stores  []webhook.Store
	advance func(time.Duration)
	disturb func() // may be nil
	key     string

	clock atomic.Int64
	fence atomic.Int64 // the last one seen
	world sync.Mutex   // over advance and disturb

	mu     sync.Mutex // over what follows
	events history
	err    error // the first of a step
}

// kept is longer than all the time that a history lets pass.
const kept = 1000 * time.Hour

func (r *recorder) run(ctx context.Context, seed uint64) (history, error) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for c := range historyClients {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			<-start
			for range historySteps {
				r.step(ctx, r.stores[c%len(r.stores)], rng)
			}
		})
	}
	close(start)
	wg.Wait()
	return r.events, r.err
}

func (r *recorder) step(ctx context.Context, store webhook.Store, rng *rand.Rand) {
	what := [...]string{"claim", "claim", "claim", "claim", "retry", "maybe", "retry", "expire", "look", "done", "dead"}[rng.IntN(11)]
	if (what == "done" || what == "dead") && rng.IntN(5) > 0 {
		what = "retry" // an end would make the rest dull
	}
	if r.disturb != nil {
		r.world.Lock()
		r.disturb()
		r.world.Unlock()
	}
	runtime.Gosched() // so that steps in memory meet each other, too
	e := event{what: what, fence: r.fence.Load() - int64(rng.IntN(8)/7), began: r.clock.Add(1)}
	var err error
	switch what {
	case "claim":
		var c webhook.Claim
		c, err = store.Claim(ctx, r.key, webhook.ClaimRequest{Lease: lease, Retention: kept, BodyDigest: body})
		e.said = said{status: c.Status, machine: machine{fence: c.Fence, maybe: c.MaybeProcessed}}
		if err == nil {
			r.fence.Store(c.Fence)
		}
	case "retry", "maybe":
		err = store.Release(ctx, r.key, e.fence, what == "maybe")
	case "done":
		err = store.Complete(ctx, r.key, e.fence, nil)
	case "dead":
		err = store.Kill(ctx, r.key, e.fence)
	case "expire":
		r.world.Lock()
		r.advance(pastLease)
		r.world.Unlock()
	case "look":
		var rec webhook.Record
		rec, err = store.Lookup(ctx, r.key)
		e.said = said{machine: machine{state: rec.State, fence: rec.Fence, maybe: rec.MaybeProcessed}}
	}
	e.end = r.clock.Add(1)
	stale := errors.Is(err, webhook.ErrStaleFence)
	if stale {
		e.said.stale = true
	} else if err != nil {
		e.said, e.end = said{}, endless
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if err != nil && !stale && r.err == nil {
		r.err = fmt.Errorf("%s of %q: %w", what, r.key, err)
	}
}
