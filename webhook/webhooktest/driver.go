package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/handrail-go/handrail/webhook"
)

// driver takes a store through a rule and keeps the first thing that is wrong;
// what comes after it does nothing.
type driver struct {
	ctx context.Context
	Fixture
	err error
}

func rule(name string, check func(d *driver)) Rule {
	return Rule{Name: name, Check: func(ctx context.Context, f Fixture) error {
		d := &driver{ctx: ctx, Fixture: f}
		check(d)
		return d.err
	}}
}

func (d *driver) failf(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// claim claims key, whatever comes of it.
func (d *driver) claim(key string, req webhook.ClaimRequest) webhook.Claim {
	if d.err != nil {
		return webhook.Claim{}
	}
	c, err := d.Store.Claim(d.ctx, key, req)
	if err != nil {
		d.failf("Claim(%q): %w", key, err)
	}
	return c
}

// want claims key and compares the answer, but for LeaseLeft, which it only
// bounds.
func (d *driver) want(key string, req webhook.ClaimRequest, want webhook.Claim) {
	got := d.claim(key, req)
	if d.err != nil {
		return
	}
	if inFlight := got.Status == webhook.InFlight; inFlight != (got.LeaseLeft > 0) || got.LeaseLeft > req.Lease {
		d.failf("Claim(%q): %v with %v of a lease of %v left", key, got.Status, got.LeaseLeft, req.Lease)
	}
	got.LeaseLeft = 0
	if !reflect.DeepEqual(got, want) {
		d.failf("Claim(%q) = %+v, want %+v", key, got, want)
	}
}

func (d *driver) record(key string, want webhook.Record) {
	if d.err != nil {
		return
	}
	got, err := d.Store.Lookup(d.ctx, key)
	if err != nil {
		d.failf("Lookup(%q): %w", key, err)
	}
	if !reflect.DeepEqual(got, want) {
		d.failf("Lookup(%q) = %+v, want %+v", key, got, want)
	}
}

// step is Complete, Release or Kill with its arguments but the fence.
type step struct {
	name string
	call func(ctx context.Context, s webhook.Store, key string, fence int64) error
	to   webhook.State
}

func complete(a *webhook.Answer) step {
	return step{"Complete", func(ctx context.Context, s webhook.Store, key string, fence int64) error {
		return s.Complete(ctx, key, fence, a)
	}, webhook.StateDone}
}

func release(maybe bool) step {
	return step{fmt.Sprintf("Release(%t)", maybe), func(ctx context.Context, s webhook.Store, key string, fence int64) error {
		return s.Release(ctx, key, fence, maybe)
	}, webhook.StateRetry}
}

func kill() step {
	return step{"Kill", func(ctx context.Context, s webhook.Store, key string, fence int64) error {
		return s.Kill(ctx, key, fence)
	}, webhook.StateDead}
}

func (d *driver) settle(key string, fence int64, s step) {
	if d.err != nil {
		return
	}
	if err := s.call(d.ctx, d.Store, key, fence); err != nil {
		d.failf("%s(%q, fence %d): %w", s.name, key, fence, err)
	}
}

// stale takes the step and wants it refused with nothing changed.
func (d *driver) stale(key string, fence int64, s step) {
	if d.err != nil {
		return
	}
	before, err := d.Store.Lookup(d.ctx, key)
	if err != nil {
		d.failf("Lookup(%q): %w", key, err)
		return
	}
	if err := s.call(d.ctx, d.Store, key, fence); !errors.Is(err, webhook.ErrStaleFence) {
		d.failf("%s(%q, fence %d) of a key that is %v at fence %d: %v, want ErrStaleFence", s.name, key, fence, before.State, before.Fence, err)
	}
	d.record(key, before)
}

// bring takes an absent key to a state, at fence 1.
func (d *driver) bring(key string, to webhook.State) {
	if to == webhook.StateAbsent {
		return
	}
	d.want(key, request, webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1})
	switch to {
	case webhook.StateRetry:
		d.settle(key, 1, release(false))
	case webhook.StateDone:
		d.settle(key, 1, complete(nil))
	case webhook.StateDead:
		d.settle(key, 1, kill())
	}
}
