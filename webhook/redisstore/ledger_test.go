package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

var _ webhook.Ledger = (*redisstore.Store)(nil)

func TestLedgerSuite(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	webhooktest.RunLedger(t, func(t *testing.T) webhooktest.Fixture { return fixture(t, client, newStore(t, client)) })
}

func TestLedgerSuiteOverACluster(t *testing.T) {
	client := connect(t, options(testenv.RedisCluster(t).Addrs()...))
	webhooktest.RunLedger(t, func(t *testing.T) webhooktest.Fixture { return fixture(t, client, newStore(t, client)) })
}

// listed are the keys of all pages, and how many pages there were. between is
// called after each page but the last.
func listed(t *testing.T, s *redisstore.Store, q webhook.Query, between func()) (seen map[string]int, pages int) {
	t.Helper()
	seen = make(map[string]int)
	for {
		page, after, err := s.List(t.Context(), q)
		must(t, err)
		if len(page) > q.Limit {
			t.Fatalf("%d on a page of %d", len(page), q.Limit)
		}
		for _, e := range page {
			seen[e.Key]++
		}
		if pages++; after == "" {
			return seen, pages
		}
		if pages > 100_000 {
			t.Fatal("the list does not end")
		}
		q.After = after
		between()
	}
}

func TestListsHoldEveryDeliveryOnceAndNothingElse(t *testing.T) {
	for name, client := range map[string]redis.UniversalClient{
		"server":  connect(t, options(testenv.Redis(t).Addr())),
		"cluster": connect(t, options(testenv.RedisCluster(t).Addrs()...)),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, client)
			other, err := redisstore.New(redisstore.Config{Client: client, Namespace: "default.2", Timeout: patience})
			must(t, err)
			want := map[string]bool{}
			for i := range 200 {
				for _, route := range []string{"a", "b*", "b", `[a-c]\?`} {
					key := fmt.Sprintf("%s/}%d{", route, i)
					want[key] = true
					claim(t, s, key, webhook.Claimed)
				}
				claim(t, other, fmt.Sprintf("a/other %d", i), webhook.Claimed)
				must(t, client.Set(t.Context(), fmt.Sprint("handrail:else:", i), "x", 0).Err())
			}
			must(t, client.LPush(t.Context(), s.Key("a/list"), "x").Err())
			must(t, client.Set(t.Context(), s.Key("a/text"), "x", 0).Err())
			for _, limit := range []int{1, 2, 7, 50, 1000} {
				seen, pages := listed(t, s, webhook.Query{Limit: limit}, func() {})
				// While a server makes room for what was stored just now, it may tell
				// of a key twice. It is done with that soon.
				for range 20 {
					if slices.Max(slices.Collect(maps.Values(seen))) == 1 {
						break
					}
					seen, pages = listed(t, s, webhook.Query{Limit: limit}, func() {})
				}
				if len(seen) != len(want) || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
					t.Errorf("limit %d: %d keys, want %d, each once: %v", limit, len(seen), len(want), seen)
				}
				for key := range seen {
					if !want[key] {
						t.Errorf("%q is listed", key)
					}
				}
				if limit == 50 && pages > 25 {
					t.Errorf("%d pages of up to 50 for 800", pages)
				}
			}
			for _, q := range []webhook.Query{{Route: "b*", Limit: 50}, {Route: `[a-c]\?`, Limit: 50}, {Route: "a", Limit: 50, States: []webhook.State{webhook.StateClaimed}}} {
				if seen, _ := listed(t, s, q, func() {}); len(seen) != 200 {
					t.Errorf("%+v: %d, want 200", q, len(seen))
				}
			}
			if seen, _ := listed(t, s, webhook.Query{Limit: 50, States: []webhook.State{webhook.StateDead}}, func() {}); len(seen) != 0 {
				t.Errorf("dead: %v", seen)
			}
		})
	}
}

// Tables of a server grow and shrink with what it holds, which changes the order
// of its keys.
func TestNoDeliveryIsLeftOutOfAListWhileTheServerRearrangesItsKeys(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	const kept = 100
	for i := range kept {
		claim(t, s, fmt.Sprint("a/", i), webhook.Claimed)
	}
	for _, limit := range []int{1, 3, 20} {
		n := 0
		fill := func(from, to int) {
			var pairs []any
			for i := from; i < to; i++ {
				pairs = append(pairs, fmt.Sprint("x", i), "")
			}
			must(t, client.MSet(t.Context(), pairs...).Err())
		}
		seen, _ := listed(t, s, webhook.Query{Limit: limit}, func() {
			switch n++; n % 8 {
			case 1:
				fill(0, 5000)
			case 5:
				for i := 0; i < 5000; i += 1000 {
					var keys []string
					for k := range 1000 {
						keys = append(keys, fmt.Sprint("x", i+k))
					}
					must(t, client.Del(t.Context(), keys...).Err())
				}
			}
		})
		if len(seen) != kept {
			t.Errorf("limit %d: %d of %d are listed", limit, len(seen), kept)
		}
	}
}

