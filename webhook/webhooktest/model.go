package webhooktest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// model is the state machine in its plainest form: one goroutine, a clock that
// only Advance moves.
type model struct {
	now  time.Duration
	keys map[string]*modelKey
}

type modelKey struct {
	webhook.Record
	leaseUntil, keptUntil, retention time.Duration
}

func (m *model) get(key string) *modelKey {
	k := m.keys[key]
	if k == nil || m.now >= k.keptUntil {
		return &modelKey{}
	}
	return k
}

func (m *model) claim(key string, req webhook.ClaimRequest) webhook.Claim {
	k := *m.get(key)
	if k.State == webhook.StateAbsent {
		k.BodyDigest = req.BodyDigest
	}
	c := webhook.Claim{
		Fence: k.Fence, Attempt: k.Attempt, MaybeProcessed: k.MaybeProcessed,
		BodyChanged: k.BodyDigest != req.BodyDigest,
	}
	switch {
	case req.SameBody && c.BodyChanged:
		c.Status = webhook.OtherBody
	case k.State == webhook.StateDone:
		c.Status, c.Answer = webhook.Done, k.Answer
	case k.State == webhook.StateDead:
		c.Status = webhook.Dead
	case k.State == webhook.StateClaimed && m.now < k.leaseUntil:
		c.Status = webhook.InFlight
	default:
		k.MaybeProcessed = k.MaybeProcessed || k.State == webhook.StateClaimed
		k.State, k.Fence, k.Attempt = webhook.StateClaimed, k.Fence+1, k.Attempt+1
		k.leaseUntil, k.retention = m.now+req.Lease, req.Retention
		k.keptUntil = k.leaseUntil + req.Retention
		m.keys[key] = &k
		c.Status, c.Fence, c.Attempt, c.MaybeProcessed = webhook.Claimed, k.Fence, k.Attempt, k.MaybeProcessed
	}
	return c
}

func (m *model) settle(key string, fence int64, to webhook.State, maybe bool, a *webhook.Answer) error {
	k := m.get(key)
	switch {
	case k.Fence != fence || k.State == webhook.StateAbsent:
		return webhook.ErrStaleFence
	case k.State == to:
		return nil
	case k.State != webhook.StateClaimed:
		return webhook.ErrStaleFence
	}
	k.State, k.Answer, k.keptUntil = to, a, m.now+k.retention
	k.MaybeProcessed = k.MaybeProcessed || maybe
	return nil
}

const modelSteps = 600

var modelRules = []Rule{
	rule("random steps agree with the model", func(d *driver) {
		rng := rand.New(rand.NewPCG(d.Seed, 0))
		m := &model{keys: make(map[string]*modelKey)}
		for i := 0; i < modelSteps && d.err == nil; i++ {
			said := d.randomStep(rng, m)
			if d.err != nil {
				d.err = fmt.Errorf("step %d of seed %d: %s: %w", i, d.Seed, said, d.err)
			}
		}
	}),
}

// randomStep takes one step on both sides and compares; it returns what it was.
func (d *driver) randomStep(rng *rand.Rand, m *model) string {
	key := [...]string{"a", "b", "c"}[rng.IntN(3)]
	defer func() { d.record(key, m.get(key).Record) }()
	// Mostly the current fence, sometimes its neighbours.
	fence := m.get(key).Fence + [...]int64{0, 0, 0, 0, -1, 1}[rng.IntN(6)]
	compare := func(got, want any) {
		if !reflect.DeepEqual(got, want) {
			d.failf("got %+v, want %+v", got, want)
		}
	}
	settled := func(err, want error) {
		if !errors.Is(err, want) {
			d.failf("got %v, want %v", err, want)
		}
	}
	switch n := rng.IntN(100); {
	case n < 45:
		req := webhook.ClaimRequest{
			Lease:      lease + time.Duration(rng.IntN(3))*20*time.Second,
			Retention:  [...]time.Duration{49 * time.Second, retention}[rng.IntN(2)],
			BodyDigest: [...]webhook.Digest{body, body, otherBody}[rng.IntN(3)],
			SameBody:   rng.IntN(4) == 0,
		}
		got := d.claim(key, req)
		got.LeaseLeft = 0
		compare(got, m.claim(key, req))
		return fmt.Sprintf("Claim(%q, %+v)", key, req)
	case n < 55:
		a := [...]*webhook.Answer{nil, answer}[rng.IntN(2)]
		settled(d.Store.Complete(d.ctx, key, fence, a), m.settle(key, fence, webhook.StateDone, false, a))
		return fmt.Sprintf("Complete(%q, %d)", key, fence)
	case n < 75:
		maybe := rng.IntN(2) == 0
		settled(d.Store.Release(d.ctx, key, fence, maybe), m.settle(key, fence, webhook.StateRetry, maybe, nil))
		return fmt.Sprintf("Release(%q, %d, %t)", key, fence, maybe)
	case n < 78:
		settled(d.Store.Kill(d.ctx, key, fence), m.settle(key, fence, webhook.StateDead, false, nil))
		return fmt.Sprintf("Kill(%q, %d)", key, fence)
	case n < 80:
		d.purge()
		return "Purge()"
	default:
		by := time.Duration(1+rng.IntN(6)) * 10 * time.Second
		if rng.IntN(20) == 0 {
			by = pastRetention
		}
		d.Advance(by)
		m.now += by
		return fmt.Sprintf("Advance(%v)", by)
	}
}
