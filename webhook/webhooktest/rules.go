package webhooktest

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var claimRules = []Rule{
	rule("an absent key is claimed with fence 1 and attempt 1", func(d *driver) {
		d.record("k", webhook.Record{})
		d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1})
		d.record("k", webhook.Record{State: webhook.StateClaimed, Fence: 1, Attempt: 1, BodyDigest: body})
	}),
	rule("a claimed key is in flight for others until its lease ends", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		for range 3 {
			d.want("k", request, webhook.Claim{Status: webhook.InFlight, Fence: 1, Attempt: 1})
			d.Advance(10 * time.Second)
		}
		d.want("k", request, webhook.Claim{Status: webhook.InFlight, Fence: 1, Attempt: 1})
		d.Advance(10 * time.Second)
		d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
	}),
	rule("the lease is that of the last claim", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		d.Advance(pastLease)
		longer := request
		longer.Lease = lease + 50*time.Second
		d.want("k", longer, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
		d.Advance(pastLease)
		d.want("k", longer, webhook.Claim{Status: webhook.InFlight, Fence: 2, Attempt: 2, MaybeProcessed: true})
	}),
	rule("fences go up by one with each claim, however the last one ended", func(d *driver) {
		maybe := false
		for fence := int64(1); fence <= 9; fence++ {
			d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: fence, Attempt: int(fence), MaybeProcessed: maybe})
			switch fence % 3 {
			case 0:
				d.Advance(pastLease)
				maybe = true
			case 1:
				d.settle("k", fence, release(false))
			case 2:
				d.settle("k", fence, release(true))
				maybe = true
			}
		}
	}),
	rule("keys do not touch each other", func(d *driver) {
		d.bring("a", webhook.StateDone)
		d.bring("b", webhook.StateDead)
		d.bring("c", webhook.StateRetry)
		d.bring("d", webhook.StateClaimed)
		d.bring("A", webhook.StateClaimed)
		d.bring("a ", webhook.StateClaimed)
		d.want("a", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1})
		d.want("b", request, webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
		d.want("c", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2})
		d.want("d", request, webhook.Claim{Status: webhook.InFlight, Fence: 1, Attempt: 1})
	}),
	rule("a context that has ended is an error", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		ctx, cancel := context.WithCancel(d.ctx)
		cancel()
		if _, err := d.Store.Claim(ctx, "other", request); err == nil {
			d.failf("Claim: no error")
		}
		if _, err := d.Store.Lookup(ctx, "k"); err == nil {
			d.failf("Lookup: no error")
		}
		for _, s := range []step{complete(nil), release(true), kill()} {
			if err := s.call(ctx, d.Store, "k", 1); err == nil {
				d.failf("%s: no error", s.name)
			}
		}
	}),
}

var answer = &webhook.Answer{Status: 202, ContentType: "text/plain; charset=utf-8", Body: []byte("a\x00\xff")}

