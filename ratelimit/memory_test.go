package ratelimit_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

func TestMemorySuite(t *testing.T) {
	for name, maxKeys := range map[string]int{"one shard": 1000, "many shards": 1 << 17} {
		t.Run(name, func(t *testing.T) {
			ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
				clock := ratelimittest.NewClock()
				return ratelimittest.Target{
					Limiter: newMemory(t, ratelimit.MemoryConfig{Now: clock.Now, MaxKeys: maxKeys}),
					Now:     clock.Now, Advance: clock.Advance, Tick: 1,
				}
			})
		})
	}
}

// box is a Memory on virtual time.
type box struct {
	*ratelimittest.Clock
	*ratelimit.Memory
	t *testing.T
}

func newBox(t *testing.T, maxKeys int) box {
	clock := ratelimittest.NewClock()
	return box{clock, newMemory(t, ratelimit.MemoryConfig{Now: clock.Now, MaxKeys: maxKeys}), t}
}

func (b box) allow(key string, limit ratelimit.Limit) ratelimit.Decision {
	b.t.Helper()
	d, err := b.Allow(b.t.Context(), key, limit)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func TestOwnClockIsTheMonotonicOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, ratelimit.MemoryConfig{})
		limit := ratelimit.Limit{Count: 1, Window: time.Minute}
		_, _ = m.Allow(t.Context(), "k", limit)
		time.Sleep(time.Minute - 1)
		if d, _ := m.Allow(t.Context(), "k", limit); d.Allowed || d.RetryAfter != 1 {
			t.Errorf("one nanosecond early: %+v", d)
		}
		time.Sleep(time.Nanosecond)
		if d, _ := m.Allow(t.Context(), "k", limit); !d.Allowed {
			t.Errorf("after the window: %+v", d)
		}
	})
}

// limits are one of each kind, with a block of an hour after the second call.
var limits = map[string]ratelimit.Limit{
	"sliding window":  {Count: 2, Window: time.Hour},
	"sliding counter": {Count: 2, Window: time.Hour / 61 * 60, Algorithm: ratelimit.SlidingCounter},
	"gcra":            {Count: 2, Window: 2 * time.Hour, Algorithm: ratelimit.GCRA},
	"lockout": {Count: 2, Window: time.Minute, Lockout: &ratelimit.Lockout{
		Tiers: []ratelimit.Tier{{Count: 2, Window: time.Minute, Block: time.Hour}},
	}},
}

func TestAFloodOfKeysFreesNobodyWhoIsBlocked(t *testing.T) {
	const maxKeys = 100
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, maxKeys)
			for i := range maxKeys / 2 {
				for range 2 {
					b.allow(fmt.Sprint("blocked", i), limit)
				}
			}
			for i := range 100 * maxKeys {
				if !b.allow(fmt.Sprint("flood", i), limit).Allowed {
					t.Fatalf("new key %d refused", i)
				}
				if n := b.Len(); n > maxKeys {
					t.Fatalf("%d keys kept, want at most %d", n, maxKeys)
				}
			}
			d := b.allow("blocked0", limit)
			if d.RetryAfter < time.Hour-time.Microsecond {
				t.Fatalf("blocked for %v", d.RetryAfter)
			}
			b.Advance(d.RetryAfter - 1)
			for i := range maxKeys / 2 {
				if d := b.allow(fmt.Sprint("blocked", i), limit); d.Allowed || d.RetryAfter != 1 {
					t.Fatalf("blocked key %d: %+v", i, d)
				}
			}
		})
	}
}

