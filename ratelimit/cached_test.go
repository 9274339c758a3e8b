package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

func newCached(t testing.TB, cfg ratelimit.CachedConfig) *ratelimit.Cached {
	t.Helper()
	c, err := ratelimit.NewCached(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCachedSuite(t *testing.T) {
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
		clock := ratelimittest.NewClock()
		memory := newMemory(t, ratelimit.MemoryConfig{Now: clock.Now})
		return ratelimittest.Target{
			Limiter: newCached(t, ratelimit.CachedConfig{Limiter: memory, Now: clock.Now}),
			Now:     clock.Now, Advance: clock.Advance, Tick: 1,
		}
	})
}

// store is a Memory that counts how often it is asked.
type store struct {
	*ratelimit.Memory
	asked  atomic.Int64
	during func() // runs in every Allow, after the decision
}

func (s *store) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	s.asked.Add(1)
	d, err := s.Memory.AllowN(ctx, key, limit, cost)
	if s.during != nil {
		s.during()
	}
	return d, err
}

// front is a Cached on virtual time, in front of a store.
type front struct {
	*ratelimittest.Clock
	*ratelimit.Cached
	t     *testing.T
	store *store
}

func newFront(t *testing.T, maxBlocked int) front {
	clock := ratelimittest.NewClock()
	s := &store{Memory: newMemory(t, ratelimit.MemoryConfig{Now: clock.Now})}
	return front{clock, newCached(t, ratelimit.CachedConfig{Limiter: s, Now: clock.Now, MaxBlocked: maxBlocked}), t, s}
}

// want calls once and wants that wait (0 means admitted) and that many
// questions to the store.
func (f front) want(what string, limit ratelimit.Limit, wait time.Duration, asked int64) ratelimit.Decision {
	f.t.Helper()
	before := f.store.asked.Load()
	d, err := f.Allow(f.t.Context(), "k", limit)
	if err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
	if d.Allowed != (wait == 0) || d.RetryAfter != wait {
		f.t.Errorf("%s: %+v, want a wait of %v", what, d, wait)
	}
	if n := f.store.asked.Load() - before; n != asked {
		f.t.Errorf("%s: the store was asked %d times, want %d", what, n, asked)
	}
	return d
}

func TestABlockedKeyIsAskedForOnceIn900Milliseconds(t *testing.T) {
	f := newFront(t, 0)
	limit := ratelimit.Limit{Count: 1, Window: 10 * time.Second}
	f.want("the first", limit, 0, 1)
	f.want("the second", limit, 10*time.Second, 1)
	f.want("remembered", limit, 10*time.Second, 0)
	f.Advance(900*time.Millisecond - 1)
	f.want("remembered at the end", limit, 9100*time.Millisecond+1, 0)
	f.Advance(1)
	f.want("asked again", limit, 9100*time.Millisecond, 1)
	f.want("remembered again", limit, 9100*time.Millisecond, 0)
	f.Advance(-1)
	f.want("asked when the clock was set back", limit, 9100*time.Millisecond+1, 1)
	f.Advance(9100*time.Millisecond + 1)
	f.want("over", limit, 0, 1)
	f.want("blocked anew", limit, 10*time.Second, 1)
}

func TestTheEndOfABlockIsAskedForAtOnce(t *testing.T) {
	f := newFront(t, 0)
	limit := ratelimit.Limit{Count: 1, Window: time.Millisecond}
	for range 3 {
		f.want("admitted", limit, 0, 1)
		f.want("refused", limit, time.Millisecond, 1)
		f.Advance(time.Millisecond - 1)
		f.want("remembered", limit, 1, 0)
		f.Advance(1)
	}
}

func TestMemoryRefusesNoLongerThanAStoreThatTakesItsTime(t *testing.T) {
	f := newFront(t, 0)
	limit := ratelimit.Limit{Count: 1, Window: 100 * time.Millisecond}
	f.want("admitted", limit, 0, 1)
	f.Advance(40 * time.Millisecond)
	f.store.during = func() { f.Advance(20 * time.Millisecond) }
	f.want("asked at 40, decided at 40, answered at 60", limit, 60*time.Millisecond, 1)
	f.store.during = nil
	// Whoever asked comes back at 120, and so does who is told from memory.
	f.want("remembered at 60", limit, 60*time.Millisecond, 0)
	f.Advance(40*time.Millisecond - 1)
	f.want("remembered before 100", limit, 20*time.Millisecond+1, 0)
	f.Advance(1)
	f.want("admitted by the store at 100", limit, 0, 1)
}

func TestWhatChangesTheStoreIsSeen(t *testing.T) {
	limit := ratelimit.Limit{Count: 1, Window: time.Minute}
	for _, c := range []struct {
		name   string
		change func(f front, d ratelimit.Decision)
		within time.Duration
	}{
		{"a refund here, at once", func(f front, d ratelimit.Decision) {
			_ = f.Refund(f.t.Context(), "k", limit, d)
		}, 0},
		{"a refund elsewhere, within a second", func(f front, d ratelimit.Decision) {
			_ = f.store.Refund(f.t.Context(), "k", limit, d)
		}, 900 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, 0)
			d := f.want("admitted", limit, 0, 1)
			f.want("refused", limit, time.Minute, 1)
			c.change(f, d)
			f.Advance(c.within)
			f.want("admitted after the change", limit, 0, 1)
			f.want("blocked anew", limit, time.Minute, 1)
		})
	}
}

