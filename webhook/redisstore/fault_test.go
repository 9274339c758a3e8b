package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
)

// slack is what a busy machine may add to a step's own timeout. It is well below
// patience, which a step would take that did not keep to its timeout.
const slack = patience / 3

func TestStepsEndInTimeWhateverTheServerDoes(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for _, c := range []struct {
		name       string
		fail, heal func(*testenv.RedisServer)
	}{
		{"killed", (*testenv.RedisServer).Kill, (*testenv.RedisServer).Start},
		{"stopped", (*testenv.RedisServer).Stop, (*testenv.RedisServer).Start},
		{"paused", (*testenv.RedisServer).Pause, (*testenv.RedisServer).Resume},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testenv.Redis(t)
			s, err := redisstore.New(redisstore.Config{Client: connect(t, options(server.Addr())), Timeout: timeout})
			must(t, err)
			works := func() bool { return s.Check(t.Context()) == nil }
			eventually(t, "a first check", works)
			c.fail(server)
			for step, f := range map[string]func() error{
				"claim":    func() error { _, err := s.Claim(t.Context(), "k", request); return err },
				"complete": func() error { return s.Complete(t.Context(), "k", 1, nil) },
				"release":  func() error { return s.Release(t.Context(), "k", 1, true) },
				"kill":     func() error { return s.Kill(t.Context(), "k", 1) },
				"lookup":   func() error { _, err := s.Lookup(t.Context(), "k"); return err },
				"check":    func() error { return s.Check(t.Context()) },
				"warnings": func() error { _, err := s.Warnings(t.Context()); return err },
			} {
				start := time.Now()
				err := f()
				if took := time.Since(start); took > timeout+slack {
					t.Errorf("%s took %v", step, took)
				}
				if err == nil || errors.Is(err, webhook.ErrStaleFence) {
					t.Errorf("%s: error %v without a server", step, err)
				}
			}
			c.heal(server)
			eventually(t, "a check after the server is back", works)
		})
	}
}

// What came back without an error outlives a server that is killed at any
// moment, when it appends to its file on every write.
func TestNoOutcomeIsLostWithAServerThatIsKilled(t *testing.T) {
	server := testenv.Redis(t, testenv.Persistent())
	s := newStore(t, connect(t, options(server.Addr())))
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done []string
	)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(done) }
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("stripe/%d-%d", i, n)
				c, err := s.Claim(t.Context(), key, request)
				if err != nil || c.Status != webhook.Claimed || c.Fence != 1 || c.MaybeProcessed {
					t.Errorf("Claim(%q): %+v, %v", key, c, err)
					return
				}
				if err := s.Complete(t.Context(), key, c.Fence, nil); err != nil {
					t.Errorf("Complete(%q): %v", key, err)
					return
				}
				mu.Lock()
				done = append(done, key)
				mu.Unlock()
			}
		})
	}
	for range 3 {
		before := count()
		eventually(t, "work under way", func() bool { return count() >= before+100 || t.Failed() })
		server.Kill()
		server.Start()
	}
	stop()
	wg.Wait()
	for _, key := range done {
		if r, err := s.Lookup(t.Context(), key); err != nil || r.State != webhook.StateDone || r.Fence != 1 {
			t.Fatalf("%q: %+v, %v; want done at fence 1", key, r, err)
		}
	}
	t.Logf("%d deliveries", len(done))
}

