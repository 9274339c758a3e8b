package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// patience replaces the short timeouts where a test floods the server.
const patience = 20 * time.Second

func patientClient(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	o, err := redislimit.Options(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.DialTimeout = patience, patience, patience, patience
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newLimiter(t testing.TB, client redis.UniversalClient) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(redislimit.Config{Client: client, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSuite runs on one server, emptied before each case. Virtual time starts
// years ahead, so that no key ends by the server's own clock meanwhile.
func TestSuite(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target { return virtualTarget(t, client) })
}

func TestSuiteOverACluster(t *testing.T) {
	client := patientClient(t, "redis://"+strings.Join(testenv.RedisCluster(t).Addrs(), ","))
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target { return virtualTarget(t, client) })
}

func TestSuiteBehindACache(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
		target := virtualTarget(t, client)
		cached, err := ratelimit.NewCached(ratelimit.CachedConfig{Limiter: target.Limiter, Now: target.Now})
		if err != nil {
			t.Fatal(err)
		}
		target.Limiter = cached
		return target
	})
}

// Two processes remember on their own what one server refused.
func TestWhatOneProcessLetsGoAnotherSeesWithinASecond(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	for name, let := range map[string]func(ratelimit.Limiter, ratelimit.Decision) error{
		"a refund": func(l ratelimit.Limiter, d ratelimit.Decision) error { return l.Refund(t.Context(), "k", hourly(1), d) },
		"a key removed by hand": func(ratelimit.Limiter, ratelimit.Decision) error {
			return client.Del(t.Context(), besideClock+"k").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := virtualTarget(t, client)
			var process [2]*ratelimit.Cached
			for i := range process {
				var err error
				process[i], err = ratelimit.NewCached(ratelimit.CachedConfig{Limiter: target.Limiter, Now: target.Now})
				if err != nil {
					t.Fatal(err)
				}
			}
			d := allow(t, process[0], "k", hourly(1))
			for i := range process {
				if allow(t, process[i], "k", hourly(1)).Allowed {
					t.Fatal("P1: two admitted")
				}
			}
			if err := let(process[0], d); err != nil {
				t.Fatal(err)
			}
			target.Advance(900 * time.Millisecond)
			if !allow(t, process[1], "k", hourly(1)).Allowed {
				t.Error("refused after 900 ms")
			}
			if allow(t, process[0], "k", hourly(1)).Allowed {
				t.Error("P1: admitted what the other took")
			}
		})
	}
}

// besideClock begins every key on virtual time: one server of a Cluster holds
// them, and the clock.
const besideClock = "{virtual}"

type prefixed struct{ l *redislimit.Limiter }

func (p prefixed) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	return p.l.AllowN(ctx, besideClock+key, limit, cost)
}

func (p prefixed) Refund(ctx context.Context, key string, limit ratelimit.Limit, d ratelimit.Decision) error {
	return p.l.Refund(ctx, besideClock+key, limit, d)
}

func (p prefixed) Reset(ctx context.Context, key string) error {
	return p.l.Reset(ctx, besideClock+key)
}

