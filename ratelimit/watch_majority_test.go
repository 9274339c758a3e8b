package ratelimit_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// seeded is a source of chance that a failure can name.
func seeded(t testing.TB) (seed uint64, r *rand.Rand) {
	t.Helper()
	seed = rand.Uint64()
	return seed, rand.New(rand.NewPCG(seed, 0))
}

func TestWatchWarnsOfADominantSubject(t *testing.T) {
	const one, many = 0, 1 << 20
	type minute struct{ ofOne, others int }
	tests := []struct {
		rule     string
		minutes  []minute
		warnings []int // the minutes in which one came
		dominant bool  // after the last
	}{
		{"more than half of the requests, seen in one minute and counted in the next", []minute{{260, 240}, {260, 240}, {1, 0}}, []int{2}, true},
		{"not in one minute alone", []minute{{400, 100}, {100, 400}, {1, 0}}, nil, false},
		{"exactly half is no majority", []minute{{300, 300}, {300, 300}, {1, 0}}, nil, false},
		{"fewer than 500 requests do not tell", []minute{{400, 99}, {400, 99}, {1, 0}}, nil, false},
		{"one warning while it lasts", []minute{{600, 0}, {600, 0}, {600, 0}, {600, 0}, {600, 0}}, []int{2}, true},
		{"another one after a minute below", []minute{{600, 0}, {600, 0}, {0, 900}, {600, 0}, {600, 0}, {1, 0}}, []int{2, 5}, true},
		{"a minute without requests ends it", []minute{{600, 0}, {600, 0}, {600, 0}, {0, 0}, {1, 0}}, []int{2}, false},
		{"nothing is told of a time long gone", []minute{{600, 0}, {600, 0}, {0, 0}, {0, 0}, {600, 0}}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			seed, r := seeded(t)
			w := newWatched(t, ratelimit.WatchConfig{})
			var warnings []int
			for m, n := range tt.minutes {
				var keys []int
				for range n.ofOne {
					keys = append(keys, one)
				}
				for range n.others {
					keys = append(keys, 1+r.IntN(many))
				}
				r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				for _, k := range keys {
					if w.TellSubject("auth", watchKey("auth", k)) {
						warnings = append(warnings, m)
					}
				}
				if m < len(tt.minutes)-1 {
					w.Advance(time.Minute)
				}
			}
			if !slices.Equal(warnings, tt.warnings) {
				t.Errorf("seed %d: warnings in minutes %v, want %v", seed, warnings, tt.warnings)
			}
			if got := slices.Equal(w.Dominant(), []string{"auth"}); got != tt.dominant {
				t.Errorf("seed %d: dominant is %v, want %v", seed, got, tt.dominant)
			}
		})
	}
}

func TestWatchDominantKeepsTheWarning(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	for range 2 {
		for range 600 {
			w.TellSubject("b", benchKey)
			w.TellSubject("a", benchKey)
			w.TellSubject("c", watchKey("c", rand.Int()))
		}
		w.Advance(time.Minute)
	}
	if got := w.Dominant(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	if !w.TellSubject("a", benchKey) || w.TellSubject("a", benchKey) {
		t.Error("want one warning although the policy was looked at before")
	}
	w.Advance(2 * time.Minute)
	if got := w.Dominant(); got != nil || w.TellSubject("b", benchKey) {
		t.Errorf("nothing came for a minute: %v is dominant, or a warning came late", got)
	}
}

// TestWatchFindsNoMajorityThatIsNone: without one, nothing is told, in whatever
// order the requests come.
func TestWatchFindsNoMajorityThatIsNone(t *testing.T) {
	seed, r := seeded(t)
	w := newWatched(t, ratelimit.WatchConfig{})
	for m := range 50 {
		half := 250 + r.IntN(500)
		keys := make([]int, 2*half)
		for i := range keys {
			if i >= half {
				keys[i] = 1 + r.IntN(1+r.IntN(10))
			}
		}
		if r.IntN(2) == 0 {
			r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		}
		for _, k := range keys {
			// The others are never the same from one minute to the next.
			if k > 0 {
				k += 100 * (m + 1)
			}
			if w.TellSubject("auth", watchKey("auth", k)) {
				t.Fatalf("seed %d: a warning in minute %d", seed, m)
			}
		}
		w.Advance(time.Minute)
	}
}
