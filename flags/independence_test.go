package flags_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

var allHashes = []flags.Hash{
	flags.HashFlagd2, flags.HashUnleash, flags.HashLaunchDarkly, flags.HashGrowthBook2, flags.HashPostHog,
}

// populations are ids as services have them, the random ones from a fixed seed.
func populations(n int) map[string][]string {
	const seed1, seed2 = 6, 2026
	r := rand.New(rand.NewPCG(seed1, seed2))
	numbered, random := make([]string, n), make([]string, n)
	for i := range n {
		numbered[i] = fmt.Sprintf("user-%d", i)
		random[i] = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	}
	return map[string][]string{"numbered ids": numbered, fmt.Sprintf("random ids, seed %d %d", seed1, seed2): random}
}

// moments judges places in [0, 1) by flag and id: the worst chi-square of one
// flag over 100 cells, and the worst correlation of two flags, of their places
// and of who is below a quarter.
func moments(places [][]float64) (chi, places2, quarter float64) {
	const cells = 100
	ids := float64(len(places[0]))
	below := make([][]float64, len(places))
	for f, all := range places {
		var histogram [cells]float64
		below[f] = make([]float64, len(all))
		for i, p := range all {
			histogram[int(p*cells)]++
			if p < 0.25 {
				below[f][i] = 1
			}
		}
		sum := 0.0
		for _, n := range &histogram {
			d := n - ids/cells
			sum += d * d / (ids / cells)
		}
		chi = max(chi, sum)
	}
	return chi, worstCorrelation(places), worstCorrelation(below)
}

// worstCorrelation is the largest |r| of two rows. It changes them.
func worstCorrelation(rows [][]float64) float64 {
	for _, row := range rows { // to mean 0 and length 1
		mean, square := 0.0, 0.0
		for _, v := range row {
			mean += v
		}
		mean /= float64(len(row))
		for i := range row {
			row[i] -= mean
			square += row[i] * row[i]
		}
		for i := range row {
			row[i] /= math.Sqrt(square)
		}
	}
	worst := 0.0
	for a := range rows {
		for b := range a {
			r := 0.0
			for i, v := range rows[a] {
				r += v * rows[b][i]
			}
			worst = max(worst, math.Abs(r))
		}
	}
	return worst
}

const (
	manyFlags = 40
	manyIDs   = 50_000
	// A chi-square of 99 degrees of freedom is above in one of 10,000 flags.
	chiLimit = 160
)

// correlationLimit is five standard deviations of what chance gives: of 780
// pairs one is above in one of 2,000 runs.
var correlationLimit = 5 / math.Sqrt(manyIDs)

func TestFlagsPickTheirUsersIndependentlyAndEvenly(t *testing.T) {
	for name, ids := range populations(manyIDs) {
		for _, h := range allHashes {
			if h == flags.HashPostHog || h != flags.HashFlagd2 && !strings.HasPrefix(name, "numbered") {
				continue // LaunchDarkly's hash; and numbers are what a hash finds harder
			}
			t.Run(string(h)+"/"+name, func(t *testing.T) {
				t.Parallel()
				places := make([][]float64, manyFlags)
				for f := range places {
					salt := fmt.Sprintf("flag-%d", f)
					places[f] = make([]float64, len(ids))
					for i, id := range ids {
						places[f][i] = float64(h.Bucket(salt, id)) / flags.FullRollout
					}
				}
				chi, r, quarter := moments(places)
				t.Logf("%d flags, %d ids: worst chi-square %.1f (99 degrees of freedom), worst of %d correlations %.4f of places, %.4f at 25 %%",
					manyFlags, len(ids), chi, manyFlags*(manyFlags-1)/2, r, quarter)
				if chi > chiLimit || max(r, quarter) > correlationLimit {
					t.Errorf("above %d or %.4f", chiLimit, correlationLimit)
				}
			})
		}
	}
}

// variantsOf counts the variants a, b, … of flag for each id, as places.
func variantPlaces(t *testing.T, set *flags.Set, flag string, ids []string, n int) []float64 {
	t.Helper()
	places := make([]float64, len(ids))
	for i, id := range ids {
		d := set.Evaluate(flag, id)
		if !d.On || len(d.Variant) != 1 {
			t.Fatalf("%s: %+v", id, d)
		}
		places[i] = (float64(d.Variant[0]-'a') + 0.5) / float64(n)
	}
	return places
}

