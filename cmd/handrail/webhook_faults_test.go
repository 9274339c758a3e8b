package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

// The environment variables of a campaign: how many runs, the seed of the first
// (each next one has the next seed), and how many go on side by side.
const (
	faultRunsEnv  = "HANDRAIL_FAULT_RUNS"
	faultSeedEnv  = "HANDRAIL_FAULT_SEED"
	faultLanesEnv = "HANDRAIL_FAULT_LANES"
)

// faultSetups are taken in turn, by the seed.
var faultSetups = []faultSetup{
	{"sqlite", "sync"}, {"postgres", "sync"}, {"redis", "sync"}, {"sqlite", "inbox"}, {"postgres", "inbox"},
}

type faultSetup struct{ store, mode string }

func (s faultSetup) String() string { return s.store + " " + s.mode }

// In each run a provider delivers some events through one or two sidecars to an
// app that honours Idempotency-Key, while processes are killed and stopped,
// stores and the app fail, connections break, and clocks jump, at moments that
// the seed draws. Then all is healed, and what providers, app and store have to
// show must agree; see check. A run is repeated, as far as scheduling allows,
// with its seed and one run.
func TestWebhooksThroughFaults(t *testing.T) {
	runs := testenv.Number(t, faultRunsEnv, 6)
	seed := testenv.Number(t, faultSeedEnv, rand.Uint64N(1<<32))
	lanes := int(min(runs, testenv.Number(t, faultLanesEnv, 2)))
	t.Logf("%s=%d %s=%d", faultRunsEnv, runs, faultSeedEnv, seed)
	begin, sums := time.Now(), newFaultSums()
	seeds := make(chan uint64, runs)
	for i := range runs {
		seeds <- seed + i
	}
	close(seeds)
	var done sync.WaitGroup
	path := os.Getenv("PATH")
	for range lanes {
		lane := newFaultLane(t, path)
		done.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
					r := newFaultRun(t, lane, seed)
					defer sums.add(r)
					r.play()
				})
			}
		})
	}
	done.Wait()
	t.Logf("%d runs, seeds %d to %d, %d side by side, in %v\n%s",
		runs, seed, seed+runs-1, lanes, time.Since(begin).Round(time.Second), sums)
}
