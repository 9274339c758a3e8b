package redisstore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// wire stands between a client and its server. Lost is told of each script that
// has run, and reports whether its answer is lost; held of each that is about to
// be sent, and reports whether it is not.
type wire struct {
	lost, held func(cmd redis.Cmder) bool
}

func (w *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !strings.HasPrefix(cmd.Name(), "eval") {
			return next(ctx, cmd)
		}
		if w.held != nil && w.held(cmd) {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		err := next(ctx, cmd)
		if err == nil && w.lost != nil && w.lost(cmd) {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return err
	}
}

func (w *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// times reports true n times.
func times(n int) func(redis.Cmder) bool {
	return func(redis.Cmder) bool { n--; return n >= 0 }
}

// wireOf puts a wire before each server of the client, where go-redis itself
// repeats what a Cluster lost.
func wireOf(client redis.UniversalClient) *wire {
	w := new(wire)
	if c, ok := client.(*redis.ClusterClient); ok {
		c.OnNewNode(func(node *redis.Client) { node.AddHook(w) })
	} else {
		client.AddHook(w)
	}
	return w
}

func TestAStepWhoseAnswersAreLostHappensOnce(t *testing.T) {
	for name, client := range map[string]redis.UniversalClient{
		"server":  connect(t, options(testenv.Redis(t).Addr())),
		"cluster": connect(t, options(testenv.RedisCluster(t).Addrs()...)),
	} {
		t.Run(name, func(t *testing.T) {
			w := wireOf(client)
			s := newStore(t, client)
			for _, c := range []struct {
				want webhook.Record
				step func(key string) error
			}{
				{webhook.Record{State: webhook.StateDone, Answer: &webhook.Answer{Status: 202}}, func(key string) error {
					return s.Complete(t.Context(), key, 1, &webhook.Answer{Status: 202})
				}},
				{webhook.Record{State: webhook.StateDead}, func(key string) error { return s.Kill(t.Context(), key, 1) }},
				{webhook.Record{State: webhook.StateRetry, MaybeProcessed: true}, func(key string) error {
					return s.Release(t.Context(), key, 1, true)
				}},
			} {
				key := c.want.State.String()
				w.lost = times(5)
				if got := claim(t, s, key, webhook.Claimed); got.Fence != 1 || got.Attempt != 1 || got.MaybeProcessed {
					t.Errorf("%s: %+v, want fence 1, unmarked", key, got)
				}
				w.lost = times(5)
				if err := c.step(key); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				w.lost = times(5)
				got, err := s.Lookup(t.Context(), key)
				if err != nil || got.State != c.want.State || got.Fence != 1 || got.MaybeProcessed != c.want.MaybeProcessed || (got.Answer == nil) != (c.want.Answer == nil) {
					t.Errorf("%s: %+v, %v; want %+v at fence 1", key, got, err, c.want)
				}
			}
		})
	}
}

func TestClaimsExcludeEachOtherWhileTheWireLosesStepsAndAnswers(t *testing.T) {
	const claimers, each = 8, 5
	client := connect(t, options(testenv.Redis(t).Addr()))
	w, s := wireOf(client), newStore(t, client)
	often := func(redis.Cmder) bool { return rand.IntN(5) == 0 }
	w.held, w.lost = often, often
	var wg sync.WaitGroup
	var holders, last atomic.Int64
	for range claimers {
		wg.Go(func() {
			for n := 0; n < each && !t.Failed(); {
				c, err := s.Claim(t.Context(), "k", request)
				if err != nil {
					t.Error(err)
				}
				if err != nil || c.Status != webhook.Claimed {
					continue
				}
				n++
				if others := holders.Add(1) - 1; others != 0 || c.MaybeProcessed || c.Fence != last.Load()+1 {
					t.Errorf("%+v after fence %d, with %d other claims", c, last.Load(), others)
				}
				last.Store(c.Fence)
				holders.Add(-1)
				if err := s.Release(t.Context(), "k", c.Fence, false); err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("Release of fence %d: %v", c.Fence, err)
				}
			}
		})
	}
	wg.Wait()
	if r, err := s.Lookup(t.Context(), "k"); err != nil || r.State != webhook.StateRetry || r.Fence != claimers*each {
		t.Errorf("%+v, %v; want one to retry at fence %d", r, err, claimers*each)
	}
}

// A claim is left out of those whose answers are lost: when its lease ends, and
// others claim, before it is sent again, it claims twice, which no store does that
// does one thing at a time. Nobody has heard of the first claim, and it has ended.
func TestHistoriesAreLinearizableThoughTheWireLosesStepsAndAnswers(t *testing.T) {
	server := testenv.Redis(t)
	lossy := connect(t, options(server.Addr()))
	f := fixture(t, connect(t, options(server.Addr())), newStore(t, lossy))
	f.Another = func() webhook.Store { return newStore(t, lossy) }
	f.Seed = rand.Uint64()
	w := wireOf(lossy)
	w.held = func(redis.Cmder) bool { return rand.IntN(8) == 0 }
	const settling = 4 + 4 // the arguments of settle.lua after evalsha, hash, 1 and key
	w.lost = func(cmd redis.Cmder) bool { return len(cmd.Args()) == settling && rand.IntN(8) == 0 }
	unknown, err := webhooktest.Histories(t.Context(), f, func() {})
	t.Logf("%d steps without an answer (seed %d)", unknown, f.Seed)
	if err != nil {
		t.Error(err)
	}
}

func TestAStepThatIsOvertakenIsNotSaidToHaveDoneNothing(t *testing.T) {
	addr := testenv.Redis(t).Addr()
	other := newStore(t, connect(t, options(addr)))
	client := connect(t, options(addr))
	w, s := wireOf(client), newStore(t, client)
	claim(t, s, "k", webhook.Claimed)
	w.lost = func(redis.Cmder) bool {
		w.lost = nil
		claim(t, other, "k", webhook.Claimed)
		return true
	}
	if err := s.Release(t.Context(), "k", 1, false); !errors.Is(err, io.EOF) || errors.Is(err, webhook.ErrStaleFence) {
		t.Errorf("error %v, want that of the first try", err)
	}
	if err := s.Release(t.Context(), "k", 1, false); !errors.Is(err, webhook.ErrStaleFence) {
		t.Errorf("error %v, want ErrStaleFence", err)
	}
}

// What is sent twice may also come twice, and late.
func TestAStepThatComesLateChangesNothing(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	w, s := wireOf(client), newStore(t, client)
	var held []any
	hold := func(cmd redis.Cmder) bool {
		held, w.held = slices.Clone(cmd.Args()), nil
		return true
	}
	// arrive sends what was held and wants the number it answers, or answers first.
	arrive := func(answer int64, want webhook.Record) {
		t.Helper()
		before, err := s.Lookup(t.Context(), "k")
		must(t, err)
		reply, err := client.Do(t.Context(), held...).Result()
		must(t, err)
		if all, ok := reply.([]any); ok {
			reply = all[0]
		}
		if reply != answer {
			t.Errorf("answer %v, want %d", reply, answer)
		}
		after, err := s.Lookup(t.Context(), "k")
		if err != nil || after.State != before.State || after.Fence != before.Fence || after.MaybeProcessed != before.MaybeProcessed {
			t.Errorf("%+v became %+v, %v", before, after, err)
		}
		if after.State != want.State || after.Fence != want.Fence {
			t.Errorf("%+v, want %v at fence %d", after, want.State, want.Fence)
		}
	}
	claim(t, s, "scripts are known", webhook.Claimed)
	must(t, s.Release(t.Context(), "scripts are known", 1, false))

	w.held = hold
	claim(t, s, "k", webhook.Claimed)
	arrive(1, webhook.Record{State: webhook.StateClaimed, Fence: 1})
	claimed := held
	w.held = hold
	must(t, s.Release(t.Context(), "k", 1, false))
	arrive(1, webhook.Record{State: webhook.StateRetry, Fence: 1})
	released := held
	held = claimed
	arrive(0, webhook.Record{State: webhook.StateRetry, Fence: 1})
	claim(t, s, "k", webhook.Claimed)
	arrive(0, webhook.Record{State: webhook.StateClaimed, Fence: 2})
	held = released
	arrive(0, webhook.Record{State: webhook.StateClaimed, Fence: 2})
	w.held = hold
	must(t, s.Complete(t.Context(), "k", 2, nil))
	arrive(1, webhook.Record{State: webhook.StateDone, Fence: 2})
	held = claimed
	arrive(0, webhook.Record{State: webhook.StateDone, Fence: 2})
}

func TestErrorsHoldNoPassword(t *testing.T) {
	const password = "s3cret-of-redis"
	server := testenv.Redis(t)
	steps := func(o *redis.UniversalOptions) map[string]error {
		client := connect(t, o)
		s, err := redisstore.New(redisstore.Config{Client: client, Timeout: 300 * time.Millisecond})
		must(t, err)
		_, claimErr := s.Claim(t.Context(), "k", request)
		_, warningsErr := s.Warnings(t.Context())
		return map[string]error{
			"claim": claimErr, "complete": s.Complete(t.Context(), "k", 1, nil),
			"check": s.Check(t.Context()), "warnings": warningsErr,
		}
	}
	unreachable := options("127.0.0.1:1")
	wrong := options(server.Addr())
	wrong.Username = "somebody"
	for name, o := range map[string]*redis.UniversalOptions{"unreachable": unreachable, "wrong": wrong} {
		o.Password = password
		for step, err := range steps(o) {
			if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "somebody") {
				t.Errorf("%s, %s: error %v, want one without user and password", name, step, err)
			}
		}
	}
}
