package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	rule("claimers that take turns get one fence each", func(d *driver) {
		const claimers, each = 8, 10
		t := &turns{d: d, seen: make(map[int64]bool)}
		t.released.L = &t.mu
		ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
		defer cancel()
		defer context.AfterFunc(ctx, t.giveUp)()
		together(claimers, func(int) {
			for range each {
				if !t.take() {
					return
				}
			}
		})
		d.record("k", webhook.Record{State: webhook.StateRetry, Fence: claimers * each, Attempt: claimers * each, BodyDigest: body})
	}),
}

// turns lets several claim one key again and again, each waiting while the
// claim is another's.
type turns struct {
	d        *driver
	mu       sync.Mutex // over what follows and d.err, never across the store
	released sync.Cond
	releases int
	seen     map[int64]bool
}

// giveUp wakes those who wait for a release that does not come.
func (t *turns) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.d.failf("a key that was released stays in flight")
	t.released.Broadcast()
}

// take claims and releases the key once; false when something is wrong.
func (t *turns) take() bool {
	for {
		t.mu.Lock()
		before, failed := t.releases, t.d.err != nil
		t.mu.Unlock()
		if failed {
			return false
		}
		c, err := t.d.Store.Claim(t.d.ctx, "k", request)
		t.mu.Lock()
		if err == nil && c.Status != webhook.Claimed {
			for t.releases == before && t.d.err == nil {
				t.released.Wait()
			}
			t.mu.Unlock()
			continue
		}
		if err != nil {
			t.d.failf("Claim: %w", err)
		} else if t.seen[c.Fence] {
			t.d.failf("fence %d was given twice", c.Fence)
		}
		t.seen[c.Fence] = true
		t.mu.Unlock()
		if err == nil {
			err = t.d.Store.Release(t.d.ctx, "k", c.Fence, false)
		}
		t.mu.Lock()
		if err != nil {
			t.d.failf("Release: %w", err)
		}
		t.releases++
		t.released.Broadcast()
		ok := t.d.err == nil
		t.mu.Unlock()
		return ok
	}
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
