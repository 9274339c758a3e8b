package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Spray is how widely a policy's accounts are tried. One client that forgets its
// password tries one account from one network; who tries stolen passwords or
// guesses a common one tries many accounts from a network, and who has many
// networks tries an account from many.
type Spray struct {
	Policy string

	AccountsPerNetwork int // the most accounts that one network tried
	NetworksPerAccount int // the most networks that tried one account
}

// Spray returns what was tried under each policy whose key has something beside
// the client's address, which is the account, within its window: at least the
// last half of it, at most all of it, and not less than half a second. A network
// is an IPv4 /24 or an IPv6 /48.
//
// Numbers are estimates with a standard error of 8% at most. When there are more
// networks or accounts than WatchConfig.MaxNetworks, those go that were tried
// least. A flood of them hides none that makes more than about one of
// MaxNetworks/4 attempts: it keeps its place, and three quarters of its number.
func (w *Watch) Spray() []Spray {
	now := w.clock.now()
	var list []Spray
	for name, p := range *w.policies.Load() {
		if half := p.spray.half.Load(); half != 0 {
			list = append(list, Spray{
				Policy:             name,
				AccountsPerNetwork: p.spray.networks.most(now, half),
				NetworksPerAccount: p.spray.accounts.most(now, half),
			})
		}
	}
	slices.SortFunc(list, func(a, b Spray) int { return strings.Compare(a.Policy, b.Policy) })
	return list
}

// networkHash is what spray knows the network of a client by.
func (w *Watch) networkHash(client netip.Addr) uint64 {
	b := client.As16()
	if client.Is4() || client.Is4In6() {
		b[15] = 0
	} else {
		clear(b[6:])
	}
	return max(maphash.Bytes(w.seed, b[:]), 1)
}

// minHalf is the least time that attempts are kept for.
const minHalf = 500 * time.Millisecond

// spray is what Watch.Spray tells of one policy.
type spray struct {
	half     atomic.Int64 // of the window; 0 before the first attempt
	networks crowds       // and the accounts that each tried
	accounts crowds       // and the networks that tried each
}

func (s *spray) init(size int) {
	s.networks = make(crowds, max(size/crowdSet, 1))
	s.accounts = make(crowds, max(size/crowdSet, 1))
}

func (s *spray) attempt(network, account uint64, window time.Duration, now int64) {
	half := int64(max(window/2, minHalf))
	if s.half.Load() != half {
		s.half.Store(half)
	}
	s.networks.add(network, account, now, half)
	s.accounts.add(account, network, now, half)
}

// crowdSet is how many crowds share a lock.
const crowdSet = 16

// crowds counts distinct members by owner, in sets of crowdSet, for the owners
// with the most. Time is cut into spans of half a window; a crowd is of the
// present one and the one before.
type crowds []struct {
	mu     sync.Mutex
	places *crowdPlaces // nil before the first
}

type crowdPlaces struct {
	owners [crowdSet]uint64 // 0 in an empty place
	crowds [crowdSet]crowd
}

// crowd is the members of one owner.
type crowd struct {
	start int64 // of the span that it was brought up to
	// before is the most that the owner can have had in this span before it got
	// its place: the rank of the one that made room. It counts for rank alone. So
	// a newcomer is not the next to go, and one that goes on outranks those that
	// pass by (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent
	// and top-k elements in data streams", 2005).
	before float32
	recent sketch // of this span
	both   sketch // of this span and the one before
}

// add counts member among those of owner.
func (c crowds) add(owner, member uint64, now, half int64) {
	set := &c[owner%uint64(len(c))]
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.places == nil {
		set.places = new(crowdPlaces)
	}
	start := now - now%half
	i := slices.Index(set.places.owners[:], owner)
	if i < 0 {
		i = set.places.smallest(start, half)
		set.places.take(i, owner)
	}
	place := &set.places.crowds[i]
	place.roll(start, half)
	place.both.add(member)
	place.recent.add(member)
}

// most is the size of the largest.
func (c crowds) most(now, half int64) int {
	start := now - now%half
	var most float32
	for i := range c {
		set := &c[i]
		set.mu.Lock()
		if set.places != nil {
			for j := range set.places.crowds {
				most = max(most, set.places.crowds[j].size(start, half))
			}
		}
		set.mu.Unlock()
	}
	return int(most + 0.5)
}

// smallest is the place of the owner with the fewest members, or an empty one.
func (p *crowdPlaces) smallest(start, half int64) int {
	least := 0
	for i := range p.crowds {
		if p.owners[i] == 0 {
			return i
		}
		p.crowds[i].roll(start, half)
		if p.crowds[i].rank() < p.crowds[least].rank() {
			least = i
		}
	}
	return least
}

// take gives the place i to a new owner.
func (p *crowdPlaces) take(i int, owner uint64) {
	before := p.crowds[i].rank() // 0 in an empty one
	p.owners[i] = owner
	p.crowds[i] = crowd{start: p.crowds[i].start, before: before}
}

// rank says who stays; the least goes first.
func (c *crowd) rank() float32 { return c.before + c.both.size }

// roll brings c up to the span that starts at start.
func (c *crowd) roll(start, half int64) {
	switch c.start {
	case start:
		return
	case start - half:
		c.both = c.recent
	default: // nothing of late, or another window
		c.both = sketch{}
	}
	c.start, c.before, c.recent = start, 0, sketch{}
}

// size is that of both in the span that starts at start.
func (c *crowd) size(start, half int64) float32 {
	switch c.start {
	case start:
		return c.both.size
	case start - half:
		return c.recent.size
	}
	return 0
}