// TestAFloodDrivesOutItsOwnPolicyAlone fills a Memory under one policy while
// clients of others have used up a part of their limits.
func TestAFloodDrivesOutItsOwnPolicyAlone(t *testing.T) {
	for name, tt := range map[string]struct{ maxKeys, clients, flood int }{
		"one shard":   {1000, 300, 20_000},
		"many shards": {ratelimit.DefaultMaxKeys, 2000, 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tt.maxKeys)
			auth, sess := ratelimit.Limit{Count: 8, Window: time.Hour}, ratelimit.Limit{Count: 100, Window: time.Hour}
			client := func(i int) string { return fmt.Sprintf("handrail:{default:auth:%d}", i) }
			for i := range tt.clients {
				for range 7 {
					b.allow(client(i), auth)
				}
			}
			for i := range tt.flood {
				b.allow(fmt.Sprintf("handrail:{default:sess:%d}", i), sess)
			}
			if n := b.Len(); n > tt.maxKeys {
				t.Errorf("%d keys kept, want at most %d", n, tt.maxKeys)
			}
			for i := range tt.clients {
				if !b.allow(client(i), auth).Allowed || b.allow(client(i), auth).Allowed {
					t.Fatalf("client %d began anew", i)
				}
			}
		})
	}
}

func TestTwoFloodsShareTheRoom(t *testing.T) {
	const maxKeys = 1000
	b := newBox(t, maxKeys)
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	key := func(policy string, i int) string { return fmt.Sprintf("handrail:{default:%s:%d}", policy, i) }
	for i := range 5 * maxKeys {
		b.allow(key("a", i), limit)
		b.Advance(time.Microsecond)
	}
	for i := range 5 * maxKeys {
		b.allow(key("b", i), limit)
		b.Advance(time.Microsecond)
	}
	for _, policy := range []string{"a", "b"} {
		for i := range maxKeys / 2 {
			if b.allow(key(policy, 5*maxKeys-1-i), limit).Allowed {
				t.Fatalf("%s: of its newest keys, number %d is gone", policy, i)
			}
		}
	}
}

// TestMoreKindsOfKeysThanAreToldApart: the table of policies is bounded, and
// what is not in it counts all the same.
func TestMoreKindsOfKeysThanAreToldApart(t *testing.T) {
	const maxKeys = 500
	b := newBox(t, maxKeys)
	limit := ratelimit.Limit{Count: 1, Window: time.Minute}
	for round := range 3 {
		for i := range maxKeys {
			key := fmt.Sprintf("kind%d.%d:x", round, i)
			if !b.allow(key, limit).Allowed || b.allow(key, limit).Allowed {
				t.Fatalf("%s is not counted", key)
			}
		}
		if n := b.Len(); n != maxKeys {
			t.Fatalf("%d keys kept, want %d", n, maxKeys)
		}
		b.Advance(time.Minute)
	}
}

func TestExpiredKeysOfAnIdlePolicyGoAsNewOnesCome(t *testing.T) {
	b := newBox(t, 1000)
	limit := ratelimit.Limit{Count: 2, Window: time.Minute}
	for i := range 300 {
		for range 1 + i%2 { // half of them blocked
			b.allow(fmt.Sprint("idle:", i), limit)
		}
	}
	b.Advance(time.Minute)
	for i := range 600 {
		b.allow(fmt.Sprint("busy:", i), limit)
	}
	if n := b.Len(); n != 600 {
		t.Errorf("%d keys kept, want the 600 that live", n)
	}
}

func TestWhenAllAreBlockedTheFirstToEndMakesRoom(t *testing.T) {
	b := newBox(t, 3)
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	for _, key := range []string{"a", "b", "c"} {
		b.allow(key, limit)
		b.Advance(time.Second)
	}
	b.allow("d", limit)
	for _, key := range []string{"b", "c", "d"} {
		if b.allow(key, limit).Allowed {
			t.Errorf("%s was driven out", key)
		}
	}
	if !b.allow("a", limit).Allowed {
		t.Error("a was kept")
	}
}

