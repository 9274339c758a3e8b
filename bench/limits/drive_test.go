package limits_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// decide asks a limiter about key.
type decide func(ctx context.Context, key string) (admitted bool, err error)

// keyring is where the calls of one goroutine get their keys.
type keyring func() string

// A load is what the goroutines of one measurement do.
type load struct {
	goroutines int
	keys       func(goroutine int) keyring
	wants      verdict
}

// verdict is what every decision of a load must be, so that no limiter is
// measured at something else.
type verdict int

const (
	anything verdict = iota
	admitted
	denied
)

func (v verdict) holds(ok bool) bool { return v == anything || ok == (v == admitted) }

// A stint is what came of a load.
type stint struct {
	decisions int64
	elapsed   time.Duration
	mallocs   uint64
	cpu       time.Duration // of this process
	serverCPU time.Duration

	bytesPerKey float64
}

func (s stint) perSecond() float64 { return float64(s.decisions) / s.elapsed.Seconds() }
func (s stint) nanoseconds() float64 {
	return float64(s.elapsed.Nanoseconds()) / float64(s.decisions)
}
func (s stint) allocations() float64 { return float64(s.mallocs) / float64(s.decisions) }
func (s stint) cpuMicros() float64   { return s.cpu.Seconds() * 1e6 / float64(s.decisions) }
func (s stint) serverMicros() float64 {
	return s.serverCPU.Seconds() * 1e6 / float64(s.decisions)
}

// drive puts d under l until the time is over, or until each goroutine has made
// that many calls, whichever comes first; 0 means no bound. Every call waits for
// its answer.
func (l load) drive(t testing.TB, d decide, duration time.Duration, calls int) stint {
	t.Helper()
	var (
		stop      atomic.Bool
		wrong     atomic.Int64
		failure   atomic.Pointer[error]
		decisions = make([]int64, 16*l.goroutines) // each on a cache line of its own
		begin     = make(chan struct{})
		ctx       = t.Context()
		all       sync.WaitGroup
	)
	for g := range l.goroutines {
		next := l.keys(g)
		all.Go(func() {
			<-begin
			n := 0
			for ; !stop.Load() && (calls == 0 || n < calls); n++ {
				ok, err := d(ctx, next())
				if err != nil {
					failed := err // err itself would be allocated for every call
					failure.Store(&failed)
					break
				}
				if !l.wants.holds(ok) {
					wrong.Add(1)
				}
			}
			decisions[16*g] = int64(n)
		})
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := ownCPU(t), time.Now()
	close(begin)
	if duration > 0 {
		timer := time.AfterFunc(duration, func() { stop.Store(true) })
		defer timer.Stop()
	}
	all.Wait()
	s := stint{elapsed: time.Since(start), cpu: ownCPU(t) - cpu}
	runtime.ReadMemStats(&after)
	s.mallocs = after.Mallocs - before.Mallocs
	for _, n := range decisions {
		s.decisions += n
	}
	if err := failure.Load(); err != nil {
		t.Fatal(*err)
	}
	// At a boundary of time a limiter may differ now and then.
	if n := wrong.Load(); n*1000 > s.decisions {
		t.Fatalf("%d of %d decisions are not what this load measures", n, s.decisions)
	}
	return s
}

// ownCPU is what this process has used of the CPU since its start.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
