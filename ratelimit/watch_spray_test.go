package ratelimit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// near reports whether got may be an estimate of want: exact for one, and five
// times the standard error away at most.
func near(got, want int) bool {
	if want <= 1 {
		return got == want
	}
	return math.Abs(float64(got-want)) <= 5*0.08*float64(want)
}

func wantSpray(t *testing.T, w watched, accounts, networks int) {
	t.Helper()
	list := w.Spray()
	if len(list) != 1 || !near(list[0].AccountsPerNetwork, accounts) || !near(list[0].NetworksPerAccount, networks) {
		t.Errorf("got %+v, want about %d accounts of a network and %d networks of an account", list, accounts, networks)
	}
}

func TestWatchMeasuresSprays(t *testing.T) {
	account := func(w watched, i int) uint64 { return w.Account(fmt.Sprint("account ", i)) }
	v6 := func(network, host byte) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, network, host, host, 15: host})
	}
	tests := []struct {
		rule               string
		try                func(w watched, try func(netip.Addr, uint64))
		accounts, networks int
	}{
		{"one client with one account", func(w watched, try func(netip.Addr, uint64)) {
			for range 100 {
				try(client(1, 1), account(w, 1))
			}
		}, 1, 1},
		{"many accounts from the addresses of one network", func(w watched, try func(netip.Addr, uint64)) {
			for i := range 3000 {
				try(client(1, byte(i)), account(w, i/3))
			}
		}, 1000, 1},
		{"one account from many networks", func(w watched, try func(netip.Addr, uint64)) {
			for i := range 500 {
				try(client(i, 1), account(w, 1))
			}
		}, 1, 500},
		{"each network with an account of its own", func(w watched, try func(netip.Addr, uint64)) {
			for i := range 500 {
				try(client(i, 1), account(w, i))
			}
		}, 1, 1},
		{"an IPv6 /48 is one network", func(w watched, try func(netip.Addr, uint64)) {
			for i := range 200 {
				try(v6(1, byte(i)), account(w, 1))
			}
		}, 1, 1},
		{"another /48 is another one", func(w watched, try func(netip.Addr, uint64)) {
			for i := range 200 {
				try(v6(byte(i), 1), account(w, 1))
			}
		}, 1, 200},
		{"an IPv4-mapped address is that of IPv4", func(w watched, try func(netip.Addr, uint64)) {
			try(client(1, 1), account(w, 1))
			try(netip.AddrFrom16(client(1, 2).As16()), account(w, 1))
		}, 1, 1},
		{"a zone does not matter", func(w watched, try func(netip.Addr, uint64)) {
			try(v6(1, 1), account(w, 1))
			try(v6(1, 1).WithZone("eth0"), account(w, 1))
		}, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			w := newWatched(t, ratelimit.WatchConfig{})
			tt.try(w, func(a netip.Addr, account uint64) { w.TellAttempt("auth", a, account, time.Hour) })
			wantSpray(t, w, tt.accounts, tt.networks)
		})
	}
}