func virtualTarget(t *testing.T, client redis.UniversalClient) ratelimittest.Target {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	flush := func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }
	switch c := client.(type) {
	case *redis.Client:
		check(flush(t.Context(), c))
	case *redis.ClusterClient:
		check(c.ForEachMaster(t.Context(), flush))
	}
	l := newLimiter(t, client)
	now := time.Now().AddDate(5, 0, 0).Truncate(time.Microsecond)
	redislimit.OnVirtualTime(t, l, func() time.Time { return now })
	advance := func(d time.Duration) {
		t.Helper()
		now = now.Add(d)
		check(client.HSet(t.Context(), redislimit.Clock, "s", now.Unix(), "us", now.Nanosecond()/1000).Err())
	}
	advance(0)
	forms := func(key string) []string {
		return []string{besideClock + key, besideClock + key + ":counter", "rate:" + besideClock + key}
	}
	return ratelimittest.Target{
		Limiter: prefixed{l},
		Now:     func() time.Time { return now },
		Advance: advance,
		Tick:    time.Microsecond,
		Epoch:   time.Unix(0, 0),
		Slack:   5 * time.Microsecond,
		State: func(key string) string {
			state := ""
			for _, k := range forms(key) {
				value, err := client.Dump(t.Context(), k).Result()
				if errors.Is(err, redis.Nil) {
					continue
				}
				check(err)
				end, err := client.PExpireTime(t.Context(), k).Result()
				check(err)
				state += fmt.Sprintf("%s %q %v\n", k, value, end)
			}
			return state
		},
		Ends: func(key string) bool {
			for _, k := range forms(key) {
				left, err := client.PTTL(t.Context(), k).Result()
				check(err)
				if left == -1 { // -2 is that of no key
					return false
				}
			}
			return true
		},
		ForgetScripts: func() { check(client.ScriptFlush(t.Context()).Err()) },
	}
}

func TestEveryKeyEnds(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	l := newLimiter(t, client)
	for _, limit := range []ratelimit.Limit{
		{Count: 1, Window: 1500 * time.Microsecond},
		{Count: 3, Window: time.Minute},
		{Count: ratelimit.MaxCount, Window: ratelimit.MaxWindow},
	} {
		for range 5 {
			key := limit.Window.String()
			before := time.Now()
			d := allow(t, l, key, limit)
			end, err := client.PExpireTime(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			if end == -2*time.Nanosecond {
				continue // gone already
			}
			if end == -1*time.Nanosecond {
				t.Fatalf("P8: %v: the key never ends", limit)
			}
			if !d.Allowed {
				continue
			}
			// Not before the admission has left the window, and at most 1 ms after.
			least := time.Duration(d.Token)*time.Microsecond + limit.Window
			if end < least || end > least+time.Millisecond {
				t.Errorf("P8: %v: ends %v after the window (before: %v)", limit, end-least, before)
			}
		}
	}
}

func TestWaitingRetryAfterOnTheServersClockAdmits(t *testing.T) {
	l := newLimiter(t, patientClient(t, testenv.Redis(t).URL()))
	limit := ratelimit.Limit{Count: 3, Window: 300 * time.Millisecond}
	for round := range 3 {
		for i := range 3 {
			if d := allow(t, l, "k", limit); !d.Allowed && round == 0 {
				t.Fatalf("admission %d refused for %v", i, d.RetryAfter)
			}
		}
		d := allow(t, l, "k", limit)
		if d.Allowed {
			t.Fatal("a fourth admission in the window")
		}
		if d.RetryAfter > limit.Window {
			t.Fatalf("RetryAfter %v is longer than the window", d.RetryAfter)
		}
		<-time.After(d.RetryAfter)
		if d := allow(t, l, "k", limit); !d.Allowed {
			t.Fatalf("refused for another %v after waiting RetryAfter", d.RetryAfter)
		}
	}
}

const (
	processes = 5
	workerEnv = "HANDRAIL_TEST_LIMIT_WORKER"
)

func TestFiveProcessesOnOneServerAdmitTheLimit(t *testing.T) {
	server := testenv.Redis(t)
	var mu sync.Mutex
	admitted := map[string]int{}
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWorkerProcess$", "-test.v")
			cmd.Env = append(os.Environ(), workerEnv+"="+server.URL())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("worker: %v\n%s", err, out)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for line := range strings.Lines(string(out)) {
				text, ok := strings.CutPrefix(strings.TrimSpace(line), "admitted ")
				if !ok {
					continue
				}
				number, name, _ := strings.Cut(text, " ")
				n, err := strconv.Atoi(number)
				if err != nil {
					t.Error(err)
				}
				admitted[name] += n
			}
		})
	}
	wg.Wait()
	for name := range ofEach(100, time.Hour) {
		if n := admitted[name]; n != 100 {
			t.Errorf("P11: %s: five processes admitted %d, want 100", name, n)
		}
	}
}

