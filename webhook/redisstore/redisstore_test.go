package redisstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// patience is what a step may take where a test floods or stops the server.
const patience = 30 * time.Second

var request = webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour, BodyDigest: sha256.Sum256([]byte("body"))}

// options are those that a store asks for. Several addresses are a Cluster.
func options(addrs ...string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs: addrs, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, MaxRetryBackoff: 10 * time.Millisecond,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
	}
}

func connect(t testing.TB, o *redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newStore(t testing.TB, client redis.UniversalClient) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Client: client, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claim claims key and wants a status.
func claim(t testing.TB, s webhook.Store, key string, want webhook.Status) webhook.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), key, request)
	if err != nil || c.Status != want {
		t.Fatalf("Claim(%q): %+v, %v; want %v", key, c, err, want)
	}
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// masters calls f for every server.
func masters(t testing.TB, client redis.UniversalClient, f func(ctx context.Context, c *redis.Client) error) {
	t.Helper()
	switch c := client.(type) {
	case *redis.Client:
		must(t, f(t.Context(), c))
	case *redis.ClusterClient:
		must(t, c.ForEachMaster(t.Context(), f))
	}
}

// age moves a delivery into the past. What is past its retention ends.
var age = redis.NewScript(`
local head, lease, middle, updated, rest =
  string.match(redis.call('GET', KEYS[1]), '^(delivery %d %d+ %d) (%d+)( %d+ %w+ %x+ %d+) (%d+)(\n.*)$')
local left = redis.call('PTTL', KEYS[1]) - ARGV[1]
if left <= 0 then
  return redis.call('DEL', KEYS[1])
end
return redis.call('SET', KEYS[1], string.format('%s %.0f%s %.0f', head, lease - ARGV[1], middle, updated - ARGV[1]) .. rest, 'PX', left)`)

// fixture empties the servers.
func fixture(t *testing.T, client redis.UniversalClient, s webhook.Store) webhooktest.Fixture {
	t.Helper()
	masters(t, client, func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
	another := func() webhook.Store { return newStore(t, client) }
	return webhooktest.Fixture{Store: s, Another: another, Advance: func(d time.Duration) {
		masters(t, client, func(ctx context.Context, c *redis.Client) error {
			keys, err := c.Keys(ctx, "*").Result()
			for _, key := range keys {
				if err := age.Run(ctx, c, []string{key}, d.Milliseconds()).Err(); err != nil {
					return err
				}
			}
			return err
		})
	}}
}

func TestSuite(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture { return fixture(t, client, newStore(t, client)) })
}

func TestSuiteOverACluster(t *testing.T) {
	client := connect(t, options(testenv.RedisCluster(t).Addrs()...))
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture { return fixture(t, client, newStore(t, client)) })
}

func TestSuiteOverThreeClientsOfAServerThatForgetsScripts(t *testing.T) {
	server := testenv.Redis(t)
	var stores []*redisstore.Store
	for range 3 {
		stores = append(stores, newStore(t, connect(t, options(server.Addr()))))
	}
	client := connect(t, options(server.Addr()))
	var steps atomic.Int64
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
		return fixture(t, client, webhooktest.Between{Next: func(string) (webhook.Store, error) {
			return stores[steps.Add(1)%int64(len(stores))], client.ScriptFlush(t.Context()).Err()
		}})
	})
}

