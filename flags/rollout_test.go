package flags_test

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func TestRolloutHoldsForItsShareAndTheSameUsersAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write(t, path, "flags: {new-checkout: {rolloutPercentage: 25}}\n")
	const ids = 100_000
	pick := func() []string {
		c, err := flags.New(t.Context(), flags.Config{Source: flags.File(path)})
		if err != nil {
			t.Fatal(err)
		}
		var on []string
		for i := range ids {
			if id := fmt.Sprintf("user-%d", i); c.Enabled("new-checkout", id) {
				on = append(on, id)
			}
		}
		return on
	}
	first, second := pick(), pick()
	if share := 100 * float64(len(first)) / ids; math.Abs(share-25) > 0.5 {
		t.Errorf("25 %% holds for %.3f %% of %d ids", share, ids)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error("other users after a restart:", diff)
	}
}

func TestRaisingAPercentageOnlyAddsUsers(t *testing.T) {
	var b strings.Builder
	const from, steps = 20_000, 10_000 // 20 % to 30 %, by 0.001
	for n := from; n < from+steps; n++ {
		fmt.Fprintf(&b, "p-%d: {salt: same, rolloutPercentage: %d.%03d}\n", n, n/1000, n%1000)
	}
	set, err := flags.Parse("flags.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for i := range 200 {
		id := fmt.Sprintf("user-%d", i)
		bucket, before := flags.HashFlagd2.Bucket("same", id), false
		for j, d := range set.EvaluateAll(id) { // by key, so by percentage
			if want := bucket < from+j; d.On != want || before && !d.On {
				t.Fatalf("%s, bucket %d, at %d thousandths: %t", id, bucket, from+j, d.On)
			}
			if d.On && !before && j > 0 {
				flips++
			}
			before = d.On
		}
	}
	if flips == 0 {
		t.Error("no id of the sample flips between 20 and 30 %")
	}
}

func TestFlagsPickTheirUsersIndependentlyAndEvenly(t *testing.T) {
	const nFlags, ids, buckets = 40, 50_000, 100
	users := make([]string, ids)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	picked := make([][]uint64, nFlags)
	counts := make([]int, nFlags)
	worstChi := 0.0
	for f := range nFlags {
		salt := fmt.Sprintf("flag-%d", f)
		picked[f] = make([]uint64, (ids+63)/64)
		var histogram [buckets]int
		for i, id := range users {
			b := flags.HashFlagd2.Bucket(salt, id)
			histogram[b*buckets/flags.FullRollout]++
			if b < 25_000 {
				picked[f][i/64] |= 1 << (i % 64)
				counts[f]++
			}
		}
		chi := 0.0
		for _, n := range histogram {
			d := float64(n) - ids/buckets
			chi += d * d / (ids / buckets)
		}
		worstChi = max(worstChi, chi)
	}
	worst := 0.0
	for a := range nFlags {
		for b := range a {
			both := 0
			for i := range picked[a] {
				both += bits.OnesCount64(picked[a][i] & picked[b][i])
			}
			pa, pb := float64(counts[a])/ids, float64(counts[b])/ids
			r := (float64(both)/ids - pa*pb) / math.Sqrt(pa*(1-pa)*pb*(1-pb))
			worst = max(worst, math.Abs(r))
		}
	}
	t.Logf("%d flags, %d ids: worst pairwise correlation %.4f, worst chi-square %.1f (99 degrees of freedom)", nFlags, ids, worst, worstChi)
	if limit := 5 / math.Sqrt(ids); worst > limit {
		t.Errorf("pairwise correlation %.4f is above %.4f", worst, limit)
	}
	if worstChi > 160 { // p = 0.0001 for one flag
		t.Errorf("chi-square %.1f: buckets are not even", worstChi)
	}
}

// TestFlagdFractionalScenarios runs flagd's published scenarios for weighted
// variants. Native flags of one salt at the weights' running sums tell the
// variant: it is the first whose flag is on.
func TestFlagdFractionalScenarios(t *testing.T) {
	corpus := filepath.Join("..", "..", "shared", "corpus", "flagd", "gherkin", "fractional.feature")
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Skip("the flagd corpus is not here:", err)
	}
	suits := []string{"clubs", "diamonds", "hearts", "spades"}
	layouts := map[string]struct {
		salt     string
		variants []string
	}{
		"fractional-flag":               {"fractional-flag", suits},
		"fractional-flag-A-shared-seed": {"shared-seed", suits},
		"fractional-flag-B-shared-seed": {"shared-seed", []string{"ace-of-clubs", "ace-of-diamonds", "ace-of-hearts", "ace-of-spades"}},
		"fractional-flag-shorthand":     {"fractional-flag-shorthand", []string{"heads", "tails"}},
		"fractional-hash-edge-flag":     {"", []string{"lower", "upper"}},
	}
	ran := 0
	for _, sc := range fractionalScenarios(string(text)) {
		layout, ok := layouts[sc.flag]
		if !ok {
			continue // nested expressions and broken weights: not in native definitions
		}
		var b strings.Builder
		for i := range layout.variants {
			fmt.Fprintf(&b, "v-%d: {salt: %q, rolloutPercentage: %d}\n", i, layout.salt, 100*(i+1)/len(layout.variants))
		}
		set, err := flags.Parse("flags.yaml", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, d := range set.EvaluateAll(sc.key) {
			if d.On {
				got = layout.variants[i]
				break
			}
		}
		if got != sc.want {
			t.Errorf("%s, %s: got %s, want %s", sc.flag, sc.key, got, sc.want)
		}
		ran++
	}
	if want := 5 + 2 + 4 + 4 + 5; ran != want {
		t.Errorf("%d scenarios ran, want %d", ran, want)
	}
}

type fractionalScenario struct{ flag, key, want string }

// fractionalScenarios reads the example tables of a feature file, without those
// of the older bucketing, tagged v1.
func fractionalScenarios(text string) []fractionalScenario {
	var all []fractionalScenario
	var flag string
	old, rows := false, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Scenario"):
			old = false
		case strings.HasPrefix(line, "@fractional-v"):
			old = line == "@fractional-v1"
		case strings.HasPrefix(line, "Examples:"):
			rows = 0
		case strings.Contains(line, "-flag with key "):
			flag = strings.Split(line, `"`)[1]
		case strings.HasPrefix(line, "|"):
			if rows++; rows == 1 || old {
				continue
			}
			cells := strings.Split(strings.Trim(line, "| "), "|")
			if len(cells) == 2 {
				all = append(all, fractionalScenario{flag, strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])})
			}
		}
	}
	return all
}
