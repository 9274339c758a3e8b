package sidecar

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// smallHeap is what the heap may grow to before it is collected, in bytes. A
// proxy has little that lives on and much that does not: at Go's default it
// would collect its few megabytes dozens of times a second.
const smallHeap = 20 << 20

// A collector sets the pace of garbage collection so that a small heap grows to
// smallHeap between two of them, and one that is larger than half of that goes
// by Go's default, of 100 percent. It does nothing in a process that was told
// otherwise, by GOGC or GOMEMLIMIT.
type collector struct {
	percent int
	stopped chan struct{}
}

// startCollector sets the pace after every collection until stop is called.
func startCollector() (stop func()) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if os.Getenv(name) != "" {
			return func() {}
		}
	}
	c := &collector{percent: 100, stopped: make(chan struct{})}
	c.pace()
	c.again()
	return func() {
		close(c.stopped)
		debug.SetGCPercent(100)
	}
}

// again has pace called by the next collection, which finds the marker dead.
func (c *collector) again() {
	runtime.AddCleanup(new(marker), func(c *collector) {
		select {
		case <-c.stopped:
		default:
			c.pace()
			c.again()
		}
	}, c)
}

// A marker is garbage from the start. It is large enough for an allocation of
// its own.
type marker struct{ _ [64]*byte }

func (c *collector) pace() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if percent := percentFor(sample[0].Value.Uint64()); percent != c.percent {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor is the pace at which live bytes grow to smallHeap, in steps that
// are not taken all the time. However little lives, Go collects at its
// percentage of 4 MiB or later.
func percentFor(live uint64) int {
	const (
		step  = 50
		least = 4 << 20
	)
	percent := 100 * smallHeap / least
	if live > 0 {
		percent = min(percent, int(min(smallHeap*100/live, 1100))-100)
	}
	return max(percent/step*step, 100)
}
