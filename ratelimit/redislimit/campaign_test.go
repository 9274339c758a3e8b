package redislimit_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// With secondsEnv in the environment each fault strikes again and again for as
// long, on a machine that should have nothing else to do: no call may then take
// longer than budget. Otherwise each strikes once, all at the same time.
const (
	secondsEnv = "HANDRAIL_FAULT_SECONDS"
	seedEnv    = "HANDRAIL_FAULT_SEED"
	budget     = 100 * time.Millisecond
)

// fault is one kind of trouble.
type fault struct {
	name string
	// open returns the URL of what it happens to, its subjects, and what happens.
	open func(t *testing.T) (url string, subjects []*subject, strike, heal func())
	down time.Duration // until it heals, in a long run; 0 means a second
}

var faults = []fault{
	{name: "killed and restarted empty", open: func(t *testing.T) (string, []*subject, func(), func()) {
		s := testenv.Redis(t)
		return s.URL(), hot(true), s.Kill, s.Start
	}},
	{name: "killed and restarted with its data", open: func(t *testing.T) (string, []*subject, func(), func()) {
		s := testenv.Redis(t, testenv.Persistent())
		return s.URL(), hot(false), s.Kill, s.Start
	}},
	{name: "refuses connections", open: func(t *testing.T) (string, []*subject, func(), func()) {
		s := testenv.Redis(t, testenv.Persistent())
		return s.URL(), hot(false), s.Stop, s.Start
	}, down: 30 * time.Second},
	{name: "paused", open: func(t *testing.T) (string, []*subject, func(), func()) {
		s := testenv.Redis(t)
		return s.URL(), hot(false), s.Pause, s.Resume
	}, down: 30 * time.Second},
	{name: "runs a slow script", open: func(t *testing.T) (string, []*subject, func(), func()) {
		s := testenv.Redis(t)
		client := patientClient(t, s.URL())
		var busy sync.WaitGroup
		strike := func() {
			busy.Go(func() {
				if err := client.Eval(t.Context(), "for i = 1, ARGV[1] do end return 1", nil, 50_000_000).Err(); err != nil {
					t.Error(err)
				}
			})
		}
		return s.URL(), hot(false), strike, busy.Wait
	}},
	{name: "a Cluster loses a master", open: func(t *testing.T) (string, []*subject, func(), func()) {
		c := testenv.RedisCluster(t, testenv.RedisArgs("--cluster-require-full-coverage", "no"))
		url := "redis://" + strings.Join(c.Addrs(), ",")
		var subjects []*subject
		for addr, keys := range keysByMaster(t, url) {
			for i, s := range hot(addr == c.Addrs()[1]) {
				s.key, s.spared = keys[i], addr != c.Addrs()[1]
				subjects = append(subjects, s)
			}
		}
		return url, subjects, func() { c.KillMaster(1) }, func() { c.Master(1).Start(); c.AwaitOK() }
	}},
}

// subject is a key under load.
type subject struct {
	key    string
	limit  ratelimit.Limit
	bound  int  // of one window
	extra  int  // what the fault may add
	spared bool // the fault is elsewhere

	failed   atomic.Int64 // calls without a decision
	mu       sync.Mutex
	admitted []span
}

// span is when a call began and ended: in between it was decided.
type span struct{ from, to time.Duration }

const (
	hotCount  = 20
	hotWindow = 500 * time.Millisecond
)

// hot are subjects of each algorithm, whose store begins anew after the fault
// when it is emptied.
func hot(emptied bool) []*subject {
	var list []*subject
	for name, limit := range ofEach(hotCount, hotWindow) {
		if limit.Lockout != nil {
			continue
		}
		s := &subject{key: "handrail:{hot:" + name + "}", limit: limit, bound: hotCount}
		if limit.Algorithm == ratelimit.GCRA {
			s.bound = 2*hotCount - 1
		}
		if emptied {
			s.extra = hotCount
		}
		list = append(list, s)
	}
	return list
}

// most is the largest number of admissions that lie within one window for sure,
// of those that began in [from, to).
func (s *subject) most(from, to time.Duration) (most, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in []span
	for _, a := range s.admitted {
		if a.from >= from && a.from < to {
			in = append(in, a)
		}
	}
	slices.SortFunc(in, func(a, b span) int { return int(a.from - b.from) })
	for i, first := range in {
		n := 0
		for _, a := range in[i:] {
			if a.from >= first.from+s.limit.Window {
				break
			}
			if a.to < first.from+s.limit.Window {
				n++
			}
		}
		most = max(most, n)
	}
	return most, len(in)
}

// campaign is load on one fault, from the limiters of two processes.
type campaign struct {
	*testing.T
	limiters [2]*redislimit.Limiter
	subjects []*subject
	begin    time.Time
	stop     chan struct{}
	workers  sync.WaitGroup

	calls, admitted, failed, open, slowest atomic.Int64
}

