package redisflags_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/testenv"
)

// follower is a running Client, whose evaluations are watched all the time.
type follower struct {
	*flags.Client
	changed chan struct{} // something has happened
}

// follow starts one that never saw a mixture or an empty set at its end.
func follow(t *testing.T, s flags.Source) *follower {
	t.Helper()
	f := &follower{changed: make(chan struct{}, 1)}
	var err error
	f.Client, err = flags.New(t.Context(), flags.Config{Source: s, AllowUnready: true, OnEvent: func(flags.Event) {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		for ready := false; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			all := f.EvaluateAll("alice")
			ready = ready || f.Ready()
			set := f.Set()
			if ready && len(all) == 0 && set.Len() != 3 {
				t.Error("an empty set")
				return
			}
			a, _ := set.Lookup("a")
			for _, key := range set.Keys() {
				if def, _ := set.Lookup(key); def.Description != a.Description {
					t.Errorf("a mixture of %s and %s", a.Description, def.Description)
					return
				}
			}
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// await returns when ok holds, and how long that took.
func (f *follower) await(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-f.changed:
		case <-deadline:
			t.Fatalf("%s: not within %v; Err %v", what, patience, f.Err())
		}
	}
	return time.Since(begun)
}

func (f *follower) answers(n int) func() bool {
	return func() bool { return f.Set().Version() == versionOf(n) && f.Err() == nil }
}

// quick is what a change may take, which a busy machine may exceed: then the
// test tells it, and fails only from where it is no longer the machine.
func quick(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("%s took %v", what, took)
	}
}

func TestAChangeIsPushed(t *testing.T) {
	for name, addrs := range map[string]func() []string{
		"a server":  func() []string { return []string{testenv.Redis(t).Addr()} },
		"a Cluster": func() []string { return testenv.RedisCluster(t).Addrs() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, redisflags.Config{Client: connect(t, options(addrs()...)), PollInterval: time.Hour})
			f := follow(t, s)
			must(t, s.Write(t.Context(), "", definitions(0)))
			f.await(t, "the first", f.answers(0))
			worst := time.Duration(0)
			for n := 1; n <= 50; n++ {
				must(t, s.Write(t.Context(), versionOf(n-1), definitions(n)))
				worst = max(worst, f.await(t, "a change", f.answers(n)))
			}
			quick(t, "slowest of 50 changes", worst)
		})
	}
}

// Without the message, as where it was lost or the user may not listen.
func TestAChangeThatNobodyToldIsFound(t *testing.T) {
	server := testenv.Redis(t)
	admin := connect(t, options(server.Addr()))
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~handrail:*", "resetchannels",
		"+evalsha", "+eval", "+time", "+exists", "+hmget", "+hget", "+hset", "+hstrlen", "+xadd", "+xrevrange", "+publish", "+subscribe", "+ping", "+hello", "+auth").Err())
	o := options(server.Addr())
	o.Username, o.Password = "app", "pw"
	s := newSource(t, redisflags.Config{Client: connect(t, o), PollInterval: 100 * time.Millisecond})
	must(t, s.WriteAudited(t.Context(), "", definitions(0), []byte("line")))
	f := follow(t, s)
	worst := time.Duration(0)
	for n := range 10 {
		f.await(t, "a change", f.answers(n))
		must(t, s.Write(t.Context(), versionOf(n), definitions(n+1)))
		worst = max(worst, f.await(t, "a change", f.answers(n+1)))
	}
	quick(t, "slowest of 10 found by polling every 100ms", worst)
	if _, err := s.Audit(t.Context(), "", 1); err != nil {
		t.Error(err)
	}
}

