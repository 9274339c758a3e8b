package webhooktest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/handrail-go/handrail/webhook"
)

const copies = 100

// together runs call for each of n at the same moment and waits for all.
func together(n int, call func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	wg.Wait()
}

var concurrencyRules = []Rule{
	rule("of 100 concurrent copies one claims", func(d *driver) {
		for round := range 5 {
			d.contend(fmt.Sprintf("absent %d", round), 1, false)
		}
		d.bring("retry", webhook.StateRetry)
		d.contend("retry", 2, false)
		d.bring("expired", webhook.StateClaimed)
		d.Advance(pastLease)
		d.contend("expired", 2, true)
	}),
	rule("of concurrent steps with one fence one settles the claim", func(d *driver) {
		steps := []step{complete(nil), release(false), kill()}
		for round := range 10 {
			key := fmt.Sprintf("k %d", round)
			d.bring(key, webhook.StateClaimed)
			if d.err != nil {
				return
			}
			errs := make([]error, len(steps))
			together(len(steps), func(i int) { errs[i] = steps[i].call(d.ctx, d.Store, key, 1) })
			settled := -1
			for i, err := range errs {
				switch {
				case err == nil && settled >= 0:
					d.failf("both %s and %s settled the claim", steps[settled].name, steps[i].name)
				case err == nil:
					settled = i
				case !errors.Is(err, webhook.ErrStaleFence):
					d.failf("%s: %w", steps[i].name, err)
				}
			}
			if settled < 0 {
				d.failf("no step settled the claim")
				return
			}
			d.record(key, webhook.Record{State: steps[settled].to, Fence: 1, Attempt: 1, BodyDigest: body})
		}
	}),
	rule("claimers that retry at once get one fence each", func(d *driver) {
		const claimers, each = 8, 10
		var mu sync.Mutex
		seen := make(map[int64]bool)
		together(claimers, func(int) {
			for n := 0; n < each; {
				c, err := d.Store.Claim(d.ctx, "k", request)
				if err == nil && c.Status != webhook.Claimed {
					continue
				}
				mu.Lock()
				if err != nil {
					d.failf("Claim: %w", err)
				}
				if seen[c.Fence] {
					d.failf("fence %d was given twice", c.Fence)
				}
				failed := d.err != nil
				seen[c.Fence] = true
				mu.Unlock()
				if failed {
					return
				}
				if err := d.Store.Release(d.ctx, "k", c.Fence, false); err != nil {
					mu.Lock()
					d.failf("Release: %w", err)
					mu.Unlock()
					return
				}
				n++
			}
		})
		d.record("k", webhook.Record{State: webhook.StateRetry, Fence: claimers * each, Attempt: claimers * each, BodyDigest: body})
	}),
}

// contend lets 100 claim key at once; one gets it with the fence.
func (d *driver) contend(key string, fence int64, maybe bool) {
	if d.err != nil {
		return
	}
	claims := make([]webhook.Claim, copies)
	errs := make([]error, copies)
	together(copies, func(i int) { claims[i], errs[i] = d.Store.Claim(d.ctx, key, request) })
	claimed := 0
	for i, c := range claims {
		switch {
		case errs[i] != nil:
			d.failf("Claim(%q): %w", key, errs[i])
		case c.Status == webhook.Claimed:
			claimed++
			if c.MaybeProcessed != maybe {
				d.failf("Claim(%q): maybe processed %t, want %t", key, c.MaybeProcessed, maybe)
			}
		case c.Status != webhook.InFlight:
			d.failf("Claim(%q): %v", key, c.Status)
		}
		if errs[i] == nil && c.Fence != fence {
			d.failf("Claim(%q): fence %d, want %d", key, c.Fence, fence)
		}
	}
	if claimed != 1 {
		d.failf("%d of %d copies of %q claimed it, want 1", claimed, copies, key)
	}
}
