package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// slow is a store that takes its time, on the bubble's clock, and fails to give
// back as often as it is told.
type slow struct {
	*ratelimit.Memory
	takes time.Duration

	mu       sync.Mutex
	failures int
	refunds  int
}

// wait makes no timer for no time: the race detector of Go 1.26 crashes when
// goroutines of one bubble run timers that are due at once.
func (s *slow) wait(ctx context.Context) error {
	if s.takes == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(s.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	if err := s.wait(ctx); err != nil {
		return ratelimit.Decision{}, err
	}
	return s.Memory.AllowN(ctx, key, limit, cost)
}

func (s *slow) Refund(ctx context.Context, key string, limit ratelimit.Limit, d ratelimit.Decision) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refunds++
	if s.failures > 0 {
		s.failures--
		return errDown
	}
	return s.Memory.Refund(ctx, key, limit, d)
}

func (s *slow) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refunds
}

// giver is a middleware on a slow store in front of an app that answers 303.
type giver struct {
	*ratelimit.Middleware
	t       *testing.T
	store   *slow
	handler http.Handler
	mu      sync.Mutex
	told    map[ratelimit.Outcome]int
}

func newGiver(t *testing.T, takes time.Duration, policies ...ratelimit.Policy) *giver {
	g := &giver{t: t, store: &slow{Memory: newMemory(t, ratelimit.MemoryConfig{}), takes: takes}, told: map[ratelimit.Outcome]int{}}
	m, err := ratelimit.New(ratelimit.Config{Policies: policies, Limiter: g.store, OnEvent: func(e ratelimit.Event) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.told[e.Outcome]++
	}})
	if err != nil {
		t.Fatal(err)
	}
	g.Middleware = m
	g.handler = m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSeeOther) }))
	return g
}

func (g *giver) count(o ratelimit.Outcome) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.told[o]
}

// do wants that status, within 90 ms.
func (g *giver) do(status int) {
	g.t.Helper()
	w := httptest.NewRecorder()
	start := time.Now()
	g.handler.ServeHTTP(w, login())
	if took := time.Since(start); took > 90*time.Millisecond {
		g.t.Errorf("took %v", took)
	}
	if w.Code != status {
		g.t.Errorf("status %d, want %d", w.Code, status)
	}
}

func TestARequestWaitsForItsRefundsNoLongerThanForItsDecisions(t *testing.T) {
	for _, takes := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 85 * time.Millisecond} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGiver(t, takes, failures())
				g.do(303)
				if err := g.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if g.count(ratelimit.Refunded) != 1 {
					t.Error("not given back")
				}
				g.do(303)
				_ = g.Close(t.Context())
			})
		})
	}
	t.Run("several policies of which the last refuses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGiver(t, 8*time.Millisecond, keyed("a", 9, "ip"), keyed("b", 9, "ip"), keyed("c", 9, "ip"), keyed("d", 9, "ip"), keyed("e", 1, "ip"))
			g.do(303)
			g.do(429)
			_ = g.Close(t.Context())
			if g.store.count() != 4 {
				t.Errorf("%d given back, want 4", g.store.count())
			}
		})
	})
}

func TestAFastRefundIsThereBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiver(t, time.Millisecond, failures())
		for range 20 {
			g.do(303)
		}
	})
}

func TestARefundThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiver(t, 0, failures())
		g.store.failures = 3
		g.do(303)
		if g.count(ratelimit.Refunded) != 0 || g.count(ratelimit.StoreError) != 1 {
			t.Errorf("told %v", g.told)
		}
		g.do(429)
		time.Sleep(3500 * time.Millisecond) // 0.5 s, 1 s, 2 s
		synctest.Wait()
		if g.count(ratelimit.Refunded) != 1 || g.count(ratelimit.StoreError) != 3 {
			t.Errorf("told %v", g.told)
		}
		g.do(303)
	})
}

// Nothing there tells one admission of a counter from another.
func TestARefundThatIsNotExactIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiver(t, 0, failures(func(p *ratelimit.Policy) { p.Algorithm = ratelimit.SlidingCounter }))
		g.store.failures = 1
		g.do(303)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if g.store.count() != 1 {
			t.Errorf("tried %d times", g.store.count())
		}
	})
}

func TestCloseEndsWhatIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiver(t, 0, failures())
		g.store.failures = 99
		g.do(303)
		start := time.Now()
		if err := errors.Join(g.Close(t.Context()), g.Close(t.Context())); err != nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRefundsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 256
		g := newGiver(t, 0, failures(func(p *ratelimit.Policy) { p.Limit = 512 }))
		g.store.failures = 1 << 20
		for range most + 10 {
			g.do(303)
		}
		if n := g.count(ratelimit.StoreError); n != most+10 {
			t.Errorf("told of %d failures", n)
		}
		if g.store.count() != most+10 {
			t.Errorf("%d were tried, want %d", g.store.count(), most+10)
		}
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		if g.store.count() != 2*most+10 {
			t.Errorf("%d were tried, want %d of them again", g.store.count(), most)
		}
		_ = g.Close(t.Context())
	})
}

// Those that wait to be tried again take no room from those that come.
func TestARefundIsTriedThoughManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiver(t, 0, failures(func(p *ratelimit.Policy) { p.Limit = 512 }))
		g.store.failures = 300
		for range 300 {
			g.do(303)
		}
		for range 300 {
			g.do(303)
		}
		if n := g.count(ratelimit.Refunded); n != 300 {
			t.Errorf("%d given back while others wait, want 300", n)
		}
		_ = g.Close(t.Context())
	})
}

func TestCloseAmidRequests(t *testing.T) {
	g := newGiver(t, 0, failures(func(p *ratelimit.Policy) { p.Limit = 512 }))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				g.handler.ServeHTTP(httptest.NewRecorder(), login())
			}
		})
	}
	for range 200 {
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// A request that does not wait cannot hear of it, nor its server recover from it.
func TestAPanicOfOnEventEndsNoProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{Memory: newMemory(t, ratelimit.MemoryConfig{}), takes: 80 * time.Millisecond}
		m, err := ratelimit.New(ratelimit.Config{Policies: []ratelimit.Policy{failures()}, Limiter: store, OnEvent: func(e ratelimit.Event) {
			if e.Outcome == ratelimit.Refunded {
				panic("of OnEvent")
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSeeOther) }))
		h.ServeHTTP(httptest.NewRecorder(), login())
		if err := m.Close(t.Context()); err != nil || store.count() != 1 {
			t.Errorf("%v, %d given back", err, store.count())
		}
	})
}

func TestMiddlewaresAroundEachOtherHearTheSame(t *testing.T) {
	for name, says := range map[string]http.HandlerFunc{
		"by header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Handrail-Outcome", "failure")
			w.WriteHeader(http.StatusSeeOther)
		},
		"by report": func(w http.ResponseWriter, r *http.Request) {
			ratelimit.ReportFailure(r.Context())
			w.WriteHeader(http.StatusSeeOther)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inner, _ := inFrontOf(t, one(failures(func(p *ratelimit.Policy) { p.Limit = 9 })), says)
			outer, _ := inFrontOf(t, one(failures(func(p *ratelimit.Policy) { p.Limit = 2 })), inner.ServeHTTP)
			for i, want := range []int{303, 303, 429} {
				w := httptest.NewRecorder()
				if outer.ServeHTTP(w, login()); w.Code != want {
					t.Errorf("request %d: status %d, want %d", i, w.Code, want)
				}
			}
		})
	}
}