func TestAListGoesOnWhereAServerHasRestarted(t *testing.T) {
	server := testenv.Redis(t, testenv.Persistent())
	s := newStore(t, connect(t, options(server.Addr())))
	for i := range 40 {
		claim(t, s, fmt.Sprint("a/", i), webhook.Claimed)
	}
	restarts := 0
	seen, _ := listed(t, s, webhook.Query{Limit: 10}, func() {
		if restarts++; restarts <= 2 {
			server.Kill()
			server.Start()
			eventually(t, "a server that is back", func() bool { return s.Check(t.Context()) == nil })
		}
	})
	if len(seen) != 40 {
		t.Errorf("%d of 40 are listed", len(seen))
	}
}

func TestACallOfListIsBounded(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	claim(t, s, "a/1", webhook.Claimed)
	const others = 300_000
	for i := 0; i < others; i += 10_000 {
		pairs := make([]any, 0, 20_000)
		for k := range 10_000 {
			pairs = append(pairs, fmt.Sprint("x", i+k), "")
		}
		must(t, client.MSet(t.Context(), pairs...).Err())
	}
	seen, pages := listed(t, s, webhook.Query{Limit: 10}, func() {})
	if len(seen) != 1 || pages < 3 || pages > 30 {
		t.Errorf("%v in %d pages; want a/1 in a few pages for %d keys", seen, pages, others)
	}
}

func TestWhatIsNoAfterIsRefused(t *testing.T) {
	s := newStore(t, connect(t, options(testenv.Redis(t).Addr())))
	for _, after := range []string{"k", "1", "1-2", "1-2-!", "0-0-0", "1-99999999-0", "-1-0-0", strings.Repeat("1-", 2000) + "1"} {
		if _, _, err := s.List(t.Context(), webhook.Query{Limit: 1, After: after}); err == nil {
			t.Errorf("%.40q is taken", after)
		}
	}
	if _, _, err := s.List(t.Context(), webhook.Query{Limit: 1, After: "zz-zz-zz"}); err != nil {
		t.Errorf("a place on servers that are gone: %v", err)
	}
}

// A line of before attempts and times were told.
func TestALineWithoutAttemptAndTimeIsRead(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	at := now(t, client).Add(-time.Minute)
	must(t, client.Set(t.Context(), s.Key("k"), fmt.Sprintf("delivery 1 7 0 %d 3600000 2xk9 %s\n", at.UnixMilli(), digest), time.Hour).Err())
	e, err := s.Entry(t.Context(), "k")
	if err != nil || e.Fence != 7 || e.Attempt != 7 || !e.Updated.IsZero() || !e.LeaseUntil.Equal(at) || !e.Expires.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v, %v", e, err)
	}
	if c := claim(t, s, "k", webhook.Claimed); c.Fence != 8 || c.Attempt != 8 || !c.MaybeProcessed {
		t.Errorf("%+v", c)
	}
	if e, err := s.Entry(t.Context(), "k"); err != nil || e.Updated.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestAnOperatorsStepWhoseAnswersAreLostHappensOnce(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	w, s := wireOf(client), newStore(t, client)
	claim(t, s, "k", webhook.Claimed)
	must(t, s.Kill(t.Context(), "k", 1))
	for range 2 {
		w.lost = times(3)
		must(t, s.Revive(t.Context(), "k"))
		w.lost = nil
		if err := s.Revive(t.Context(), "k"); !errors.Is(err, webhook.ErrWrongState) {
			t.Errorf("error %v, want ErrWrongState", err)
		}
		w.lost = times(3)
		must(t, s.Discard(t.Context(), "k"))
	}
	w.lost = nil
	must(t, s.Revive(t.Context(), "k"))
	must(t, s.Discard(t.Context(), "k"))
	// One that was overtaken does not say that it did nothing.
	w.lost = func(redis.Cmder) bool {
		w.lost = nil
		claim(t, s, "k", webhook.Claimed)
		return true
	}
	if err := s.Revive(t.Context(), "k"); err == nil || errors.Is(err, webhook.ErrWrongState) {
		t.Errorf("error %v, want that of the first try", err)
	}
}

func TestListEndsInTime(t *testing.T) {
	server := testenv.Redis(t)
	s, err := redisstore.New(redisstore.Config{Client: connect(t, options(server.Addr())), Timeout: 200 * time.Millisecond})
	must(t, err)
	server.Pause()
	defer server.Resume()
	start := time.Now()
	if _, _, err := s.List(t.Context(), webhook.Query{Limit: 1}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > slack {
		t.Errorf("took %v", took)
	}
}
