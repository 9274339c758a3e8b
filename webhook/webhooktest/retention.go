package webhooktest

import (
	"context"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

type purger interface {
	Purge(ctx context.Context) (int64, error)
}

// purge purges where the store can.
func (d *driver) purge() {
	p, ok := d.Store.(purger)
	if !ok || d.err != nil {
		return
	}
	if _, err := p.Purge(d.ctx); err != nil {
		d.failf("Purge: %w", err)
	}
}

var retentionRules = []Rule{
	rule("done and dead stay so until their retention ends, purged or not", func(d *driver) {
		d.bring("done", webhook.StateClaimed)
		d.settle("done", 1, complete(answer))
		d.bring("dead", webhook.StateDead)
		d.Advance(pastRetention - 10*time.Second)
		for range 2 {
			d.want("done", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1, Answer: answer})
			d.want("dead", request, webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
			d.purge()
		}
	}),
	rule("the retention counts from the step that settled the claim", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		d.Advance(10 * lease)
		d.settle("k", 1, complete(nil))
		d.Advance(pastRetention - 10*time.Second)
		d.purge()
		d.want("k", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1})
		d.Advance(10 * time.Second)
		d.record("k", webhook.Record{})
	}),
	rule("past its retention a key is absent, before and after a purge", func(d *driver) {
		for _, state := range []webhook.State{webhook.StateRetry, webhook.StateDone, webhook.StateDead} {
			for _, purged := range []bool{false, true} {
				key := state.String()
				if purged {
					key += "/purged"
				}
				d.bring(key, webhook.StateClaimed)
				d.settle(key, 1, release(true))
				d.want(key, request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
				switch state {
				case webhook.StateRetry:
					d.settle(key, 2, release(true))
				case webhook.StateDone:
					d.settle(key, 2, complete(answer))
				case webhook.StateDead:
					d.settle(key, 2, kill())
				}
				d.Advance(pastRetention)
				if purged {
					d.purge()
				}
				d.record(key, webhook.Record{})
				d.stale(key, 2, complete(nil))
				d.want(key, strict(otherBody), webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1})
				d.settle(key, 1, complete(nil))
				d.want(key, strict(otherBody), webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1})
			}
		}
	}),
	rule("a claim and a key to retry outlive the lease by the retention", func(d *driver) {
		d.bring("claimed", webhook.StateClaimed)
		d.bring("retry", webhook.StateRetry)
		d.Advance(pastRetention - 10*time.Second)
		d.purge()
		d.want("retry", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2})
		d.Advance(30 * time.Second)
		d.purge()
		d.want("claimed", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
	}),
	rule("a purge counts what it deletes and leaves the rest", func(d *driver) {
		p, ok := d.Store.(purger)
		if !ok {
			return
		}
		for _, key := range []string{"a", "b", "c"} {
			d.bring(key, webhook.StateDone)
		}
		d.Advance(pastRetention)
		d.bring("d", webhook.StateDone)
		for _, want := range []int64{3, 0} {
			n, err := p.Purge(d.ctx)
			if err != nil || n != want {
				d.failf("Purge: %d, %v; want %d", n, err, want)
			}
		}
		d.want("d", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1})
	}),
}