func TestWatchTakesNoAttemptWithoutBoth(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	w.TellAttempt("auth", client(1, 1), 0, time.Hour)
	w.TellAttempt("auth", netip.Addr{}, 7, time.Hour)
	if got := w.Spray(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestWatchSpraysAreOfAboutTheWindow(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{})
	try := func(from, to int) {
		for i := from; i < to; i++ {
			w.TellAttempt("auth", client(1, 1), w.Account(fmt.Sprint(i)), 10*time.Minute)
		}
	}
	for minute := range 60 {
		// Ten new accounts a minute: after the first ones, 50 to 100 of them are
		// from the window's last half and what is kept before.
		try(10*minute, 10*minute+10)
		got := w.Spray()[0].AccountsPerNetwork
		least, most := min(10*(minute+1), 50), min(10*(minute+1), 100)
		if float64(got) < 0.6*float64(least) || float64(got) > 1.4*float64(most) {
			t.Errorf("minute %d: %d accounts, want %d to %d", minute, got, least, most)
		}
		w.Advance(time.Minute)
	}
	w.Advance(4*time.Minute - 1)
	if got := w.Spray()[0].AccountsPerNetwork; got == 0 {
		t.Error("nothing is left after less than half a window")
	}
	w.Advance(6 * time.Minute)
	wantSpray(t, w, 0, 0)
	try(0, 100)
	wantSpray(t, w, 100, 1)
	w.TellAttempt("auth", client(1, 1), w.Account("0"), time.Hour)
	wantSpray(t, w, 1, 1) // another window begins anew
}

// TestWatchFloodHidesNoSpray: a network that makes one attempt in 250 is found
// among 60,000 attempts of others, whatever those do, and so is an account.
func TestWatchFloodHidesNoSpray(t *testing.T) {
	const attempts, every = 60_000, 250
	tests := []struct {
		rule  string
		flood func(i int) (network, account int)
	}{
		{"ever new networks with ever new accounts", func(i int) (int, int) { return i, i }},
		{"ever new networks with one account each, twice", func(i int) (int, int) { return i / 2, i / 2 }},
		{"ever new networks with three accounts each", func(i int) (int, int) { return i / 3, i }},
		{"ever new accounts from three networks each", func(i int) (int, int) { return i, i / 3 }},
		{"two thousand networks in turn, always with the same account", func(i int) (int, int) { return i % 2000, i % 2000 }},
	}
	for _, tt := range tests {
		for _, start := range []int{0, attempts / 2} {
			t.Run(fmt.Sprintf("%s, from %d on", tt.rule, start), func(t *testing.T) {
				w := newWatched(t, ratelimit.WatchConfig{})
				sprayed := 0
				for i := range attempts {
					network, account := tt.flood(i)
					w.TellAttempt("auth", client(1<<20+network, 1), w.Account(fmt.Sprint("flood ", account)), time.Hour)
					if i >= start && i%every == 0 {
						w.TellAttempt("auth", client(1, 1), w.Account(fmt.Sprint(i)), time.Hour)
						w.TellAttempt("auth", client(1<<21+i, 1), w.Account("target"), time.Hour)
						sprayed++
					}
				}
				// A quarter may be lost before the place is safe; the rest is the error.
				got := w.Spray()[0]
				for _, n := range []int{got.AccountsPerNetwork, got.NetworksPerAccount} {
					if float64(n) < 0.75*0.6*float64(sprayed) || float64(n) > 1.4*float64(sprayed) {
						t.Errorf("got %+v, want about %d of both", got, sprayed)
						break
					}
				}
			})
		}
	}
}

// TestWatchFloodLooksLikeNoSpray: many who try little stay little.
func TestWatchFloodLooksLikeNoSpray(t *testing.T) {
	w := newWatched(t, ratelimit.WatchConfig{MaxNetworks: 64})
	for i := range 100_000 {
		w.TellAttempt("auth", client(i, 1), w.Account(fmt.Sprint(i)), time.Hour)
	}
	wantSpray(t, w, 1, 1)
}

// TestSketchStandardError holds the error that Watch.Spray documents.
func TestSketchStandardError(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		members, runs int
		most          float64
	}{
		{1, 10, 0}, {2, 1000, 0.05}, {10, 1000, 0.05}, {100, 1000, 0.06}, {1000, 1000, 0.08}, {10_000, 1000, 0.08}, {300_000, 100, 0.08},
	} {
		var sum, squares float64
		for range tt.runs {
			e := ratelimit.EstimateDistinct(tt.members, r.Uint64)/float64(tt.members) - 1
			sum += e
			squares += e * e
		}
		bias, rms := sum/float64(tt.runs), math.Sqrt(squares/float64(tt.runs))
		t.Logf("%7d members: standard error %.2f%%, bias %+.2f%%", tt.members, 100*rms, 100*bias)
		if rms > tt.most || math.Abs(bias) > 3*tt.most/math.Sqrt(float64(tt.runs)) {
			t.Errorf("%d members: standard error %.3f, bias %+.3f", tt.members, rms, bias)
		}
	}
}
