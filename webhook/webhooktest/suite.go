package webhooktest

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// SeedVariable names the environment variable that replays a random run.
const SeedVariable = "HANDRAIL_TEST_SEED"

// Fixture is a store under test.
type Fixture struct {
	// Store is empty.
	Store webhook.Store
	// Advance lets d pass on the store's clock, without waiting: by moving
	// the clock, or by moving what is stored into the past. d is a multiple
	// of 10 s; no deadline of the suite is within 5 s of such a step. Steps of
	// the store may be under way; each is before it or after it as a whole.
	Advance func(d time.Duration)
	// Another opens one more handle on what Store keeps, as another process
	// would. Nil: the store has one handle alone.
	Another func() webhook.Store
	// Seed is the seed of random runs. Zero: Run takes it from SeedVariable,
	// else at random.
	Seed uint64
}

// handles are two on one store, or twice the one that there is.
func (f Fixture) handles() []webhook.Store {
	if f.Another == nil {
		return []webhook.Store{f.Store, f.Store}
	}
	return []webhook.Store{f.Store, f.Another()}
}

// Rule is one thing that every store keeps to.
type Rule struct {
	// Name states the rule.
	Name string
	// Check returns what breaks the rule. The fixture is not used again.
	Check func(ctx context.Context, f Fixture) error
}

// Rules returns the rules of the suite. Each takes a fixture of its own.
func Rules() []Rule {
	var all []Rule
	for _, group := range [][]Rule{claimRules, settleRules, bodyRules, retentionRules, concurrencyRules, modelRules, historyRules, throughRules} {
		all = append(all, group...)
	}
	return all
}

// Run checks each rule as a subtest of t, on a fixture that open makes. A
// store may also have a method Purge(context.Context) (int64, error), which
// deletes what is past its retention; it is checked when it is there.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	runRules(t, Rules(), open)
}

func runRules(t *testing.T, rules []Rule, open func(t *testing.T) Fixture) {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(SeedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", SeedVariable, err)
		}
	}
	for _, rule := range rules {
		t.Run(rule.Name, func(t *testing.T) {
			f := open(t)
			if f.Seed == 0 {
				f.Seed = seed
			}
			t.Logf("seed %d", f.Seed)
			if err := rule.Check(t.Context(), f); err != nil {
				t.Errorf("%v (seed %d)", err, f.Seed)
			}
		})
	}
}

const (
	// Steps of the clock are whole tens of seconds; a lease, a retention, and
	// one after the other, end 1 or 2 s before one. So up to 8 s of real time
	// may pass on top without deciding a rule.
	lease     = 39 * time.Second
	pastLease = 40 * time.Second

	retention     = 1009 * time.Second
	pastRetention = 1010 * time.Second
)

var (
	body      = webhook.Digest{1}
	otherBody = webhook.Digest{2}
	request   = webhook.ClaimRequest{Lease: lease, Retention: retention, BodyDigest: body}
)

// strict is a request of an id that the signature does not cover.
func strict(d webhook.Digest) webhook.ClaimRequest {
	r := request
	r.BodyDigest, r.SameBody = d, true
	return r
}