func TestVariantsOfFlagsAreIndependentOfEachOtherAndOfTheRollout(t *testing.T) {
	var definitions strings.Builder
	for f := range manyFlags {
		fmt.Fprintf(&definitions, "flag-%d: {rolloutPercentage: 100, variants: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]}\n", f)
	}
	set, err := flags.Parse("flags.yaml", []byte(definitions.String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, ids := range populations(manyIDs) {
		var rows [][]float64 // of each flag: which variant, and where its rollout has the id
		worstChi := 0.0
		for f := range manyFlags / 2 {
			flag := fmt.Sprintf("flag-%d", f)
			variant, rollout := variantPlaces(t, set, flag, ids, 5), make([]float64, len(ids))
			var table [5][10]float64
			for i, id := range ids {
				rollout[i] = float64(flags.HashFlagd2.Bucket(flag, id)) / flags.FullRollout
				table[int(variant[i]*5)][int(rollout[i]*10)]++
			}
			worstChi = max(worstChi, independence(table))
			rows = append(rows, variant, rollout)
		}
		worst := worstCorrelation(rows)
		t.Logf("%s, %d flags, %d ids: variant by tenth of the rollout: worst chi-square %.1f (36 degrees of freedom); worst correlation %.4f",
			name, len(rows)/2, len(ids), worstChi, worst)
		if worstChi > 80 || worst > correlationLimit { // 80: one of 30,000 flags
			t.Errorf("%s: above 80 or %.4f", name, correlationLimit)
		}
	}
}

// independence is the chi-square of a table against the product of its sums.
func independence(table [5][10]float64) float64 {
	var rows [5]float64
	var columns [10]float64
	total := 0.0
	for i, row := range table {
		for j, n := range row {
			rows[i] += n
			columns[j] += n
			total += n
		}
	}
	chi := 0.0
	for i, row := range table {
		for j, n := range row {
			want := rows[i] * columns[j] / total
			chi += (n - want) * (n - want) / want
		}
	}
	return chi
}

func TestARolloutsGrowthMovesNobodyToAnotherVariant(t *testing.T) {
	const variants = "variants: [{name: a, weight: 1}, {name: b, weight: 2}, {name: c, weight: 3}]"
	var before *flags.Set
	for _, percent := range []string{"0.1", "1", "10", "50", "99.999", "100"} {
		set, err := flags.Parse("flags.yaml", []byte("f: {rolloutPercentage: "+percent+", "+variants+"}"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20_000 {
			id := fmt.Sprintf("user-%d", i)
			if before == nil {
				continue
			}
			if was, is := before.Evaluate("f", id), set.Evaluate("f", id); was.On && (!is.On || was.Variant != is.Variant) {
				t.Fatalf("%s at %s %%: %q, before %q", id, percent, is.Variant, was.Variant)
			}
		}
		before = set
	}
}

// A user keeps the variant unless a boundary between two went past.
func TestAChangeOfWeightsMovesThoseBetweenTheOldAndTheNewBoundary(t *testing.T) {
	const ids = 20_000
	for _, tc := range []struct {
		rule     string
		old, new []int
		moved    float64 // share
	}{
		{"between neighbours: as many as the difference", []int{50, 30, 20}, []int{60, 20, 20}, 0.10},
		{"the same shares in other numbers: nobody", []int{50, 30, 20}, []int{500, 300, 200}, 0},
		{"a new variant at the end takes its share", []int{50, 50, 0}, []int{45, 45, 10}, 0.05 + 0.10},
		{"from the last to the first: the middle moves along", []int{50, 30, 20}, []int{60, 30, 10}, 0.10 + 0.10},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			boundaries := func(weights []int) (at [3]float64) {
				sum := float64(weights[0] + weights[1] + weights[2])
				at[0], at[1], at[2] = float64(weights[0])/sum, float64(weights[0]+weights[1])/sum, 1
				return at
			}
			parse := func(w []int) *flags.Set {
				set, err := flags.Parse("flags.yaml", fmt.Appendf(nil,
					"f: {rolloutPercentage: 100, variants: [{name: a, weight: %d}, {name: b, weight: %d}, {name: c, weight: %d}]}", w[0], w[1], w[2]))
				if err != nil {
					t.Fatal(err)
				}
				return set
			}
			variantAt := func(boundaries [3]float64, place float64) string {
				for i, end := range boundaries {
					if place < end {
						return string(rune('a' + i))
					}
				}
				return ""
			}
			old, changed := parse(tc.old), parse(tc.new)
			moved := 0
			for i := range ids {
				id := fmt.Sprintf("user-%d", i)
				was, is := old.Evaluate("f", id).Variant, changed.Evaluate("f", id).Variant
				place := float64(flags.HashFlagd2.Bucket("f/variants", id)) / flags.FullRollout
				if want := variantAt(boundaries(tc.old), place); was != want {
					t.Fatalf("%s: %s before, want %s", id, was, want)
				}
				if want := variantAt(boundaries(tc.new), place); is != want {
					t.Fatalf("%s: %s after, want %s", id, is, want)
				}
				if was != is {
					moved++
				}
			}
			if share := float64(moved) / ids; math.Abs(share-tc.moved) > 0.01 || tc.moved == 0 && moved > 0 {
				t.Errorf("%.4f moved, want %.2f", share, tc.moved)
			}
		})
	}
}
