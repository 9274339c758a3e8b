package limits_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

var (
	compare  = flag.Bool("compare", false, "measure the peers in turn and print how they compare")
	rounds   = flag.Int("rounds", 5, "how often each is measured")
	duration = flag.Duration("duration", 400*time.Millisecond, "how long each time")
	seed     = flag.Uint64("seed", 0, "of the order of peers and keys; 0 means any")
)

// TestCompare prints tables in Markdown. Within a round every peer has its turn
// at a case before the next case begins, in another order in each round.
func TestCompare(t *testing.T) {
	if !*compare {
		t.Skip("measures for minutes: asked for by -compare")
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	url := testenv.Redis(t).URL()
	server := plainClient(t, url)
	fmt.Printf("%s\n\n%d rounds of %v, seed %d.\n", machine(t, server), *rounds, *duration, *seed)
	r := rand.New(rand.NewPCG(*seed, 0))

	fmt.Printf("\n## In Redis\n\n%d in %v.\n", count, window)
	for _, c := range redisCases() {
		peers := redisPeers(url)
		results := newResults(peers)
		for range *rounds {
			for _, i := range r.Perm(len(peers)) {
				t.Run("", func(t *testing.T) { // closes the peer's client
					results.add(peers[i].name, c.measure(t, server, peers[i], *duration, 0))
				})
			}
		}
		if t.Failed() {
			return
		}
		fmt.Printf("\n%s, from %d goroutines:\n\n", c.name, c.goroutines)
		results.print(os.Stdout, []string{"redis_rate", "httprate-redis"}, []column{perSecond, allocations, clientCPU, redisCPU})
	}

	fmt.Printf("\n## In memory\n\n%d in %v.\n", count, window)
	for _, c := range memoryCases() {
		keys := memoryKeys(c.keys)
		peers := memoryPeers(maxKeys(c.keys))
		results := map[int]*results{}
		for _, goroutines := range processors() {
			results[goroutines] = newResults(peers)
		}
		for range *rounds {
			for _, i := range r.Perm(len(peers)) {
				t.Run("", func(t *testing.T) {
					d, bytes := c.fill(t, peers[i], keys)
					for _, goroutines := range processors() {
						s := c.drive(t, d, keys, goroutines, r.Uint64(), *duration, 0)
						s.bytesPerKey = bytes
						results[goroutines].add(peers[i].name, s)
					}
				})
			}
		}
		if t.Failed() {
			return
		}
		for _, goroutines := range processors() {
			fmt.Printf("\n%s, from %d goroutines:\n\n", c.name, goroutines)
			columns := []column{nanoseconds, cpuNanos, allocations}
			if c.keys > 1<<16 {
				columns = append(columns, bytesPerKey)
			}
			results[goroutines].print(os.Stdout, []string{"throttled", "go-limiter"}, columns)
		}
	}
}
