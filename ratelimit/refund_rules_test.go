package ratelimit_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

func TestARefundEndsALockoutOfWhateverTiers(t *testing.T) {
	for name, second := range map[string]int{"another count": 4, "the same count": 3} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, 0)
			limit := ratelimit.Limit{Count: 3, Window: time.Hour, Lockout: &ratelimit.Lockout{Tiers: []ratelimit.Tier{
				{Count: 3, Window: time.Hour, Block: 2 * time.Hour},
				{Count: second, Window: 24 * time.Hour, Block: 24 * time.Hour},
			}}}
			for i := range 10 {
				d := b.allow("k", limit)
				if !d.Allowed {
					t.Fatalf("call %d, after nothing but refunds: %+v", i, d)
				}
				_ = b.Refund(t.Context(), "k", limit, d)
			}
		})
	}
}

func TestASuccessGivesAllBackWhateverTheBurst(t *testing.T) {
	for name, limit := range map[string]int{"as large as the count": 10, "above the count": 2} {
		t.Run(name, func(t *testing.T) {
			h, _ := inFrontOf(t, one(failures(func(p *ratelimit.Policy) {
				p.Algorithm, p.Limit, p.Burst = ratelimit.GCRA, limit, 10
				p.Cost = func(*http.Request) int { return 5 }
			})), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(303) })
			for i := range 8 {
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, login()); w.Code != 303 {
					t.Fatalf("request %d: %d", i, w.Code)
				}
			}
		})
	}
}

// TestSuccessesOfBeforeMakeNoRoomUnderAnotherAlgorithm: a policy is given
// another one while calls are under way that will succeed.
func TestSuccessesOfBeforeMakeNoRoomUnderAnotherAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory(t, ratelimit.MemoryConfig{})
		behind := func(a ratelimit.Algorithm, h http.HandlerFunc) func() int {
			cfg := one(failures(func(p *ratelimit.Policy) { p.Algorithm, p.Limit = a, 8 }))
			cfg.Limiter = shared
			wrapped, _ := inFrontOf(t, cfg, h)
			return func() int {
				w := httptest.NewRecorder()
				wrapped.ServeHTTP(w, login())
				return w.Code
			}
		}
		end := make(chan struct{})
		before := behind(ratelimit.SlidingWindow, func(w http.ResponseWriter, _ *http.Request) {
			<-end
			w.WriteHeader(303)
		})
		after := behind(ratelimit.SlidingCounter, func(http.ResponseWriter, *http.Request) {})
		for range 8 {
			go before()
		}
		synctest.Wait()
		failed := 0
		guess := func() {
			for range 10 {
				if after() == http.StatusOK {
					failed++
				}
			}
		}
		guess()
		close(end)
		synctest.Wait()
		guess()
		if failed != 8 {
			t.Errorf("%d guesses came through, want 8", failed)
		}
	})
}