func TestAWatchOutlastsWhatHappensToItsServer(t *testing.T) {
	server := testenv.Redis(t, testenv.Persistent())
	admin := connect(t, options(server.Addr()))
	writer := newSource(t, redisflags.Config{Client: admin})
	watcher := newSource(t, redisflags.Config{Client: connect(t, options(server.Addr())), Timeout: time.Second, PollInterval: 500 * time.Millisecond})
	must(t, writer.Write(t.Context(), "", definitions(0)))
	f := follow(t, watcher)
	f.await(t, "the first", f.answers(0))
	n := 0
	change := func(t *testing.T) {
		t.Helper()
		must(t, writer.Write(t.Context(), versionOf(n), definitions(n+1)))
		n++
	}
	lost := func() bool { return f.Err() != nil }
	for _, tc := range []struct {
		rule string
		do   func(t *testing.T)
	}{
		{"killed and started", func(t *testing.T) {
			server.Kill()
			f.await(t, "the loss", lost)
			server.Start()
		}},
		{"restarted at once", func(*testing.T) { server.Restart() }},
		{"paused", func(t *testing.T) {
			server.Pause()
			f.await(t, "the loss", lost)
			server.Resume()
		}},
		{"connections killed", func(t *testing.T) {
			for _, kind := range []string{"pubsub", "normal"} {
				must(t, admin.ClientKillByFilter(t.Context(), "TYPE", kind, "SKIPME", "yes").Err())
			}
		}},
		{"deleted", func(t *testing.T) {
			must(t, admin.Del(t.Context(), watcher.Key()).Err())
			f.await(t, "the loss", func() bool { return errors.Is(f.Err(), redisflags.ErrMissing) })
			must(t, writer.Write(t.Context(), "", definitions(n)))
		}},
		{"emptied", func(t *testing.T) {
			must(t, admin.FlushAll(t.Context()).Err())
			f.await(t, "the loss", func() bool { return errors.Is(f.Err(), redisflags.ErrMissing) })
			must(t, writer.Write(t.Context(), "", definitions(n)))
		}},
		{"another value", func(t *testing.T) {
			must(t, admin.Set(t.Context(), watcher.Key(), "x", 0).Err())
			f.await(t, "the loss", lost)
			must(t, admin.Del(t.Context(), watcher.Key()).Err())
			must(t, writer.Write(t.Context(), "", definitions(n)))
		}},
		{"bad definitions", func(t *testing.T) {
			bad := []byte("a: {rolloutPercentage: 101}")
			must(t, writer.Write(t.Context(), versionOf(n), bad))
			f.await(t, "the refusal", func() bool {
				d, ok := errors.AsType[*flags.DefinitionError](f.Err())
				return ok && d.Line == 1 && d.File == watcher.Key()
			})
			must(t, writer.Write(t.Context(), flags.VersionOf(bad), definitions(n)))
		}},
		{"scripts forgotten", func(t *testing.T) { must(t, admin.ScriptFlush(t.Context()).Err()) }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			tc.do(t)
			if f.Set().Version() != versionOf(n) {
				t.Error("the last good definitions do not answer")
			}
			change(t)
			quick(t, "a change once it was back", f.await(t, "a change", f.answers(n)))
		})
	}
}

func TestAWatchFollowsAFailover(t *testing.T) {
	group := testenv.RedisSentinel(t)
	o := options(group.Addr())
	o.MasterName = testenv.MasterName
	o.DialTimeout, o.ReadTimeout = time.Second, time.Second
	s := newSource(t, redisflags.Config{Client: connect(t, o), Timeout: 4 * patience})
	must(t, s.Write(t.Context(), "", definitions(0)))
	f := follow(t, newSource(t, redisflags.Config{Client: connect(t, o), Timeout: time.Second}))
	f.await(t, "the first", f.answers(0))
	replica := connect(t, options(group.Replica().Addr()))
	for begun := time.Now(); replica.Exists(t.Context(), s.Key()).Val() == 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatal("nothing is replicated")
		}
	}
	group.Master().Kill()
	must(t, s.Write(t.Context(), versionOf(0), definitions(1)))
	quick(t, "a change after the failover", f.await(t, "a change", f.answers(1)))
}

func TestAWatchEndsWithItsContextAndLeavesNothing(t *testing.T) {
	for name, trouble := range map[string]func(*testenv.RedisServer){
		"at work": func(*testenv.RedisServer) {}, "paused": (*testenv.RedisServer).Pause, "killed": (*testenv.RedisServer).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t)
			client := connect(t, options(server.Addr()))
			s := newSource(t, redisflags.Config{Client: client, Timeout: time.Second, PollInterval: 100 * time.Millisecond})
			must(t, s.Write(t.Context(), "", definitions(0)))
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(t.Context())
			ended, seen := make(chan error), make(chan bool, 100)
			go func() {
				ended <- s.Watch(ctx, func(_ flags.Document, err error) { seen <- err == nil })
			}()
			<-seen
			trouble(server)
			if name != "at work" {
				for <-seen {
				}
			}
			cancel()
			begun := time.Now()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			for begun := time.Now(); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
				if time.Since(begun) > patience {
					buf := make([]byte, 1<<16)
					t.Fatalf("goroutines are left: %s", buf[:runtime.Stack(buf, true)])
				}
			}
		})
	}
}