func (c *campaign) now() time.Duration { return time.Since(c.begin) }

func (c *campaign) call(l *redislimit.Limiter, s *subject) error {
	from := c.now()
	d, err := l.Allow(c.Context(), s.key, s.limit)
	to := c.now()
	c.calls.Add(1)
	for took := int64(to - from); ; {
		slowest := c.slowest.Load()
		if took <= slowest || c.slowest.CompareAndSwap(slowest, took) {
			break
		}
	}
	if err != nil {
		s.failed.Add(1)
	}
	switch {
	case errors.Is(err, redislimit.ErrOpen):
		c.open.Add(1)
	case err != nil:
		c.failed.Add(1)
	case d.Allowed:
		c.admitted.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.admitted = append(s.admitted, span{from, to})
	}
	return err
}

// load calls until stop is closed, each worker a hundred times a second.
func (c *campaign) load(rnd *rand.Rand) {
	for i := range 16 {
		offset := time.Duration(rnd.Int64N(int64(10 * time.Millisecond)))
		c.workers.Go(func() {
			<-time.After(offset)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for n := i; ; n++ {
				select {
				case <-c.stop:
					return
				case <-tick.C:
				}
				_ = c.call(c.limiters[i%2], c.subjects[n/2%len(c.subjects)])
			}
		})
	}
}

// failures are those of each subject.
func (c *campaign) failures() []int64 {
	n := make([]int64, len(c.subjects))
	for i, s := range c.subjects {
		n[i] = s.failed.Load()
	}
	return n
}

// round lets the fault strike once, and returns after how long all was well.
// That as many as possible are admitted is asked of a subject only while none of
// its calls failed, which they do as well when the machine is too busy.
func (c *campaign) round(strike, heal func(), down time.Duration) (recovery time.Duration) {
	c.Helper()
	before, failed := c.now(), c.failures()
	strike()
	struck := c.now()
	<-time.After(down)
	healing := c.now()
	for i, s := range c.subjects {
		if _, all := s.most(struck, healing); s.spared && all < hotCount && s.failed.Load() == failed[i] {
			c.Errorf("%s: %d admitted meanwhile, although its server was there", s.key, all)
		}
	}
	heal()
	healed := c.now()
	for _, l := range c.limiters {
		for _, s := range c.subjects {
			eventually(c.T, "a decision after the fault", func() bool { return c.call(l, s) == nil })
		}
	}
	well, failed := c.now(), c.failures()
	<-time.After(3 * hotWindow)
	end := c.now()
	for i, s := range c.subjects {
		if most, _ := s.most(before, end); most > s.bound+s.extra {
			c.Errorf("P1: %s: %d within %v, want %d and %d at most", s.key, most, hotWindow, s.bound, s.extra)
		}
		most, all := s.most(well+hotWindow, end)
		if most > s.bound || all < hotCount && s.failed.Load() == failed[i] {
			c.Errorf("%s: not exact within a window: %d within %v of %d since, want %d at most", s.key, most, hotWindow, all, s.bound)
		}
	}
	return well - healed
}

func TestFaultsUnderLoad(t *testing.T) {
	seconds := time.Duration(testenv.Number(t, secondsEnv, 0)) * time.Second
	seed := testenv.Number(t, seedEnv, rand.Uint64())
	t.Logf("%s=%d", seedEnv, seed)
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if seconds == 0 {
				t.Parallel()
			}
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			url, subjects, strike, heal := f.open(t)
			c := &campaign{T: t, subjects: subjects, begin: time.Now(), stop: make(chan struct{})}
			for i := range c.limiters {
				c.limiters[i] = hurriedLimiter(t, url)
				for _, s := range subjects {
					eventually(t, "a first decision", func() bool { return c.call(c.limiters[i], s) == nil })
				}
			}
			c.slowest.Store(0) // of the first call there may be more to do
			c.load(rnd)
			down, most := time.Second, redislimit.DefaultTimeout+slack
			if seconds > 0 {
				down, most = max(down, f.down), budget
			}
			rounds, recovery := 0, time.Duration(0)
			for rounds == 0 || time.Since(c.begin) < seconds {
				<-time.After(hotWindow + time.Duration(rnd.Int64N(int64(hotWindow))))
				recovery = max(recovery, c.round(strike, heal, down))
				rounds++
			}
			close(c.stop)
			c.workers.Wait()
			slowest := time.Duration(c.slowest.Load())
			if slowest > most {
				t.Errorf("a call took %v, want %v at most", slowest, most)
			}
			t.Logf("%d rounds of %v: %d calls, %d admitted, %d failed, %d not sent; slowest %v; well after %v",
				rounds, down, c.calls.Load(), c.admitted.Load(), c.failed.Load(), c.open.Load(), slowest, recovery)
		})
	}
}
