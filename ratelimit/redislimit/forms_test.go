package redislimit_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
)

// ofEach is a limit of each algorithm, by name.
func ofEach(count int, window time.Duration) map[string]ratelimit.Limit {
	tiers := &ratelimit.Lockout{Tiers: []ratelimit.Tier{{Count: 2 * count, Window: 3 * window, Block: 2 * window}}}
	return map[string]ratelimit.Limit{
		"sliding_window":                {Count: count, Window: window},
		"sliding_window with a lockout": {Count: count, Window: window, Lockout: tiers},
		"sliding_counter":               {Count: count, Window: window, Algorithm: ratelimit.SlidingCounter},
		"gcra":                          {Count: count, Window: window, Algorithm: ratelimit.GCRA},
	}
}

// P8: whatever a call leaves behind ends by itself, when nothing of it matters
// any more.
func TestEveryKeyOfEveryFormEnds(t *testing.T) {
	const count, part = 4, time.Minute / ratelimit.CounterBuckets
	matters := map[string]struct{ least, most time.Duration }{
		"sliding_window":                {time.Minute, time.Minute},
		"sliding_window with a lockout": {3 * time.Minute, 3 * time.Minute},
		"sliding_counter":               {time.Minute, time.Minute + part},
		"gcra":                          {time.Minute / count, time.Minute + time.Second}, // whole seconds
	}
	client := patientClient(t, testenv.Redis(t).URL())
	l := newLimiter(t, client)
	for name, limit := range ofEach(count, time.Minute) {
		t.Run(name, func(t *testing.T) {
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			ends := func(after string) {
				t.Helper()
				for _, key := range client.Keys(t.Context(), "*").Val() {
					left, err := client.PTTL(t.Context(), key).Result()
					if err != nil {
						t.Fatal(err)
					}
					want := matters[name]
					// The server tells whole milliseconds.
					if left < want.least-time.Since(start)-time.Millisecond || left > want.most+time.Millisecond {
						t.Errorf("P8: after %s, %q ends in %v, want %v to %v", after, key, left, want.least, want.most)
					}
				}
			}
			var admitted []ratelimit.Decision
			for range count + 2 {
				if d := allow(t, l, "k", limit); d.Allowed {
					admitted = append(admitted, d)
				}
				ends("a decision")
			}
			if len(admitted) != count {
				t.Fatalf("P1 P2: admitted %d, want %d", len(admitted), count)
			}
			for _, d := range admitted[1:] {
				if err := l.Refund(t.Context(), "k", limit, d); err != nil {
					t.Fatal(err)
				}
				ends("a refund")
			}
		})
	}
}

// What is earned back by the clock must not be given back as well.
func TestARefundOfWhatIsEarnedBackChangesNothing(t *testing.T) {
	target := virtualTarget(t, patientClient(t, testenv.Redis(t).URL()))
	limit := ratelimit.Limit{Count: 1, Window: time.Minute, Algorithm: ratelimit.GCRA}
	old := allow(t, target.Limiter, "k", limit)
	target.Advance(limit.Window + target.Slack)
	if !allow(t, target.Limiter, "k", limit).Allowed {
		t.Fatal("P3: refused after the window")
	}
	if err := target.Limiter.Refund(t.Context(), "k", limit, old); err != nil {
		t.Fatal(err)
	}
	if allow(t, target.Limiter, "k", limit).Allowed {
		t.Error("P1: admitted after a refund of what was earned back")
	}
}

func TestResetForgetsEveryFormOfAKey(t *testing.T) {
	server := testenv.Redis(t)
	single := patientClient(t, server.URL())
	cluster := patientClient(t, "redis://"+strings.Join(testenv.RedisCluster(t).Addrs(), ","))
	for name, client := range map[string]redis.UniversalClient{"one server": single, "a Cluster": cluster} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, client)
			for _, key := range []string{"handrail:{a:b:c}", "without a tag", "{}empty", "{open", "a}b{c}"} {
				for form, limit := range ofEach(2, time.Hour) {
					if d, err := l.AllowN(t.Context(), key, limit, 2); err != nil || !d.Allowed {
						t.Fatalf("%s %s: %+v, %v", key, form, d, err)
					}
					if allow(t, l, key, limit).Allowed {
						t.Fatalf("%s %s: admitted beyond the limit", key, form)
					}
					if err := l.Reset(t.Context(), key); err != nil {
						t.Fatal(err)
					}
					if !allow(t, l, key, limit).Allowed {
						t.Errorf("%s %s: refused after Reset", key, form)
					}
					if err := l.Reset(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// P10: each script is forgotten before each call.
func TestEveryScriptIsSentAnewWhenItWasForgotten(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	l := newLimiter(t, client)
	forget := func() {
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for name, limit := range ofEach(2, time.Hour) {
		t.Run(name, func(t *testing.T) {
			key := "k:" + name
			var last ratelimit.Decision
			for i := range 4 {
				forget()
				d := allow(t, l, key, limit)
				if d.Allowed != (i < 2) {
					t.Fatalf("P10: call %d: %+v", i, d)
				}
				if d.Allowed {
					last = d
				}
			}
			forget()
			if err := l.Refund(t.Context(), key, limit, last); err != nil {
				t.Fatal(err)
			}
			forget()
			if !allow(t, l, key, limit).Allowed {
				t.Error("P10: refused after a refund")
			}
			forget()
			if err := l.Reset(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Calls of every kind wait for each other, and go in the same pipelines.
func TestCallsOfEveryKindGoTogether(t *testing.T) {
	var refunds []func(ctx context.Context) error
	limits := ofEach(8, time.Hour)
	j := newJam(t)
	j.resume()
	for name, limit := range limits {
		d := allow(t, j.limiter, name, limit)
		refunds = append(refunds, func(ctx context.Context) error { return j.limiter.Refund(ctx, name, limit, d) })
	}
	j.sent.sizes = nil
	j.pause()
	var wg sync.WaitGroup
	for name, limit := range limits {
		wg.Go(func() { allow(t, j.limiter, name, limit) })
	}
	for _, refund := range refunds {
		wg.Go(func() {
			if err := refund(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := j.limiter.Reset(t.Context(), "other"); err != nil {
			t.Error(err)
		}
	})
	all := 2*len(limits) + 1
	j.wait(4, all)
	j.resume()
	wg.Wait()
	together := 0
	for _, n := range j.sent.sizes {
		together += n
	}
	if together <= all-4 {
		t.Errorf("pipelines of %v, want next to all of %d", j.sent.sizes, all)
	}
	for name, limit := range limits {
		left := 0
		for allow(t, j.limiter, name, limit).Allowed {
			left++
		}
		if left != 7 {
			t.Errorf("%s: %d left of 8, want 7", name, left)
		}
	}
}

// Under gcra as much as was under way may come in besides: doc.go says so.
func TestARefundFromBeforeTheServerCameBackEmpty(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	l := newLimiter(t, client)
	for form, limit := range ofEach(3, time.Hour) {
		t.Run(form, func(t *testing.T) {
			fill := func() (list []ratelimit.Decision) {
				for {
					d := allow(t, l, "k", limit)
					if !d.Allowed {
						return list
					}
					list = append(list, d)
				}
			}
			before := fill()
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			fill()
			for _, d := range before {
				if err := l.Refund(t.Context(), "k", limit, d); err != nil {
					t.Fatal(err)
				}
			}
			most := 0
			if limit.Algorithm == ratelimit.GCRA {
				most = len(before)
			}
			if n := len(fill()); n > most {
				t.Errorf("%d admitted besides, want at most %d", n, most)
			}
		})
	}
}
