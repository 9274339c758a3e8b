package ratelimit_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// watched is a Watch on virtual time.
type watched struct {
	*ratelimittest.Clock
	*ratelimit.Watch
}

func newWatched(t testing.TB, cfg ratelimit.WatchConfig) watched {
	t.Helper()
	clock := ratelimittest.NewClock()
	cfg.Now = clock.Now
	w, err := ratelimit.NewWatch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return watched{clock, w}
}

// watchKey is a key as a Middleware makes it.
func watchKey(policy string, i int) string {
	return fmt.Sprintf("handrail:{default:%s:%043d}", policy, i)
}

// client is an address of the network i, with that last byte.
func client(i int, last byte) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), last})
}

func TestWatchConfigIsChecked(t *testing.T) {
	tests := []struct {
		rule  string
		cfg   ratelimit.WatchConfig
		field string
	}{
		{"the zero value is good", ratelimit.WatchConfig{}, ""},
		{"no refusals below zero", ratelimit.WatchConfig{MaxRefused: -1}, "MaxRefused"},
		{"not more refusals than 2^20", ratelimit.WatchConfig{MaxRefused: 1<<20 + 1}, "MaxRefused"},
		{"no networks below zero", ratelimit.WatchConfig{MaxNetworks: -1}, "MaxNetworks"},
		{"not more networks than 2^20", ratelimit.WatchConfig{MaxNetworks: 1<<20 + 1}, "MaxNetworks"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := ratelimit.NewWatch(tt.cfg)
			bad, _ := errors.AsType[*ratelimit.ConfigError](err)
			if (bad == nil) != (tt.field == "") || bad != nil && bad.Field != tt.field {
				t.Errorf("error %v, want a problem of %q", err, tt.field)
			}
		})
	}
}

func TestWatchKeepsABoundedNumberOfPolicies(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	attempt := func(policy string) { w.TellAttempt(policy, client(1, 1), 7, 24*time.Hour) }
	policies := func() int { return len(w.Spray()) }
	for i := range 40 {
		attempt(fmt.Sprintf("policy-%02d", i))
	}
	if n := policies(); n != 32 {
		t.Fatalf("%d policies are watched, want 32", n)
	}
	w.Advance(30 * time.Minute)
	for i := range 31 {
		attempt(fmt.Sprintf("policy-%02d", i))
	}
	w.Advance(30 * time.Minute)
	attempt("new")
	attempt("newer")
	list := w.Spray()
	if n := len(list); n != 32 || list[0].Policy != "new" {
		t.Errorf("%d policies, the first %q: want the new one in place of the one that idled for an hour", n, list[0].Policy)
	}
	for _, s := range list {
		if s.Policy == "policy-31" || s.Policy == "newer" {
			t.Errorf("%s is watched", s.Policy)
		}
	}
}

// TestWatchForgetsPoliciesThatAreNoMore is about a change of configuration.
func TestWatchForgetsPoliciesThatAreNoMore(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{MaxRefused: 4})
	tell := func(policy string) {
		w.TellRefused(policy, watchKey(policy, 1), client(1, 1), time.Hour)
		w.TellAttempt(policy, client(1, 1), 7, time.Hour)
		for range 600 {
			w.TellSubject(policy, watchKey(policy, 1))
		}
	}
	known := func() (refused, sprayed, dominant []string) {
		for _, r := range w.Refused() {
			refused = append(refused, r.Policy)
		}
		for _, s := range w.Spray() {
			sprayed = append(sprayed, s.Policy)
		}
		slices.Sort(refused)
		return refused, sprayed, w.Dominant()
	}
	check := func(rule string, want ...string) {
		t.Helper()
		refused, sprayed, dominant := known()
		if !slices.Equal(refused, want) || !slices.Equal(sprayed, want) || !slices.Equal(dominant, want) {
			t.Errorf("%s: refused %v, sprayed %v, dominant %v; want %v", rule, refused, sprayed, dominant, want)
		}
	}
	minutes := func(policies ...string) { // a majority takes two minutes to be seen
		for range 2 {
			for _, policy := range policies {
				tell(policy)
			}
			w.Advance(time.Minute)
		}
	}
	minutes("auth", "old")
	check("all are watched before the first is told", "auth", "old")
	w.Keep("auth", "new")
	check("what is gone goes at once", "auth")
	minutes("auth", "new", "old")
	check("what is gone does not come back by requests that began before", "auth", "new")
	w.Keep("auth", "old")
	minutes("auth", "old", "new")
	check("a name that comes back is watched again", "auth", "old")
	w.Keep()
	check("none is left of none")
}