// TestRoomIsMadeInTheOrderInWhichBlocksEnd takes blocks out of the middle first.
func TestRoomIsMadeInTheOrderInWhichBlocksEnd(t *testing.T) {
	const maxKeys = 500
	rnd := rand.New(rand.NewPCG(3, 4))
	b := newBox(t, maxKeys)
	type block struct {
		key      string
		limit    ratelimit.Limit
		decision ratelimit.Decision
	}
	var blocks []block
	for i := range 2 * maxKeys {
		k := block{key: fmt.Sprint("k", i)}
		k.limit = ratelimit.Limit{Count: 1, Window: time.Hour + time.Duration(rnd.Int64N(int64(time.Hour)))}
		k.decision = b.allow(k.key, k.limit)
		blocks = append(blocks, k)
		if len(blocks) == maxKeys {
			j := rnd.IntN(maxKeys)
			_ = b.Refund(t.Context(), blocks[j].key, blocks[j].limit, blocks[j].decision)
			blocks = slices.Delete(blocks, j, j+1)
		}
	}
	slices.SortFunc(blocks, func(x, y block) int { return cmp.Compare(x.limit.Window, y.limit.Window) })
	const news = 100
	for i := range news {
		b.allow(fmt.Sprint("new", i), ratelimit.Limit{Count: 1, Window: 24 * time.Hour})
	}
	first := news - (maxKeys - len(blocks)) // as many had to go
	for i, k := range slices.Backward(blocks) {
		if kept := !b.allow(k.key, k.limit).Allowed; kept != (i >= first) {
			t.Fatalf("the block that ends as number %d was kept: %v; %d had to go", i, kept, first)
		}
		if i == first {
			break // the next calls would drive others out
		}
	}
}

func TestWhatWasAdmittedOfLateIsKept(t *testing.T) {
	b := newBox(t, 11)
	limit := ratelimit.Limit{Count: 512, Window: time.Hour}
	busy := []string{"a", "b", "c"}
	for i := range 512 {
		for _, key := range busy {
			b.allow(key, limit)
		}
		b.allow(fmt.Sprint("new", i), limit)
	}
	for _, key := range busy {
		if b.allow(key, limit).Allowed {
			t.Errorf("the busy key %s began anew", key)
		}
	}
}

func TestExpiredKeysGoAsNewOnesCome(t *testing.T) {
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, 2000)
			for i := range 1000 {
				b.allow(fmt.Sprint("old", i), limit)
				if i%2 == 0 {
					b.allow(fmt.Sprint("old", i), limit) // blocked
				}
			}
			b.Advance(2 * time.Hour)
			for i := range 1500 {
				b.allow(fmt.Sprint("new", i), limit)
			}
			if n := b.Len(); n != 1500 {
				t.Errorf("%d keys kept, want the 1500 that live", n)
			}
		})
	}
}

// TestBlockedKeysAreLostOnlyWhenAllAreBlocked plays random keys, limits, times
// and refunds against a small Memory.
func TestBlockedKeysAreLostOnlyWhenAllAreBlocked(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const maxKeys = 8
	b := newBox(t, maxKeys)
	limits := []ratelimit.Limit{
		{Count: 1, Window: time.Minute}, {Count: 2, Window: 10 * time.Minute},
		{Count: 12, Window: time.Minute}, {Count: 40, Window: 10 * time.Minute},
	}
	blocked := map[string]time.Time{} // until when
	mayGo := map[string]bool{}        // blocked while as many others were
	held, lost := 0, 0
	for range 50_000 {
		i := rnd.IntN(24)
		if rnd.IntN(4) == 0 {
			i = 4*rnd.IntN(1000) + 2 // seldom blocked
		}
		key, limit := fmt.Sprint(i), limits[i%len(limits)]
		now := b.Now()
		maps.DeleteFunc(blocked, func(_ string, end time.Time) bool { return !end.After(now) })
		maps.DeleteFunc(mayGo, func(key string, _ bool) bool { return blocked[key].IsZero() })
		if len(blocked) >= maxKeys {
			for k := range blocked {
				mayGo[k] = true
			}
		}
		d := b.allow(key, limit)
		switch _, was := blocked[key]; {
		case was && !d.Allowed:
			held++
		case was && mayGo[key]:
			lost++
		case was:
			t.Fatalf("key %s was freed with %d of %d keys blocked", key, len(blocked), maxKeys)
		}
		if d.Allowed && rnd.IntN(5) == 0 {
			_ = b.Refund(t.Context(), key, limit, d)
		}
		// Whether the key is blocked now is tried out, and undone at once.
		if d = b.allow(key, limit); d.Allowed {
			_ = b.Refund(t.Context(), key, limit, d)
			delete(blocked, key)
		} else {
			blocked[key] = now.Add(d.RetryAfter)
		}
		b.Advance(time.Duration(rnd.Int64N(int64(8 * time.Second))))
	}
	t.Logf("%d refusals held, %d blocks lost among as many", held, lost)
	if held < 1000 {
		t.Error("the schedule shows little")
	}
}