func TestStepsOutlastAServerThatIsPaused(t *testing.T) {
	server := testenv.Redis(t)
	o := options(server.Addr())
	o.ReadTimeout = 20 * time.Millisecond // each step is sent many times
	client := connect(t, o)
	s := newStore(t, client)
	sent := make(chan struct{}, 1000)
	w := wireOf(client)
	w.held = func(redis.Cmder) bool {
		select {
		case sent <- struct{}{}:
		default:
		}
		return false
	}
	claim(t, s, "k", webhook.Claimed)
	outlasts := func(what string, step func() error) {
		t.Helper()
		for len(sent) > 0 {
			<-sent
		}
		server.Pause()
		ended := make(chan error, 1)
		go func() { ended <- step() }()
		for range 5 {
			<-sent
		}
		server.Resume()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	outlasts("release", func() error { return s.Release(t.Context(), "k", 1, false) })
	outlasts("claim", func() error {
		c, err := s.Claim(t.Context(), "k", request)
		if err == nil && (c.Status != webhook.Claimed || c.Fence != 2 || c.MaybeProcessed) {
			err = fmt.Errorf("%+v, want fence 2, unmarked", c)
		}
		return err
	})
	outlasts("complete", func() error { return s.Complete(t.Context(), "k", 2, nil) })
	w.held = nil
	if c := claim(t, s, "k", webhook.Done); c.Fence != 2 {
		t.Errorf("fence %d, want 2", c.Fence)
	}
}

func TestACompleteOutlastsAFailover(t *testing.T) {
	group := testenv.RedisSentinel(t)
	o := options(group.Addr())
	o.MasterName = testenv.MasterName
	o.DialTimeout, o.ReadTimeout = time.Second, time.Second
	// Of a machine that was busy a sentinel thinks for half a minute that its
	// clock is wrong, and does nothing.
	s, err := redisstore.New(redisstore.Config{Client: connect(t, o), Timeout: 4 * patience})
	must(t, err)
	claim(t, s, "k", webhook.Claimed)
	replica := connect(t, options(group.Replica().Addr()))
	eventually(t, "the claim on the replica", func() bool {
		n, err := replica.Exists(t.Context(), s.Key("k")).Result()
		return err == nil && n == 1
	})
	group.Master().Kill()
	must(t, s.Complete(t.Context(), "k", 1, nil))
	claim(t, s, "k", webhook.Done)
}

func TestAFullServerTakesNoClaimsAndAnswersDuplicates(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	for _, key := range []string{"done", "retry", "claimed"} {
		claim(t, s, key, webhook.Claimed)
	}
	must(t, s.Complete(t.Context(), "done", 1, nil))
	must(t, s.Release(t.Context(), "retry", 1, false))
	must(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for _, key := range []string{"new", "retry"} {
		if _, err := s.Claim(t.Context(), key, request); !redis.HasErrorPrefix(err, "OOM") {
			t.Errorf("%s: error %v, want OOM", key, err)
		}
	}
	if err := s.Complete(t.Context(), "claimed", 1, nil); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("error %v, want OOM", err)
	}
	claim(t, s, "done", webhook.Done)
	must(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	if c := claim(t, s, "new", webhook.Claimed); c.Fence != 1 {
		t.Errorf("fence %d of a new key, want 1", c.Fence)
	}
	if c := claim(t, s, "retry", webhook.Claimed); c.Fence != 2 {
		t.Errorf("fence %d of a key to retry, want 2", c.Fence)
	}
	must(t, s.Complete(t.Context(), "claimed", 1, nil))
}

func TestCheck(t *testing.T) {
	check := func(addrs ...string) error {
		t.Helper()
		return newStore(t, connect(t, options(addrs...))).Check(t.Context())
	}
	t.Run("a server", func(t *testing.T) {
		server := testenv.Redis(t)
		must(t, check(server.Addr()))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := newStore(t, connect(t, options(server.Addr()))).Check(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
	t.Run("a replica takes no writes", func(t *testing.T) {
		host, port, _ := strings.Cut(testenv.Redis(t).Addr(), ":")
		replica := testenv.Redis(t, testenv.RedisArgs("--replicaof", host, port))
		if err := check(replica.Addr()); !redis.HasErrorPrefix(err, "READONLY") {
			t.Errorf("error %v, want READONLY", err)
		}
	})
	t.Run("nor does a master without the replicas it asks for", func(t *testing.T) {
		server := testenv.Redis(t, testenv.RedisArgs("--min-replicas-to-write", "1"))
		if err := check(server.Addr()); !redis.HasErrorPrefix(err, "NOREPLICAS") {
			t.Errorf("error %v, want NOREPLICAS", err)
		}
	})
	t.Run("a Cluster needs all masters", func(t *testing.T) {
		cluster := testenv.RedisCluster(t, testenv.RedisArgs("--cluster-require-full-coverage", "no"))
		client := connect(t, options(cluster.Addrs()...))
		s := newStore(t, client)
		must(t, s.Check(t.Context()))
		for _, i := range []int{0, 2} { // one of them at least has not the key that is written
			cluster.KillMaster(i)
			if s.Check(t.Context()) == nil {
				t.Errorf("no error without master %d", i)
			}
			cluster.Master(i).Start()
			cluster.AwaitOK()
			eventually(t, "all masters", func() bool { return s.Check(t.Context()) == nil })
		}
	})
}