func TestEveryKeyEnds(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	for _, c := range []struct {
		state webhook.State
		kept  time.Duration // from the last step on
		to    func(key string) error
	}{
		{webhook.StateClaimed, request.Lease + request.Retention, func(string) error { return nil }},
		{webhook.StateRetry, request.Retention, func(key string) error { return s.Release(t.Context(), key, 1, true) }},
		{webhook.StateDone, request.Retention, func(key string) error {
			return s.Complete(t.Context(), key, 1, &webhook.Answer{Status: 200, Body: []byte("ok")})
		}},
		{webhook.StateDead, request.Retention, func(key string) error { return s.Kill(t.Context(), key, 1) }},
	} {
		key := "stripe/" + c.state.String()
		before := now(t, client)
		claim(t, s, key, webhook.Claimed)
		must(t, c.to(key))
		after := now(t, client)
		end, err := client.PExpireTime(t.Context(), s.Key(key)).Result()
		must(t, err)
		// PEXPIRETIME is in milliseconds; below zero there is no end, or no key.
		if at := time.UnixMilli(end.Milliseconds()); at.Before(before.Add(c.kept)) || at.After(after.Add(c.kept)) {
			t.Errorf("%v ends at %v, want %v after %v to %v", c.state, at, c.kept, before, after)
		}
	}
}

// now is the time on the server, in whole milliseconds.
func now(t *testing.T, client redis.UniversalClient) time.Time {
	t.Helper()
	at, err := client.Time(t.Context()).Result()
	must(t, err)
	return at.Truncate(time.Millisecond)
}

// eventually calls f until it is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestNothingIsLeftPastTheRetention(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	req := request
	req.Lease, req.Retention = time.Millisecond, 500*time.Millisecond
	for i, to := range []func(key string) error{
		func(string) error { return nil },
		func(key string) error { return s.Complete(t.Context(), key, 1, &webhook.Answer{Status: 200}) },
		func(key string) error { return s.Release(t.Context(), key, 1, true) },
		func(key string) error { return s.Kill(t.Context(), key, 1) },
	} {
		key := fmt.Sprint("stripe/", i)
		if c, err := s.Claim(t.Context(), key, req); err != nil || c.Status != webhook.Claimed {
			t.Fatal(c, err)
		}
		if err := to(key); err != nil && !errors.Is(err, webhook.ErrStaleFence) { // it ended meanwhile
			t.Fatal(err)
		}
	}
	eventually(t, "a server without keys", func() bool {
		n, err := client.DBSize(t.Context()).Result()
		return err == nil && n == 0
	})
	if r, err := s.Lookup(t.Context(), "stripe/1"); err != nil || r.State != webhook.StateAbsent {
		t.Errorf("%+v, %v; want none", r, err)
	}
}

func TestNamespacesAndOddKeysDoNotTouchEachOther(t *testing.T) {
	for name, client := range map[string]redis.UniversalClient{
		"server":  connect(t, options(testenv.Redis(t).Addr())),
		"cluster": connect(t, options(testenv.RedisCluster(t).Addrs()...)),
	} {
		t.Run(name, func(t *testing.T) {
			var stores []*redisstore.Store
			for _, namespace := range []string{"", "shop", "shop.2"} {
				s, err := redisstore.New(redisstore.Config{Client: client, Namespace: namespace, Timeout: patience})
				must(t, err)
				stores = append(stores, s)
			}
			seen := map[string]bool{}
			for _, key := range []string{"", "a", "}", "{", "{}", "a}b", "{a}{b}", "a b", "a\r\nb", "a\x00b", "é", "*", strings.Repeat("x", 320)} {
				for _, s := range stores {
					claim(t, s, key, webhook.Claimed)
					must(t, s.Complete(t.Context(), key, 1, nil))
					claim(t, s, key, webhook.Done)
					seen[s.Key(key)] = true
				}
			}
			if len(seen) != 13*3 {
				t.Errorf("%d keys, want 39: %q", len(seen), slices.Sorted(maps.Keys(seen)))
			}
			if want := "handrail:webhook:{default:a}"; !seen[want] {
				t.Errorf("no key %q: %q", want, slices.Sorted(maps.Keys(seen)))
			}
		})
	}
}