func TestDecisionsOnAKnownKeyDoNotAllocate(t *testing.T) {
	lockout := &ratelimit.Lockout{Tiers: []ratelimit.Tier{{Count: 512, Window: time.Hour, Block: time.Hour}}}
	for name, limit := range map[string]ratelimit.Limit{
		"admitted":             {Count: 512, Window: time.Millisecond},
		"admitted by counter":  {Count: 1e9, Window: time.Minute, Algorithm: ratelimit.SlidingCounter},
		"admitted by gcra":     {Count: 1e9, Window: time.Minute, Algorithm: ratelimit.GCRA, Burst: 1e8},
		"denied":               {Count: 8, Window: time.Hour},
		"denied under lockout": {Count: 8, Window: time.Hour, Lockout: lockout},
		"denied by counter":    {Count: 8, Window: time.Hour, Algorithm: ratelimit.SlidingCounter},
		"denied by gcra":       {Count: 8, Window: time.Hour, Algorithm: ratelimit.GCRA, Burst: 2},
	} {
		m := newMemory(t, ratelimit.MemoryConfig{})
		for range ratelimit.MaxCount {
			_, _ = m.Allow(t.Context(), benchKey, limit)
		}
		if n := testing.AllocsPerRun(1000, func() { _, _ = m.Allow(t.Context(), benchKey, limit) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(1000, func() {
			d, _ := m.AllowN(t.Context(), benchKey, limit, 2)
			_ = m.Refund(t.Context(), benchKey, limit, d)
		}); n != 0 {
			t.Errorf("%s: %v allocations to refund", name, n)
		}
		refusal := ratelimit.Decision{RetryAfter: time.Minute}
		if n := testing.AllocsPerRun(1000, func() { m.Mirror(benchKey, limit, refusal) }); n != 0 {
			t.Errorf("%s: %v allocations to mirror a refusal", name, n)
		}
	}
}

func TestAdmittedRequestsOfAKnownSubjectDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	for name, secret := range map[string][]byte{"plain": nil, "keyed": []byte("secret")} {
		now := time.Now()
		m, err := ratelimit.New(ratelimit.Config{
			KeySecret: secret,
			OnEvent:   func(ratelimit.Event) {},
			Now:       func() time.Time { now = now.Add(time.Second); return now },
			Policies: []ratelimit.Policy{{
				Name: "p", Key: []string{"ip", "header:X-Account"}, Limit: 8, Window: time.Second,
				Methods: []string{"POST"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		id := clientip.Identity{Client: netip.MustParseAddr("192.0.2.1")}
		r := login(with("X-Account", "alice"))
		r = r.WithContext(clientip.NewContext(r.Context(), id))
		w := httptest.NewRecorder()
		if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		r.Method = http.MethodGet
		if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, r) }); n != 0 {
			t.Errorf("%s: %v allocations when no policy matches", name, n)
		}
	}
}
