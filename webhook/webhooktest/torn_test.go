package webhooktest_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// shelf keeps records, one read or one write at a time.
type shelf struct {
	mu      sync.Mutex
	records map[string]shelved
	// claims and settles are held for the steps that they name. Of a sound
	// store they are one.
	claims, settles sync.Locker
}

type shelved struct {
	webhook.Record
	leaseUntil, keptUntil time.Time
	retention             time.Duration
}

// torn is a store whose steps read, and then write. With one lock for all of
// its shelf it is sound.
type torn struct {
	*shelf
	clock *clock

	early  bool                        // reads the clock before it waits for its turn
	fences map[string]int64            // the last fence that this handle gave, when it counts itself
	lost   func(to webhook.State) bool // whether a step that settles is lost
}

func (s *torn) get(key string, now time.Time) shelved {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[key]; now.Before(r.keptUntil) {
		return r
	}
	return shelved{}
}

// put writes after a gap, in which others have their turn.
func (s *torn) put(key string, r shelved) {
	for range 5 {
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[key] = r
}

func (s *torn) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if err := ctx.Err(); err != nil {
		return webhook.Claim{}, err
	}
	now := s.clock.Now()
	if s.early {
		runtime.Gosched()
	}
	s.claims.Lock()
	defer s.claims.Unlock()
	if !s.early {
		now = s.clock.Now()
	}
	r := s.get(key, now)
	if r.State == webhook.StateAbsent {
		r.BodyDigest = req.BodyDigest
	}
	c := webhook.Claim{Fence: r.Fence, Attempt: r.Attempt, MaybeProcessed: r.MaybeProcessed, BodyChanged: r.BodyDigest != req.BodyDigest}
	switch {
	case c.BodyChanged && req.SameBody:
		c.Status = webhook.OtherBody
	case r.State == webhook.StateDone:
		c.Status, c.Answer = webhook.Done, r.Answer
	case r.State == webhook.StateDead:
		c.Status = webhook.Dead
	case r.State == webhook.StateClaimed && now.Before(r.leaseUntil):
		c.Status, c.LeaseLeft = webhook.InFlight, r.leaseUntil.Sub(now)
	default:
		r.MaybeProcessed = r.MaybeProcessed || r.State == webhook.StateClaimed
		r.State, r.Fence, r.Attempt = webhook.StateClaimed, r.Fence+1, r.Attempt+1
		if s.fences != nil {
			if r.Fence > 1 {
				r.Fence = s.fences[key] + 1
			}
			s.fences[key] = r.Fence
		}
		r.retention, r.leaseUntil = req.Retention, now.Add(req.Lease)
		r.keptUntil = r.leaseUntil.Add(req.Retention)
		s.put(key, r)
		c.Status, c.Fence, c.Attempt, c.MaybeProcessed = webhook.Claimed, r.Fence, r.Attempt, r.MaybeProcessed
	}
	return c, nil
}

func (s *torn) settle(ctx context.Context, key string, fence int64, to webhook.State, change func(*shelved)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.lost != nil && s.lost(to) {
		return nil
	}
	s.settles.Lock()
	defer s.settles.Unlock()
	now := s.clock.Now()
	r := s.get(key, now)
	switch {
	case r.State == webhook.StateAbsent || r.Fence != fence:
		return webhook.ErrStaleFence
	case r.State == to:
		return nil
	case r.State != webhook.StateClaimed:
		return webhook.ErrStaleFence
	}
	r.State, r.keptUntil = to, now.Add(r.retention)
	change(&r)
	s.put(key, r)
	return nil
}

func (s *torn) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	return s.settle(ctx, key, fence, webhook.StateDone, func(r *shelved) { r.Answer = a })
}

func (s *torn) Release(ctx context.Context, key string, fence int64, maybe bool) error {
	return s.settle(ctx, key, fence, webhook.StateRetry, func(r *shelved) { r.MaybeProcessed = r.MaybeProcessed || maybe })
}

func (s *torn) Kill(ctx context.Context, key string, fence int64) error {
	return s.settle(ctx, key, fence, webhook.StateDead, func(*shelved) {})
}

func (s *torn) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	s.claims.Lock()
	defer s.claims.Unlock()
	return s.get(key, s.clock.Now()).Record, ctx.Err()
}

// free stands for no lock at all.
type free struct{}

func (free) Lock()   {}
func (free) Unlock() {}

func tornPair() (a, b *torn) {
	one := new(sync.Mutex)
	s := &shelf{records: make(map[string]shelved), claims: one, settles: one}
	c := &clock{now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	return &torn{shelf: s, clock: c}, &torn{shelf: s, clock: c}
}

func TestAStoreOfStepsInALockIsSound(t *testing.T) {
	webhooktest.Run(t, func(*testing.T) webhooktest.Fixture {
		a, b := tornPair()
		return webhooktest.Fixture{Store: a, Advance: a.clock.Advance, Another: func() webhook.Store { return b }}
	})
}

const (
	oneAtATime = "what concurrent steps say is what one at a time could have said"
	oneClaims  = "of 100 concurrent copies one claims"
)

// What shows only while steps meet each other.
func TestFaultsThatOnlyMeetingsShow(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(a, b *torn)
		rule  string
		only  bool // no other rule finds it
	}{
		"it reads, then writes":                                  {func(a, _ *torn) { a.claims, a.settles = free{}, free{} }, oneClaims, false},
		"a claim and a settling step do not wait for each other": {func(a, _ *torn) { a.settles = new(sync.Mutex) }, oneAtATime, true},
		"the clock is read ahead of the step's turn":             {func(a, b *torn) { a.early, b.early = true, true }, oneAtATime, true},
		"each process counts fences, which a crash resets": {func(a, b *torn) {
			a.fences, b.fences = make(map[string]int64), make(map[string]int64)
		}, oneAtATime, true},
		"a completion that meets a claim is lost": {func(a, b *torn) {
			lost := func(to webhook.State) bool {
				one := a.claims.(*sync.Mutex)
				if to != webhook.StateDone || !one.TryLock() {
					return to == webhook.StateDone
				}
				one.Unlock()
				return false
			}
			a.lost, b.lost = lost, lost
		}, oneAtATime, false},
	} {
		t.Run(name, func(t *testing.T) {
			open := func() webhooktest.Fixture {
				a, b := tornPair()
				tt.fault(a, b)
				return webhooktest.Fixture{Store: a, Advance: a.clock.Advance, Another: func() webhook.Store { return b }}
			}
			for _, rule := range webhooktest.Rules() {
				if rule.Name != tt.rule && !tt.only {
					continue
				}
				if found := finds(t, []webhooktest.Rule{rule}, open); (found != "") != (rule.Name == tt.rule) {
					t.Errorf("%q: broken %t", rule.Name, found != "")
				}
			}
		})
	}
}