// A message after which nobody hears of anything more: the connection is there,
// and what is on its other side is not.
func TestAConnectionWithoutAnyoneBehindItIsReplaced(t *testing.T) {
	server := testenv.Redis(t)
	s := newSource(t, redisflags.Config{Client: connect(t, options(server.Addr()))})
	must(t, s.Write(t.Context(), "", definitions(0)))
	var mu sync.Mutex
	var pipes []net.Conn
	o := options(server.Addr())
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		held := &hole{Conn: conn}
		pipes = append(pipes, held)
		return held, nil
	}
	f := follow(t, newSource(t, redisflags.Config{Client: connect(t, o), Timeout: time.Second, PollInterval: time.Hour}))
	f.await(t, "the first", f.answers(0))
	must(t, s.Write(t.Context(), versionOf(0), definitions(1)))
	f.await(t, "a change", f.answers(1))
	mu.Lock()
	for _, p := range pipes {
		p.(*hole).open()
	}
	mu.Unlock()
	must(t, s.Write(t.Context(), versionOf(1), definitions(2)))
	quick(t, "a change that nobody heard of", f.await(t, "a change", f.answers(2)))
}

// hole is a connection that swallows, from a moment on, all that is written.
type hole struct {
	net.Conn
	mu        sync.Mutex
	swallowed bool
}

func (h *hole) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.swallowed = true
}

func (h *hole) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.swallowed {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func (h *hole) Read(p []byte) (int, error) {
	for {
		n, err := h.Conn.Read(p)
		h.mu.Lock()
		swallowed := h.swallowed
		h.mu.Unlock()
		if err != nil || !swallowed {
			return n, err
		}
	}
}

// HANDRAIL_FAULTS_FLAGS is for how long the campaigns run, as "5m".
func campaign(t *testing.T, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("HANDRAIL_FAULTS_FLAGS")
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// Ten changes a second and a server in trouble again and again, while all flags
// are evaluated.
func TestRedisTorture(t *testing.T) {
	server := testenv.Redis(t, testenv.Persistent())
	admin := connect(t, options(server.Addr()))
	writer := newSource(t, redisflags.Config{Client: admin})
	must(t, writer.Write(t.Context(), "", definitions(0)))
	var followers []*follower
	for range 3 {
		followers = append(followers, follow(t, newSource(t, redisflags.Config{Client: connect(t, options(server.Addr())), Timeout: time.Second})))
	}
	n, rounds := 0, 0
	var worst time.Duration
	end := time.Now().Add(campaign(t, 4*time.Second))
	for ; time.Now().Before(end); rounds++ {
		switch rounds % 8 {
		case 1:
			server.Kill()
			server.Start()
		case 3:
			server.Pause()
			time.Sleep(time.Duration(rounds%3) * 600 * time.Millisecond)
			server.Resume()
		case 5:
			must(t, admin.FlushAll(t.Context()).Err())
			must(t, writer.Write(t.Context(), "", definitions(n)))
		case 7:
			must(t, admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
		}
		for range 5 {
			must(t, writer.Write(t.Context(), versionOf(n), definitions(n+1)))
			n++
			if rounds%2 == 0 {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			begun := time.Now()
			for i, f := range followers {
				f.await(t, fmt.Sprintf("follower %d, round %d", i, rounds), f.answers(n))
			}
			worst = max(worst, time.Since(begun))
		}
		for i, f := range followers {
			f.await(t, fmt.Sprintf("follower %d, round %d", i, rounds), f.answers(n))
		}
	}
	quick(t, fmt.Sprintf("%d rounds, %d changes; slowest once the server is back", rounds, n), worst)
}

func TestErrorsTellNoPassword(t *testing.T) {
	server := testenv.Redis(t)
	o := options(server.Addr())
	o.Username, o.Password = "us3r", "p4ssword"
	s := newSource(t, redisflags.Config{Client: connect(t, o), Timeout: time.Second})
	_, err := s.Load(t.Context())
	if err == nil || strings.Contains(err.Error(), "us3r") || strings.Contains(err.Error(), "p4ssword") {
		t.Errorf("%v", err)
	}
	if !redis.HasErrorPrefix(errors.Unwrap(err), "WRONGPASS") {
		t.Logf("%v", err)
	}
}

func TestPollsComeATenthEarlyOrLateAtMost(t *testing.T) {
	s := newSource(t, redisflags.Config{Client: connect(t, options("127.0.0.1:1")), PollInterval: time.Second})
	least, most := time.Hour, time.Duration(0)
	for range 10_000 {
		pause := s.PollPause()
		least, most = min(least, pause), max(most, pause)
	}
	// All of the range is used, to a twentieth of it.
	if least < 900*time.Millisecond || least > 910*time.Millisecond || most >= 1100*time.Millisecond || most < 1090*time.Millisecond {
		t.Errorf("%s to %s", least, most)
	}
}