// TestWorkerProcess is one process of TestFiveProcessesOnOneServerAdmitTheLimit:
// a fifth of 2,000 calls.
func TestWorkerProcess(t *testing.T) {
	url := os.Getenv(workerEnv)
	if url == "" {
		t.Skip("runs as a child process only")
	}
	l := newLimiter(t, patientClient(t, url))
	for name, limit := range ofEach(100, time.Hour) {
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 2000 / processes / 20 {
					d, err := l.Allow(t.Context(), name, limit)
					if err != nil {
						t.Error(err)
					}
					if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		fmt.Printf("admitted %d %s\n", admitted.Load(), name)
	}
}

func TestClusterCountsEveryKeyExactly(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	client := patientClient(t, "redis://"+strings.Join(cluster.Addrs(), ","))
	l := newLimiter(t, client)
	limit := ratelimit.Limit{Count: 3, Window: time.Hour}
	for i := range 50 {
		key := fmt.Sprintf("handrail:{default:auth:%d}", i)
		if i == 25 {
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		var last ratelimit.Decision
		for range 3 {
			if last = allow(t, l, key, limit); !last.Allowed {
				t.Fatalf("%s: refused within the limit", key)
			}
		}
		if allow(t, l, key, limit).Allowed {
			t.Fatalf("%s: admitted beyond the limit", key)
		}
		if err := l.Refund(t.Context(), key, limit, last); err != nil {
			t.Fatal(err)
		}
		if !allow(t, l, key, limit).Allowed {
			t.Fatalf("%s: refused after a refund", key)
		}
	}
}

func TestClusterCountsConcurrentCallsExactly(t *testing.T) {
	const keys, count = 20, 50
	cluster := testenv.RedisCluster(t)
	client := patientClient(t, "redis://"+strings.Join(cluster.Addrs(), ","))
	sent := &pipelines{}
	client.(*redis.ClusterClient).OnNewNode(func(node *redis.Client) { node.AddHook(sent) })
	l := newLimiter(t, client)
	var admitted [keys]atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 2 * keys {
				k := (i + j) % keys
				if allow(t, l, fmt.Sprint("k", k), hourly(count)).Allowed {
					admitted[k].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for k := range admitted {
		if n := admitted[k].Load(); n != count {
			t.Errorf("P11: key %d: admitted %d, want %d", k, n, count)
		}
	}
	if len(sent.sizes) == 0 {
		t.Error("no batches")
	}
}

func TestASlotThatMovedIsFollowed(t *testing.T) {
	client := patientClient(t, "redis://"+strings.Join(testenv.RedisCluster(t).Addrs(), ","))
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("%T", client)
	}
	l := newLimiter(t, client)
	// The two keys are of different nodes.
	node := func(key string) *redis.Client {
		n, err := cluster.MasterForKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	from, to := node("k"), node("k")
	other := ""
	for i := 0; to == from; i++ {
		other = fmt.Sprint("other", i)
		to = node(other)
	}
	allow(t, l, other, hourly(1))
	slot := client.ClusterKeySlot(t.Context(), "k").Val()
	id := to.Do(t.Context(), "cluster", "myid").Val()
	for _, n := range []*redis.Client{to, from} {
		if err := n.Do(t.Context(), "cluster", "setslot", slot, "node", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if !allow(t, l, "k", hourly(1)).Allowed || allow(t, l, "k", hourly(1)).Allowed {
		t.Error("not one admitted of two")
	}
}

func allow(t testing.TB, l ratelimit.Limiter, key string, limit ratelimit.Limit) ratelimit.Decision {
	t.Helper()
	d, err := l.AllowN(t.Context(), key, limit, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