func TestWatchHasRoomForPoliciesThatAreRenamedOften(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{MaxRefused: 4})
	for i := range 100 {
		name := fmt.Sprintf("policy-%02d", i)
		w.Keep(name)
		w.TellAttempt(name, client(1, 1), 7, time.Hour)
		for j := range 8 { // its list stays in order, over subjects that went
			w.TellRefused(name, watchKey(name, j), client(1, 1), time.Hour)
		}
		if list := w.Spray(); len(list) != 1 || list[0].Policy != name || len(w.Refused()) != 4 {
			t.Fatalf("after %d names: %v, %d refused; want %s alone, 4 refused", i+1, list, len(w.Refused()), name)
		}
	}
}

// TestWatchIsSafeForConcurrentUse is for the race detector.
func TestWatchIsSafeForConcurrentUse(t *testing.T) {
	w, err := ratelimit.NewWatch(ratelimit.WatchConfig{MaxRefused: 8, MaxNetworks: 16})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2000 {
				policy := fmt.Sprintf("policy-%d", i%40)
				w.TellRefused(policy, watchKey(policy, i%20), client(i%50, 1), time.Hour)
				w.TellForget(watchKey(policy, i%7))
				w.TellAttempt(policy, client(i%50, 1), uint64(i%30+1), time.Duration(i%3+1)*time.Minute)
				w.TellSubject(policy, watchKey(policy, 1))
				if i%100 == g {
					w.Refused()
					w.Spray()
					w.Dominant()
				}
				if i%500 == g {
					w.Keep("policy-1", "policy-2", policy)
				}
			}
		})
	}
	all.Wait()
}

func TestWatchAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	w := newWatched(t, ratelimit.WatchConfig{MaxRefused: 64, MaxNetworks: 64})
	keys, i := benchKeys(256), 0
	tests := []struct {
		what string
		tell func()
	}{
		{"a subject refused again", func() { w.TellRefused("auth", benchKey, client(1, 1), time.Hour) }},
		{"ever other subjects refused", func() { w.TellRefused("auth", keys[i%256], client(i, 1), time.Hour) }},
		{"an account tried again", func() { w.TellAttempt("auth", client(1, 1), 7, time.Hour) }},
		{"ever other accounts tried from ever other networks", func() { w.TellAttempt("auth", client(i, 1), uint64(i+1)<<20, time.Hour) }},
		{"a request", func() { w.TellSubject("auth", keys[i%256]) }},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			for range 4096 { // what is kept is allocated as it fills
				i++
				tt.tell()
			}
			n := testing.AllocsPerRun(1000, func() {
				i++
				tt.tell()
			})
			if n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkWatch(b *testing.B) {
	keys := benchKeys(1 << 14)
	var clients [1 << 14]netip.Addr
	for i := range clients {
		clients[i] = client(i, 1)
	}
	loads := []struct {
		name string
		mask int
		tell func(w *ratelimit.Watch, i int)
	}{
		{"refused/one", 0, func(w *ratelimit.Watch, i int) { w.TellRefused("auth", keys[i], clients[i], time.Hour) }},
		{"refused/flood", 1<<14 - 1, func(w *ratelimit.Watch, i int) { w.TellRefused("auth", keys[i], clients[i], time.Hour) }},
		{"attempt/one", 0, func(w *ratelimit.Watch, i int) {
			w.TellAttempt("auth", clients[i], uint64(i+1)*0x9e3779b97f4a7c15, time.Hour)
		}},
		{"attempt/flood", 1<<14 - 1, func(w *ratelimit.Watch, i int) {
			w.TellAttempt("auth", clients[i], uint64(i+1)*0x9e3779b97f4a7c15, time.Hour)
		}},
		{"subject", 1<<14 - 1, func(w *ratelimit.Watch, i int) { w.TellSubject("auth", keys[i]) }},
	}
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			w, _ := ratelimit.NewWatch(ratelimit.WatchConfig{})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				load.tell(w, i&load.mask)
			}
		})
		b.Run(load.name+"/parallel", func(b *testing.B) {
			w, _ := ratelimit.NewWatch(ratelimit.WatchConfig{})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					load.tell(w, i&load.mask)
				}
			})
		})
	}
}