func TestAnswersAreKeptUpToTheirBound(t *testing.T) {
	s := newStore(t, connect(t, options(testenv.Redis(t).Addr())))
	body := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
	for _, c := range []struct {
		rule   string
		answer *webhook.Answer
		kept   bool
	}{
		{"none", nil, false},
		{"a status alone", &webhook.Answer{Status: 204}, true},
		{"64 KiB", &webhook.Answer{Status: 200, ContentType: "text/plain", Body: body(redisstore.MaxAnswerBytes)}, true},
		{"one byte more", &webhook.Answer{Status: 200, Body: body(redisstore.MaxAnswerBytes + 1)}, false},
		{"a content type without end", &webhook.Answer{Status: 200, ContentType: string(body(1 << 20))}, false},
	} {
		claim(t, s, c.rule, webhook.Claimed)
		must(t, s.Complete(t.Context(), c.rule, 1, c.answer))
		got := claim(t, s, c.rule, webhook.Done).Answer
		switch {
		case (got != nil) != c.kept:
			t.Errorf("%s: kept %t, want %t", c.rule, got != nil, c.kept)
		case got != nil && (got.Status != c.answer.Status || got.ContentType != c.answer.ContentType || !bytes.Equal(got.Body, c.answer.Body)):
			t.Errorf("%s: is another one", c.rule)
		}
	}
}

func TestAClockThatIsSetBack(t *testing.T) {
	s := newStore(t, connect(t, options(testenv.Redis(t).Addr())))
	// Years ahead, so that no key ends by the server's own clock.
	at := time.Now().AddDate(5, 0, 0).Truncate(time.Millisecond)
	set := func(d time.Duration) { redisstore.SetClock(t, s, at.Add(d)) }
	set(0)
	for _, key := range []string{"claimed", "done", "retry"} {
		claim(t, s, key, webhook.Claimed)
	}
	set(-24 * time.Hour)
	if c := claim(t, s, "claimed", webhook.InFlight); c.LeaseLeft != request.Lease+24*time.Hour {
		t.Errorf("%v of the lease left", c.LeaseLeft)
	}
	must(t, s.Complete(t.Context(), "done", 1, nil))
	claim(t, s, "done", webhook.Done)
	must(t, s.Release(t.Context(), "retry", 1, false))
	if c := claim(t, s, "retry", webhook.Claimed); c.Fence != 2 {
		t.Errorf("fence %d, want 2", c.Fence)
	}
	set(request.Lease)
	if c := claim(t, s, "claimed", webhook.Claimed); c.Fence != 2 || !c.MaybeProcessed {
		t.Errorf("%+v, want fence 2 and maybe processed", c)
	}
	if err := s.Complete(t.Context(), "claimed", 1, nil); !errors.Is(err, webhook.ErrStaleFence) {
		t.Errorf("error %v, want ErrStaleFence", err)
	}
}

