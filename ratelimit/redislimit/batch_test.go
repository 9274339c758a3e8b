package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// pipelines notes how many decisions there are in each pipeline of a client.
type pipelines struct {
	mu     sync.Mutex
	sizes  []int
	before func()
}

// prepare makes f run before the next pipeline.
func (p *pipelines) prepare(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

func (*pipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		switch cmds[0].Name() {
		case "evalsha", "lrem", "del":
		default: // the first words on a connection
			return next(ctx, cmds)
		}
		p.mu.Lock()
		p.sizes = append(p.sizes, len(cmds))
		before := p.before
		p.before = nil
		p.mu.Unlock()
		if before != nil {
			before()
		}
		return next(ctx, cmds)
	}
}

// jam is a limiter on a paused server, with as many calls under way as there can
// be. Calls that come now wait for each other.
type jam struct {
	t       *testing.T
	server  *testenv.RedisServer
	client  redis.UniversalClient
	limiter *redislimit.Limiter
	sent    *pipelines
	calls   sync.WaitGroup
}

// newJam calls before, for each, while the server still answers.
func newJam(t *testing.T, before ...func(redis.UniversalClient)) *jam {
	t.Helper()
	server := testenv.Redis(t)
	j := &jam{t: t, server: server, client: patientClient(t, server.URL()), sent: &pipelines{}}
	j.client.AddHook(j.sent)
	j.limiter = newLimiter(t, j.client)
	allow(t, j.limiter, "warm", hourly(1))
	for _, f := range before {
		f(j.client)
	}
	t.Cleanup(j.resume)
	j.pause()
	return j
}

func (j *jam) pause() {
	j.t.Helper()
	j.server.Pause()
	for i := range redislimit.MaxBatches {
		j.call(j.t.Context(), fmt.Sprint("jam", i))
	}
	j.wait(redislimit.MaxBatches, 0)
}

func (j *jam) resume() {
	j.server.Resume()
	j.calls.Wait()
}

// call calls in a goroutine of its own, and wants no error.
func (j *jam) call(ctx context.Context, key string) {
	j.calls.Go(func() {
		if _, err := j.limiter.Allow(ctx, key, hourly(1)); err != nil {
			j.t.Errorf("%s: %v", key, err)
		}
	})
}

func (j *jam) wait(running, waiting int) {
	j.t.Helper()
	eventually(j.t, fmt.Sprintf("%d under way, %d waiting", running, waiting), func() bool {
		r, w := redislimit.Queued(j.limiter)
		return r == running && w == waiting
	})
}

func (j *jam) wantRecorded(key string, want int64) {
	j.t.Helper()
	if n := j.client.LLen(j.t.Context(), key).Val(); n != want {
		j.t.Errorf("%s: %d recorded, want %d", key, n, want)
	}
}

func hourly(count int) ratelimit.Limit { return ratelimit.Limit{Count: count, Window: time.Hour} }

func TestCallsThatWaitGoTogether(t *testing.T) {
	j := newJam(t)
	for i := range 50 {
		j.call(t.Context(), fmt.Sprint("k", i))
	}
	j.wait(redislimit.MaxBatches, 50)
	j.resume()
	// Batches that end at the same moment each tell one caller to go on.
	together := 0
	for _, n := range j.sent.sizes {
		together += n
	}
	if len(j.sent.sizes) > redislimit.MaxBatches || together <= 50-redislimit.MaxBatches {
		t.Errorf("pipelines of %v, want next to all of 50 in few", j.sent.sizes)
	}
	j.wait(0, 0)
}

func TestABatchIsBounded(t *testing.T) {
	j := newJam(t)
	for i := range 600 {
		j.call(t.Context(), fmt.Sprint("k", i))
	}
	j.wait(redislimit.MaxBatches, 600)
	j.resume()
	for _, n := range j.sent.sizes {
		if n > 256 {
			t.Errorf("a pipeline of %d", n)
		}
	}
	for i := range 600 {
		j.wantRecorded(fmt.Sprint("k", i), 1)
	}
}

func TestACallerWhoLeavesTheQueueIsNotCounted(t *testing.T) {
	j := newJam(t)
	j.call(t.Context(), "older")
	j.wait(redislimit.MaxBatches, 1)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := j.limiter.Allow(ctx, "newest", hourly(1))
		gone <- err
	}()
	j.wait(redislimit.MaxBatches, 2)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	j.resume()
	j.wantRecorded("older", 1)
	j.wantRecorded("newest", 0)
	j.wait(0, 0)
}

func TestABatchGoesOnWithoutTheClientOfItsLeader(t *testing.T) {
	for range 50 {
		j := newJam(t)
		j.call(t.Context(), "follower")
		j.wait(redislimit.MaxBatches, 1)
		ctx, cancel := context.WithCancel(t.Context())
		j.sent.prepare(cancel)
		j.call(ctx, "leader")
		j.wait(redislimit.MaxBatches, 2)
		j.resume()
		canceled := ctx.Err() != nil
		cancel()
		j.wantRecorded("follower", 1)
		j.wantRecorded("leader", 1)
		// Batches that end at the same moment may each let one of the two go on.
		if len(j.sent.sizes) == 0 {
			continue
		}
		if !canceled {
			t.Errorf("not canceled, pipelines of %v", j.sent.sizes)
		}
		return
	}
	t.Error("the two never went together")
}

