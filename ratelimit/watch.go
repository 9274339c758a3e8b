package ratelimit

import (
	"hash/maphash"
	"maps"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// What a Watch keeps unless told otherwise.
const (
	DefaultMaxRefused  = 4096
	DefaultMaxNetworks = 1024
)

// Bounds of a Watch.
const (
	mostWatched     = 1 << 20   // of MaxRefused and MaxNetworks
	watchedPolicies = 32        // policies with tables of their own
	idlePolicy      = time.Hour // after which a policy may lose them to another
)

// WatchConfig makes a Watch.
type WatchConfig struct {
	// MaxRefused bounds the subjects that Refused knows of, at most 1048576; 0
	// means DefaultMaxRefused. One costs about 160 bytes beside its key.
	MaxRefused int

	// MaxNetworks bounds the networks, and with them the accounts, of each policy
	// that Spray counts for, at most 1048576; 0 means DefaultMaxNetworks. One of
	// either costs about 340 bytes.
	MaxNetworks int

	// Now is the clock; nil means that of package time.
	Now func() time.Time
}

// Watch remembers what a Middleware judged, for those who operate it: who is
// blocked (Refused), whether many accounts are tried from few networks or one
// from many (Spray), and whether one subject makes most of the requests
// (Dominant). No decision depends on it. It knows of this process alone and is
// lost with it; handed to one Middleware after the other, it outlives a change
// of configuration. It serves one at a time: with the next it forgets the
// policies that this one does not have.
//
// Whatever clients send, a Watch keeps a bounded number of subjects, and of
// policies 32. Beyond those a policy is not watched for Spray and Dominant, until
// one of the 32 has been without a request for an hour. A Watch starts no
// goroutine and is safe for concurrent use.
type Watch struct {
	clock       clock
	seed        maphash.Seed
	maxNetworks int
	refusedList refusedList

	mu       sync.Mutex // serialises changes of policies
	policies atomic.Pointer[map[string]*policyWatch]
	kept     map[string]bool // under mu; nil before the first keep
}

// policyWatch is what a Watch keeps of one policy.
type policyWatch struct {
	used  atomic.Int64 // when a request came, to the minute
	vote  vote
	spray spray
}

// NewWatch returns a Watch that has seen nothing yet, or every problem of cfg as
// *ConfigError, joined.
func NewWatch(cfg WatchConfig) (*Watch, error) {
	var p problems
	checkWatched(&p, "MaxRefused", cfg.MaxRefused)
	checkWatched(&p, "MaxNetworks", cfg.MaxNetworks)
	if err := p.err(); err != nil {
		return nil, err
	}
	if cfg.MaxRefused == 0 {
		cfg.MaxRefused = DefaultMaxRefused
	}
	if cfg.MaxNetworks == 0 {
		cfg.MaxNetworks = DefaultMaxNetworks
	}
	w := &Watch{clock: newClock(cfg.Now), seed: maphash.MakeSeed(), maxNetworks: cfg.MaxNetworks}
	w.refusedList.init(cfg.MaxRefused)
	w.policies.Store(&map[string]*policyWatch{})
	return w, nil
}

func checkWatched(p *problems, field string, n int) {
	if n < 0 || n > mostWatched {
		p.addf(field, strconv.Itoa(n), "must be between 0 and %d", mostWatched)
	}
}

// wall is the time of day.
func (w *Watch) wall() time.Time {
	if w.clock.read != nil {
		return w.clock.read()
	}
	return time.Now()
}

// keep is told the policies that there are from now on. All others are dropped,
// and so is what is still told of them, by requests that began before.
func (w *Watch) keep(names []string) {
	kept := make(map[string]bool, len(names))
	for _, name := range names {
		kept[name] = true
	}
	w.mu.Lock()
	w.kept = kept
	table := maps.Clone(*w.policies.Load())
	maps.DeleteFunc(table, func(name string, _ *policyWatch) bool { return !kept[name] })
	w.policies.Store(&table)
	w.mu.Unlock()
	w.refusedList.keep(kept)
}

// refused is told that a subject of policy was refused and has to wait. client
// is not valid when the policy's key has no ip.
func (w *Watch) refused(policy, key string, client netip.Addr, wait time.Duration) {
	if wait > 0 {
		w.refusedList.add(policy, key, client, w.clock.now(), wait)
	}
}

// forget is told that a subject was unblocked.
func (w *Watch) forget(key string) { w.refusedList.remove(key) }

// account is what attempt knows an account by: the same for the same subject
// as long as w lives, and worthless outside it. It is never 0.
func (w *Watch) account(subject []byte) uint64 {
	return max(maphash.Bytes(w.seed, subject), 1)
}

// attempt is told that client tried an account, under a policy with that window.
// It does nothing without either.
func (w *Watch) attempt(policy string, client netip.Addr, account uint64, window time.Duration) {
	if account == 0 || !client.IsValid() {
		return
	}
	now := w.clock.now()
	if p := w.policy(policy, now); p != nil {
		p.spray.attempt(w.networkHash(client), account, window, now)
	}
}

// subject is told of every request of policy. It reports whether a warning is
// due that one key makes most of them: at most once a period.
func (w *Watch) subject(policy, key string) (dominant bool) {
	now := w.clock.now()
	p := w.policy(policy, now)
	return p != nil && p.vote.cast(maphash.String(w.seed, key), now)
}

// policy returns what is kept of a policy, nil when that is nothing.
func (w *Watch) policy(name string, now int64) *policyWatch {
	p := (*w.policies.Load())[name]
	if p == nil {
		if p = w.addPolicy(name, now); p == nil {
			return nil
		}
	}
	if now-p.used.Load() >= int64(time.Minute) {
		p.used.Store(now)
	}
	return p
}

// addPolicy puts a new policy into a copy of the table.
func (w *Watch) addPolicy(name string, now int64) *policyWatch {
	if !hasRoom(*w.policies.Load(), now) {
		return nil // without the lock: it is asked with every request
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	table := maps.Clone(*w.policies.Load())
	if p := table[name]; p != nil {
		return p
	}
	if w.kept != nil && !w.kept[name] || !hasRoom(table, now) {
		return nil
	}
	if len(table) >= watchedPolicies {
		name, _ := idlest(table)
		delete(table, name)
	}
	p := &policyWatch{}
	p.used.Store(now)
	p.spray.init(w.maxNetworks)
	table[name] = p
	w.policies.Store(&table)
	return p
}

// hasRoom reports whether table takes another policy at now.
func hasRoom(table map[string]*policyWatch, now int64) bool {
	if len(table) < watchedPolicies {
		return true
	}
	_, used := idlest(table)
	return now-used >= int64(idlePolicy)
}

// idlest is the policy that had no request for longest.
func idlest(table map[string]*policyWatch) (name string, used int64) {
	used = math.MaxInt64
	for n, p := range table {
		if u := p.used.Load(); u < used {
			name, used = n, u
		}
	}
	return name, used
}