func TestWhatIsNoDeliveryIsAnErrorAndLeftAlone(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	// damaged is a delivery with one word changed, counted from 0.
	damaged := func(word int, to string) func(key string) error {
		return func(key string) error {
			claim(t, s, "k", webhook.Claimed)
			text, err := client.Get(t.Context(), key).Result()
			words := strings.Split(strings.TrimSuffix(text, "\n"), " ")
			words[word] = to
			return errors.Join(err, client.Set(t.Context(), key, strings.Join(words, " ")+"\n", 0).Err())
		}
	}
	for _, c := range []struct {
		rule, want string
		put        func(key string) error
	}{
		{"a hash", "WRONGTYPE", func(key string) error { return client.HSet(t.Context(), key, "x", "y").Err() }},
		{"a list", "WRONGTYPE", func(key string) error { return client.LPush(t.Context(), key, "x").Err() }},
		{"another's string", "FOREIGN", func(key string) error { return client.Set(t.Context(), key, "x", 0).Err() }},
		{"an empty string", "FOREIGN", func(key string) error { return client.Set(t.Context(), key, "", 0).Err() }},
		{"an unknown state", "FOREIGN", damaged(1, "5")},
		{"a state that is no number", "FOREIGN", damaged(1, "one")},
		{"a fence below zero", "FOREIGN", damaged(2, "-1")},
		{"an unknown mark", "FOREIGN", damaged(3, "2")},
		{"a lease that is no number", "FOREIGN", damaged(4, "soon")},
		{"no retention", "FOREIGN", damaged(5, "")},
		{"no call", "FOREIGN", damaged(6, "")},
		{"a short digest", "FOREIGN", damaged(7, "00")},
		{"a digest that is no number", "FOREIGN", damaged(7, strings.Repeat("x", 64))},
		{"an attempt below zero", "FOREIGN", damaged(8, "-1")},
		{"a time that is no number", "FOREIGN", damaged(9, "now")},
		{"a word too many", "FOREIGN", damaged(9, "1 1")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			must(t, client.FlushAll(t.Context()).Err())
			key := s.Key("k")
			must(t, c.put(key))
			before, err := client.Dump(t.Context(), key).Result()
			must(t, err)
			_, claimErr := s.Claim(t.Context(), "k", request)
			_, lookupErr := s.Lookup(t.Context(), "k")
			_, entryErr := s.Entry(t.Context(), "k")
			for step, err := range map[string]error{
				"claim":   claimErr,
				"lookup":  lookupErr,
				"done":    s.Complete(t.Context(), "k", 1, nil),
				"retry":   s.Release(t.Context(), "k", 1, true),
				"dead":    s.Kill(t.Context(), "k", 1),
				"entry":   entryErr,
				"revive":  s.Revive(t.Context(), "k"),
				"discard": s.Discard(t.Context(), "k"),
			} {
				if err == nil || errors.Is(err, webhook.ErrStaleFence) || !strings.HasPrefix(err.Error(), "redisstore: "+step+": ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: error %v, want one with %s", step, err, c.want)
				}
			}
			if after, err := client.Dump(t.Context(), key).Result(); err != nil || after != before {
				t.Errorf("it changed (%v)", err)
			}
		})
	}
}

func TestConfigProblems(t *testing.T) {
	client := func(edit func(*redis.UniversalOptions)) redis.UniversalClient {
		o := options("127.0.0.1:1")
		edit(o)
		return connect(t, o)
	}
	ring := redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = ring.Close() })
	good := client(func(*redis.UniversalOptions) {})
	for _, c := range []struct {
		rule string
		cfg  redisstore.Config
		want string // parts of the error, in order; empty: none
	}{
		{"a client is enough", redisstore.Config{Client: good}, ""},
		{"all problems at once", redisstore.Config{Timeout: -1, Namespace: "a:b"}, "Client: is required|Timeout: \"-1ns\"|Namespace: \"a:b\""},
		{"deadlines are kept", redisstore.Config{Client: client(func(o *redis.UniversalOptions) { o.ContextTimeoutEnabled = false })}, "ContextTimeoutEnabled"},
		{"deadlines are kept over a Cluster", redisstore.Config{Client: client(func(o *redis.UniversalOptions) { o.ContextTimeoutEnabled, o.IsClusterMode = false, true })}, "ContextTimeoutEnabled"},
		{"nothing is repeated behind the store", redisstore.Config{Client: client(func(o *redis.UniversalOptions) { o.MaxRetries = 0 })}, "MaxRetries"},
		{"nor over a Cluster", redisstore.Config{Client: client(func(o *redis.UniversalOptions) { o.MaxRetries, o.IsClusterMode = 3, true })}, "MaxRetries"},
		{"no Ring", redisstore.Config{Client: ring}, "Ring"},
		{"a long namespace is cut", redisstore.Config{Client: good, Namespace: strings.Repeat("x", 65)}, strings.Repeat("x", 64) + "…"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := redisstore.New(c.cfg)
			if c.want == "" {
				must(t, err)
				return
			}
			if problem := new(webhook.ConfigError); !errors.As(err, &problem) {
				t.Fatalf("error %v, want a *webhook.ConfigError", err)
			}
			rest := err.Error()
			for part := range strings.SplitSeq(c.want, "|") {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("error %q does not say %q", err, part)
				}
				rest = after
			}
		})
	}
}