func TestAnotherLimitIsAskedForAtOnce(t *testing.T) {
	f := newFront(t, 0)
	one, two := ratelimit.Limit{Count: 1, Window: time.Minute}, ratelimit.Limit{Count: 2, Window: time.Minute}
	f.want("admitted", one, 0, 1)
	f.want("refused", one, time.Minute, 1)
	f.Advance(time.Millisecond)
	f.want("raised", two, 0, 1)
	// The other admission has moved the end.
	f.want("lowered", one, time.Minute, 1)
	f.want("raised again", two, time.Minute-time.Millisecond, 1)
	f.want("remembered", two, time.Minute-time.Millisecond, 0)
}

func TestARefundOvertakesARefusalOnItsWay(t *testing.T) {
	f := newFront(t, 0)
	limit := ratelimit.Limit{Count: 1, Window: time.Minute}
	d := f.want("admitted", limit, 0, 1)
	f.store.during = func() { _ = f.Refund(t.Context(), "k", limit, d) }
	f.want("refused just before the refund", limit, time.Minute, 1)
	f.store.during = nil
	f.want("admitted", limit, 0, 1)
}

func TestAStoreErrorIsToldAndForgetsNothing(t *testing.T) {
	clock := ratelimittest.NewClock()
	f := newFailing(t)
	c := newCached(t, ratelimit.CachedConfig{Limiter: f, Now: clock.Now})
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	_, _ = c.Allow(t.Context(), "k", limit)
	_, _ = c.Allow(t.Context(), "k", limit)
	f.err = errDown
	clock.Advance(900 * time.Millisecond)
	if _, err := c.Allow(t.Context(), "k", limit); !errors.Is(err, errDown) {
		t.Errorf("error %v, want that of the store", err)
	}
	if d, err := c.Allow(t.Context(), "k", limit); d.RetryAfter <= 0 || err != nil {
		t.Errorf("%+v, %v; want refused from memory", d, err)
	}
	if n := len(f.keys); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestACallerWhoLeftLetsTheNextOneAsk(t *testing.T) {
	clock := ratelimittest.NewClock()
	f := newFailing(t)
	c := newCached(t, ratelimit.CachedConfig{Limiter: f, Now: clock.Now})
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	d, _ := c.Allow(t.Context(), "k", limit)
	_, _ = c.Allow(t.Context(), "k", limit)
	_ = f.Refund(t.Context(), "k", limit, d) // by another process
	clock.Advance(900 * time.Millisecond)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Allow(gone, "k", limit); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if d, err := c.Allow(t.Context(), "k", limit); !d.Allowed || err != nil {
		t.Errorf("%+v, %v; want the place given back", d, err)
	}
}

func TestOneCallAsksWhileTheOthersGoOn(t *testing.T) {
	f := newFront(t, 0)
	limit := ratelimit.Limit{Count: 1, Window: time.Minute}
	f.want("admitted", limit, 0, 1)
	f.want("refused", limit, time.Minute, 1)
	f.Advance(time.Second)
	asking, answer := make(chan struct{}), make(chan struct{})
	f.store.during = func() { close(asking); <-answer }
	var wg sync.WaitGroup
	wg.Go(func() { f.want("asked", limit, 59*time.Second, 1) })
	<-asking
	for range 10 {
		f.want("remembered meanwhile", limit, 59*time.Second, 0)
	}
	close(answer)
	wg.Wait()
}

func TestAFloodOfBlockedKeysIsBoundedAndSparesTheBusyOnes(t *testing.T) {
	const places, flood = 64, 2000
	f := newFront(t, places)
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	f.want("admitted", limit, 0, 1)
	f.want("refused", limit, time.Hour, 1)
	block := func(i int) {
		for range 2 {
			_, _ = f.Allow(t.Context(), fmt.Sprint("flood", i), limit)
		}
	}
	for i := range flood {
		block(i)
		f.Advance(1)
		f.want("still remembered", limit, time.Hour-time.Duration(i+1), 0)
	}
	before := f.store.asked.Load()
	for i := range flood {
		_, _ = f.Allow(t.Context(), fmt.Sprint("flood", i), limit)
	}
	if n := f.store.asked.Load() - before; n < flood-places {
		t.Errorf("%d of %d remembered, want %d at most", flood-n, flood, places)
	}
}

func TestWhatIsOverGivesWayFirst(t *testing.T) {
	f := newFront(t, 8)
	short, long := ratelimit.Limit{Count: 1, Window: 100 * time.Millisecond}, ratelimit.Limit{Count: 1, Window: time.Hour}
	ask := func(key string, limit ratelimit.Limit) (asked int64) {
		before := f.store.asked.Load()
		_, _ = f.Allow(t.Context(), key, limit)
		return f.store.asked.Load() - before
	}
	block := func(key string, limit ratelimit.Limit) {
		if ask(key, limit)+ask(key, limit) != 2 {
			t.Fatalf("%s was remembered", key)
		}
	}
	block("short", short)
	for i := range 7 {
		block(fmt.Sprint("long", i), long)
	}
	f.Advance(100*time.Millisecond - 1)
	if ask("short", short) != 0 {
		t.Fatal("short is not remembered")
	}
	f.Advance(1)
	block("new", long)
	for i := range 7 {
		if ask(fmt.Sprint("long", i), long) != 0 {
			t.Errorf("long%d was driven out", i)
		}
	}
}

func TestNewCachedReportsEveryProblem(t *testing.T) {
	c, err := ratelimit.NewCached(ratelimit.CachedConfig{MaxBlocked: -1})
	joined, ok := err.(interface{ Unwrap() []error })
	if c != nil || !ok || len(joined.Unwrap()) != 2 {
		t.Errorf("%v, %v; want 2 problems", c, err)
	}
}

func TestARememberedRefusalAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	c := newCached(t, ratelimit.CachedConfig{Limiter: newMemory(t, ratelimit.MemoryConfig{})})
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Allow(t.Context(), benchKey, limit) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The header of the answer is all that a remembered refusal allocates: three
// times for its values here, seven times in httpx.WriteError.
func TestARememberedRefusalOfARequestAllocatesItsAnswer(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	cfg := one(policy(func(p *ratelimit.Policy) { p.Limit = 1 }))
	cfg.Limiter, cfg.OnEvent = newFailing(t), func(ratelimit.Event) {}
	h, w, r := wrapped(t, cfg), discard{http.Header{}}, login()
	serve(h, w, r)
	if n := testing.AllocsPerRun(1000, func() { serve(h, w, r) }); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

func TestARequestKnownToBeRefusedReservesNothing(t *testing.T) {
	f := newFailing(t)
	watch := keyed("watch", 1, "ip")
	watch.Mode = ratelimit.Shadow
	cfg := one(keyed("account", 3, "header:X-Account"), watch, keyed("ip", 1, "ip"))
	cfg.Limiter = f
	a := newApp(t, cfg)
	steps := []struct {
		wait  time.Duration
		want  []string
		asked int
	}{
		{0, []string{"account allowed", "watch allowed", "ip allowed"}, 3},
		{0, []string{"account released", "watch shadow_denied", "ip denied"}, 3},
		{0, []string{"account skipped", "watch shadow_denied", "ip denied"}, 0},
		{900 * time.Millisecond, []string{"account released", "watch shadow_denied", "ip denied"}, 3},
		{0, []string{"account skipped", "watch shadow_denied", "ip denied"}, 0},
	}
	for i, s := range steps {
		a.Advance(s.wait)
		before := len(f.keys)
		a.do(login(with("X-Account", "alice")))
		if diff := cmp.Diff(s.want, a.outcomes()); diff != "" {
			t.Errorf("request %d: -want +got\n%s", i, diff)
		}
		if n := len(f.keys) - before; n != s.asked {
			t.Errorf("request %d: the store was asked %d times, want %d", i, n, s.asked)
		}
	}
	// What was given back or skipped is there for others.
	a.want(200, 1, with("X-Account", "alice"), from("192.0.2.2:1"))
	a.want(200, 1, with("X-Account", "alice"), from("192.0.2.3:1"))
	a.want(429, 1, with("X-Account", "alice"), from("192.0.2.4:1"))
}

func TestTheLongestWaitOfWhatIsRemembered(t *testing.T) {
	f := newFailing(t)
	cfg := one(keyed("minute", 1, "ip"), keyed("account", 1, "header:X-Account"))
	cfg.Policies[1].Window = time.Hour
	cfg.Limiter = f
	a := newApp(t, cfg)
	a.want(200, 1)
	for range 3 {
		if got := a.do(login()).Header.Get("Retry-After"); got != "3600" {
			t.Errorf("Retry-After %q, want 3600", got)
		}
	}
	if n := len(f.keys); n != 4 {
		t.Errorf("the store was asked %d times, want 4", n)
	}
}

func TestTheFallbackFollowsWhatIsRemembered(t *testing.T) {
	f := newFailing(t)
	cfg := one(keyed("ip", 1, "ip"))
	cfg.Limiter = f
	a := newApp(t, cfg)
	// Another process was admitted; this one saw the refusal alone.
	a.want(200, 1)
	f.keys = f.keys[:0]
	b := newApp(t, cfg)
	b.want(429, 20)
	if n := len(f.keys); n != 1 {
		t.Errorf("the store was asked %d times, want once", n)
	}
	f.err = errDown
	b.Advance(59 * time.Second)
	b.want(429, 1)
	b.Advance(time.Second)
	b.want(200, 1)
}
