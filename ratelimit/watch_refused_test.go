package ratelimit_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/handrail-go/handrail/ratelimit"
)

// ids are those of the blocked, in order.
func ids(w watched) []string {
	var out []string
	for _, r := range w.Refused() {
		out = append(out, r.ID)
	}
	return out
}

func digests(n ...int) []string {
	var out []string
	for _, i := range n {
		key := watchKey("auth", i)
		out = append(out, key[len("handrail:{default:auth:"):len(key)-1])
	}
	return out
}

func TestWatchTellsWhoIsBlocked(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	start := w.Now()
	w.TellRefused("auth", "handrail:{default:auth:abc-_}", client(1, 9), time.Minute)
	w.Advance(10 * time.Second)
	w.TellRefused("auth", "handrail:{default:auth:abc-_}", client(1, 8), 50*time.Second)
	w.TellRefused("reset", "handrail:{default:reset:def}", client(0, 0).Next(), time.Hour)
	want := []ratelimit.Refused{
		{Policy: "reset", ID: "def", Client: client(0, 1), Until: w.Now().Add(time.Hour), FirstRefused: w.Now(), Refusals: 1},
		{Policy: "auth", ID: "abc-_", Client: client(1, 8), Until: start.Add(time.Minute), FirstRefused: start, Refusals: 2},
	}
	if diff := cmp.Diff(want, w.Refused(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestWatchRefusedRules(t *testing.T) {
	const minute = time.Minute
	tests := []struct {
		rule string
		do   func(w watched, refuse func(i int, wait time.Duration))
		want []string
	}{
		{"the one blocked for longest comes first", func(_ watched, refuse func(int, time.Duration)) {
			refuse(1, minute)
			refuse(2, 3*minute)
			refuse(3, 2*minute)
		}, digests(2, 3, 1)},
		{"one that is over is left out", func(w watched, refuse func(int, time.Duration)) {
			refuse(1, minute)
			refuse(2, minute+1)
			w.Advance(minute)
		}, digests(2)},
		{"an end can come sooner than it was said", func(w watched, refuse func(int, time.Duration)) {
			refuse(1, time.Hour)
			refuse(1, minute)
			w.Advance(minute)
		}, nil},
		{"one that is unblocked is left out", func(w watched, refuse func(int, time.Duration)) {
			refuse(1, minute)
			refuse(2, minute)
			w.TellForget(watchKey("auth", 1))
			w.TellForget(watchKey("auth", 9))
		}, digests(2)},
		{"one that can never pass is not blocked", func(_ watched, refuse func(int, time.Duration)) {
			refuse(1, 0)
		}, nil},
		{"in a full list the least recently refused goes", func(_ watched, refuse func(int, time.Duration)) {
			for i := range 4 {
				refuse(i, time.Hour)
			}
			refuse(0, 2*minute)
			refuse(4, minute)
		}, digests(2, 3, 0, 4)},
		{"a place that was given up is taken first", func(w watched, refuse func(int, time.Duration)) {
			for i := range 4 {
				refuse(i, time.Hour-time.Duration(i))
			}
			w.TellForget(watchKey("auth", 2))
			refuse(4, minute)
		}, digests(0, 1, 3, 4)},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			w := newWatched(t, ratelimit.WatchConfig{MaxRefused: 4})
			tt.do(w, func(i int, wait time.Duration) { w.TellRefused("auth", watchKey("auth", i), client(i, 1), wait) })
			if got := ids(w); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWatchCountsRefusalsUntilFreeForTenMinutes(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	refuse := func() ratelimit.Refused {
		w.TellRefused("auth", benchKey, client(1, 1), time.Minute)
		return w.Refused()[0]
	}
	start := w.Now()
	refuse()
	w.Advance(11*time.Minute - 1)
	if r := refuse(); r.Refusals != 2 || !r.FirstRefused.Equal(start) {
		t.Errorf("free for less than ten minutes: %d refusals since %v", r.Refusals, r.FirstRefused)
	}
	w.Advance(11 * time.Minute)
	if r := refuse(); r.Refusals != 1 || !r.FirstRefused.Equal(w.Now()) {
		t.Errorf("free for ten minutes: %d refusals since %v", r.Refusals, r.FirstRefused)
	}
}

// TestWatchRefusedAgainstAModel drives a small list at random.
func TestWatchRefusedAgainstAModel(t *testing.T) {
	seed, r := seeded(t)
	const most = 8
	w := newWatched(t, ratelimit.WatchConfig{MaxRefused: most})
	var model []int // least recently refused first
	for step := range 5000 {
		i := r.IntN(20)
		key := watchKey("auth", i)
		at := slices.Index(model, i)
		if at >= 0 {
			model = slices.Delete(model, at, at+1)
		}
		if r.IntN(4) == 0 {
			w.TellForget(key)
		} else {
			if len(model) == most {
				model = model[1:]
			}
			model = append(model, i)
			w.Advance(time.Nanosecond)
			w.TellRefused("auth", key, client(i, 1), time.Hour)
		}
		want := slices.Clone(model)
		slices.Reverse(want)
		if got := ids(w); !slices.Equal(got, digests(want...)) {
			t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, got, want)
		}
	}
}
