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

// clock is a clock that only moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func memory(t *testing.T) (*webhook.Memory, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	m, err := webhook.NewMemory(webhook.MemoryConfig{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return m, c
}

func TestMemory(t *testing.T) {
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
		m, c := memory(t)
		return webhooktest.Fixture{Store: m, Advance: c.Advance}
	})
}

// mutant is a store with a fault. A nil function is that of the sound store.
type mutant struct {
	*webhook.Memory
	claim   func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error)
	settle  func(key string, fence int64) (int64, error) // replaces the fence
	release func(maybe bool) bool
}

func (m *mutant) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if m.claim == nil {
		return m.Memory.Claim(ctx, key, req)
	}
	return m.claim(ctx, key, req)
}

func (m *mutant) fence(key string, fence int64) (int64, error) {
	if m.settle == nil {
		return fence, nil
	}
	return m.settle(key, fence)
}

func (m *mutant) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	fence, err := m.fence(key, fence)
	if err != nil {
		return err
	}
	return m.Memory.Complete(ctx, key, fence, a)
}

func (m *mutant) Release(ctx context.Context, key string, fence int64, maybe bool) error {
	fence, err := m.fence(key, fence)
	if err != nil {
		return err
	}
	if m.release != nil {
		maybe = m.release(maybe)
	}
	return m.Memory.Release(ctx, key, fence, maybe)
}

func (m *mutant) Kill(ctx context.Context, key string, fence int64) error {
	fence, err := m.fence(key, fence)
	if err != nil {
		return err
	}
	return m.Memory.Kill(ctx, key, fence)
}

func TestEveryFaultBreaksARule(t *testing.T) {
	faults := map[string]func(m *mutant, c *clock){
		"check, then insert": func(m *mutant, _ *clock) {
			m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
				if r, err := m.Lookup(ctx, key); err != nil || r.State != webhook.StateAbsent {
					return m.Memory.Claim(ctx, key, req)
				}
				runtime.Gosched() // where another process gets its turn
				c, err := m.Memory.Claim(ctx, key, req)
				if c.Status == webhook.InFlight && c.Fence == 1 {
					c.Status, c.LeaseLeft = webhook.Claimed, 0
				}
				return c, err
			}
		},
		"lease as lifetime: an expired claim is forgotten": func(m *mutant, _ *clock) {
			m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
				c, err := m.Memory.Claim(ctx, key, req)
				if c.Status == webhook.Claimed && c.MaybeProcessed {
					c.Fence, c.Attempt, c.MaybeProcessed = 1, 1, false
				}
				return c, err
			}
		},
		"lease as lifetime: done ends with the lease": func(m *mutant, _ *clock) {
			m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
				req.Retention = req.Lease
				return m.Memory.Claim(ctx, key, req)
			}
		},
		"stale fences are accepted": func(m *mutant, _ *clock) {
			m.settle = func(key string, _ int64) (int64, error) {
				r, err := m.Lookup(context.Background(), key)
				return r.Fence, err
			}
		},
		"a release loses its mark": func(m *mutant, _ *clock) {
			m.release = func(bool) bool { return false }
		},
		"a release is always marked": func(m *mutant, _ *clock) {
			m.release = func(bool) bool { return true }
		},
		"leases never end": func(m *mutant, _ *clock) {
			m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
				req.Lease += time.Hour
				return m.Memory.Claim(ctx, key, req)
			}
		},
		"another body is let through": func(m *mutant, _ *clock) {
			m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
				req.SameBody = false
				return m.Memory.Claim(ctx, key, req)
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for _, rule := range webhooktest.Rules() {
				s, c := memory(t)
				m := &mutant{Memory: s}
				fault(m, c)
				if err := rule.Check(t.Context(), webhooktest.Fixture{Store: m, Advance: c.Advance, Seed: 1}); err != nil {
					t.Logf("broke %q: %v", rule.Name, err)
					return
				}
			}
			t.Error("no rule broke")
		})
	}
}