var settleRules = []Rule{
	rule("a completed key is done, and hands out its answer", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		d.settle("k", 1, complete(answer))
		for range 2 {
			d.want("k", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1, Answer: answer})
		}
		d.record("k", webhook.Record{State: webhook.StateDone, Fence: 1, Attempt: 1, BodyDigest: body, Answer: answer})
	}),
	rule("a released key can be claimed at once, unmarked", func(d *driver) {
		d.bring("k", webhook.StateRetry)
		d.record("k", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, BodyDigest: body})
		d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2})
	}),
	rule("maybe processed, once set, stays", func(d *driver) {
		d.bring("k", webhook.StateClaimed)
		d.settle("k", 1, release(true))
		d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
		d.settle("k", 2, release(false))
		d.want("k", request, webhook.Claim{Status: webhook.Claimed, Fence: 3, Attempt: 3, MaybeProcessed: true})
		d.settle("k", 3, complete(nil))
		d.want("k", request, webhook.Claim{Status: webhook.Done, Fence: 3, Attempt: 3, MaybeProcessed: true})
	}),
	rule("a dead key is never claimed", func(d *driver) {
		d.bring("k", webhook.StateDead)
		d.Advance(pastLease)
		d.want("k", request, webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
	}),
	rule("a stale fence changes nothing", func(d *driver) {
		states := []webhook.State{webhook.StateAbsent, webhook.StateClaimed, webhook.StateRetry, webhook.StateDone, webhook.StateDead}
		for _, state := range states {
			for _, s := range []step{complete(answer), release(true), release(false), kill()} {
				key := fmt.Sprintf("%v/%s", state, s.name)
				d.bring(key, state)
				d.stale(key, 0, s)
				d.stale(key, 2, s)
				d.stale(key, -1, s)
				if state != webhook.StateClaimed && state != s.to {
					d.stale(key, 1, s)
				}
			}
		}
	}),
	rule("the fence of a lost claim is stale in every later state", func(d *driver) {
		for _, s := range []step{complete(answer), release(true), release(false), kill()} {
			for _, later := range []step{complete(nil), release(false), kill()} {
				key := s.name + " after " + later.name
				d.bring(key, webhook.StateClaimed)
				d.Advance(pastLease)
				d.want(key, request, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
				d.stale(key, 1, s)
				d.settle(key, 2, later)
				d.stale(key, 1, s)
			}
		}
	}),
	rule("a claim past its lease is settled when nobody has claimed since", func(d *driver) {
		for _, s := range []step{complete(nil), release(false), kill()} {
			d.bring(s.name, webhook.StateClaimed)
			d.Advance(pastLease)
			d.settle(s.name, 1, s)
			d.record(s.name, webhook.Record{State: s.to, Fence: 1, Attempt: 1, BodyDigest: body})
		}
	}),
	rule("the step that settled a claim succeeds again and changes nothing", func(d *driver) {
		d.bring("done", webhook.StateClaimed)
		d.settle("done", 1, complete(answer))
		d.settle("done", 1, complete(&webhook.Answer{Status: 500}))
		d.record("done", webhook.Record{State: webhook.StateDone, Fence: 1, Attempt: 1, BodyDigest: body, Answer: answer})
		d.bring("retry", webhook.StateRetry)
		d.settle("retry", 1, release(true))
		d.record("retry", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, BodyDigest: body})
		d.bring("dead", webhook.StateDead)
		d.settle("dead", 1, kill())
		d.record("dead", webhook.Record{State: webhook.StateDead, Fence: 1, Attempt: 1, BodyDigest: body})
	}),
}

var bodyRules = []Rule{
	rule("the first body of a key is the one kept", func(d *driver) {
		d.bring("k", webhook.StateRetry)
		changed := request
		changed.BodyDigest = otherBody
		d.want("k", changed, webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, BodyChanged: true})
		d.want("k", changed, webhook.Claim{Status: webhook.InFlight, Fence: 2, Attempt: 2, BodyChanged: true})
		d.settle("k", 2, complete(nil))
		d.want("k", changed, webhook.Claim{Status: webhook.Done, Fence: 2, Attempt: 2, BodyChanged: true})
		d.want("k", request, webhook.Claim{Status: webhook.Done, Fence: 2, Attempt: 2})
	}),
	rule("another body is refused in every state when asked for, and changes nothing", func(d *driver) {
		for _, state := range []webhook.State{webhook.StateClaimed, webhook.StateRetry, webhook.StateDone, webhook.StateDead} {
			key := state.String()
			d.bring(key, state)
			before := webhook.Record{State: state, Fence: 1, Attempt: 1, BodyDigest: body}
			d.want(key, strict(otherBody), webhook.Claim{Status: webhook.OtherBody, Fence: 1, Attempt: 1, BodyChanged: true})
			d.record(key, before)
		}
		d.want("retry", strict(body), webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2})
		d.Advance(pastLease)
		d.want("claimed", strict(otherBody), webhook.Claim{Status: webhook.OtherBody, Fence: 1, Attempt: 1, BodyChanged: true})
		d.want("claimed", strict(body), webhook.Claim{Status: webhook.Claimed, Fence: 2, Attempt: 2, MaybeProcessed: true})
		d.want("new", strict(otherBody), webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1})
	}),
}