// Contexts end at every stage of a call.
func TestNoPlaceIsLostToCallersWhoLeave(t *testing.T) {
	l := newLimiter(t, patientClient(t, testenv.Redis(t).URL()))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(rand.N(200*time.Microsecond), cancel)
				if _, err := l.Allow(ctx, "k", hourly(1)); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if running, waiting := redislimit.Queued(l); running != 0 || waiting != 0 {
		t.Errorf("%d under way, %d waiting, want none", running, waiting)
	}
}

func TestAnErrorInABatchIsThatOfOneCall(t *testing.T) {
	j := newJam(t, func(client redis.UniversalClient) {
		if err := client.Set(t.Context(), "\x00a string", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	for i := range 10 {
		j.call(t.Context(), fmt.Sprint("k", i))
	}
	j.wait(redislimit.MaxBatches, 10)
	failed := make(chan error)
	go func() {
		_, err := j.limiter.Allow(t.Context(), "\x00a string", hourly(1))
		failed <- err
	}()
	j.wait(redislimit.MaxBatches, 11)
	j.server.Resume()
	if err := <-failed; !redis.HasErrorPrefix(err, "WRONGTYPE") {
		t.Errorf("error %v, want WRONGTYPE", err)
	}
	j.resume()
	for i := range 10 {
		j.wantRecorded(fmt.Sprint("k", i), 1)
	}
}

func TestScriptsForgottenUnderLoadChangeNothing(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	l := newLimiter(t, client)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 30 {
				d, err := l.Allow(t.Context(), "k", hourly(500))
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	for range 30 {
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if n := admitted.Load(); n != 500 {
		t.Errorf("P10 P11: admitted %d, want 500", n)
	}
}

func TestAClientThatRepeatsIsNotGivenBatches(t *testing.T) {
	o, err := redislimit.Options(testenv.Redis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries = 3
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.DialTimeout = patience, patience, patience, patience
	client := redis.NewUniversalClient(o)
	defer client.Close()
	sent := &pipelines{}
	client.AddHook(sent)
	l := newLimiter(t, client)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { allow(t, l, "k", hourly(1)) })
	}
	wg.Wait()
	if len(sent.sizes) > 0 {
		t.Errorf("pipelines of %v", sent.sizes)
	}
}

// relay stands between a client and a server, and does to connections what a
// network does.
type relay struct {
	addr string
	// answer gets each part of an answer of the n-th connection, and passes it on
	// when it returns true.
	answer func(n int, part []byte) bool
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				_ = in.Close()
				return
			}
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { r.back(n, in, out) })
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	return r
}

func (r *relay) back(n int, in, out net.Conn) {
	defer in.Close()
	buf := make([]byte, 64<<10)
	for {
		m, err := out.Read(buf)
		if err != nil {
			return
		}
		if r.answer(n, buf[:m]) {
			_, err = in.Write(buf[:m])
		} else {
			return
		}
		if err != nil {
			return
		}
	}
}

// A connection that is lost before the answer leaves the admission recorded, and
// once: what was sent is never sent again.
func TestWhatWasSentIsNotSentAgain(t *testing.T) {
	server := testenv.Redis(t)
	r := newRelay(t, server.Addr())
	var lose atomic.Bool
	r.answer = func(int, []byte) bool { return !lose.Load() }
	l := newLimiter(t, patientClient(t, "redis://"+r.addr))
	allow(t, l, "warm", hourly(1))
	lose.Store(true)
	const calls = 200
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := l.Allow(t.Context(), "k", hourly(ratelimit.MaxCount)); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	lose.Store(false)
	direct := patientClient(t, server.URL())
	n := direct.LLen(t.Context(), "k").Val()
	if failed.Load() != calls || n == 0 || n > calls {
		t.Errorf("%d of %d failed, %d recorded", failed.Load(), calls, n)
	}
}

// One connection that hangs takes one batch along, no more.
func TestAConnectionThatHangsDelaysItsOwnBatchAlone(t *testing.T) {
	server := testenv.Redis(t)
	r := newRelay(t, server.Addr())
	release := make(chan struct{})
	var hung atomic.Int64
	hung.Store(-1)
	var hang atomic.Bool
	r.answer = func(n int, _ []byte) bool {
		if hang.CompareAndSwap(true, false) {
			hung.Store(int64(n))
			<-release
		}
		return true
	}
	l := newLimiter(t, patientClient(t, "redis://"+r.addr))
	allow(t, l, "warm", hourly(1))
	hang.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { allow(t, l, "slow", hourly(1)) })
	eventually(t, "a connection hangs", func() bool { return hung.Load() >= 0 })
	for i := range 200 {
		wg.Go(func() { allow(t, l, fmt.Sprint("k", i), hourly(1)) })
	}
	eventually(t, "all others are done", func() bool {
		running, waiting := redislimit.Queued(l)
		return running == 1 && waiting == 0
	})
	close(release)
	wg.Wait()
}
