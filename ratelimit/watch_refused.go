package ratelimit

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Refused is a subject that is blocked.
type Refused struct {
	Policy string // the name of the policy that refuses it

	// ID tells the subjects of a policy apart without naming them: the digest in
	// the store's key.
	ID string

	// Client is the address that was refused last. It is not valid when the
	// policy's key has no ip.
	Client netip.Addr

	// Until is when it may come again as far as this process was told, by the
	// wall clock.
	Until time.Time

	// FirstRefused is when it was first refused, by the wall clock, and Refusals
	// how often since. Both begin anew with a subject that was free for ten
	// minutes.
	FirstRefused time.Time
	Refusals     int64
}

// Refused returns the subjects that are blocked, the one blocked for longest
// first. When there are more than WatchConfig.MaxRefused, those are missing that
// were refused least recently.
func (w *Watch) Refused() []Refused {
	list, now := w.refusedList.blocked(&w.clock)
	slices.SortFunc(list, func(a, b refusedSubject) int { return int(min(max(b.until-a.until, -1), 1)) })
	wall := w.wall()
	out := make([]Refused, len(list))
	for i, r := range list {
		out[i] = Refused{
			Policy:       r.policy,
			ID:           subjectID(r.key),
			Client:       r.client,
			Until:        wall.Add(time.Duration(r.until - now)),
			FirstRefused: wall.Add(time.Duration(r.first - now)),
			Refusals:     r.refusals,
		}
	}
	return out
}

// subjectID is the digest in a key of the store.
func subjectID(key string) string {
	key = strings.TrimSuffix(key, "}")
	return key[strings.LastIndexByte(key, ':')+1:]
}

// spell is how long a subject is free before what is told of it begins anew. One
// that goes on trying gets in now and then, as its earlier admissions end.
const spell = 10 * time.Minute

// refusedSubject is one place of a refusedList. Times are of Watch.clock.
type refusedSubject struct {
	key      string // empty in a free place
	policy   string
	client   netip.Addr
	first    int64
	until    int64
	refusals int64

	newer, older int32 // neighbours by when they were refused last
}

// refusedList is a bounded number of subjects in the order in which they were
// refused last. The place 0 is the ring's end: newest is its older neighbour,
// oldest its newer one.
type refusedList struct {
	mu     sync.Mutex
	max    int
	index  map[string]int32
	places []refusedSubject // grows as it is filled
	free   []int32          // places that were forgotten
	kept   map[string]bool  // policies whose subjects are; nil means all
}

func (l *refusedList) init(maxRefused int) {
	l.max = maxRefused
	l.index = make(map[string]int32)
	l.places = make([]refusedSubject, 1)
}

func (l *refusedList) add(policy, key string, client netip.Addr, now int64, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept != nil && !l.kept[policy] {
		return
	}
	i, known := l.index[key]
	if known {
		l.unlink(i)
	} else {
		i = l.place()
		l.index[key] = i
	}
	r := &l.places[i]
	if !known || now-r.until >= int64(spell) {
		*r = refusedSubject{key: key, first: now}
	}
	r.policy, r.client, r.until = policy, client, now+int64(wait)
	r.refusals++
	l.link(i)
}

func (l *refusedList) remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, known := l.index[key]; known {
		l.vacate(i)
	}
}

// keep forgets the subjects of other policies than those, now and from now on.
func (l *refusedList) keep(policies map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = policies
	for i := 1; i < len(l.places); i++ {
		if r := &l.places[i]; r.key != "" && !policies[r.policy] {
			l.vacate(int32(i))
		}
	}
}

func (l *refusedList) vacate(i int32) {
	l.unlink(i)
	delete(l.index, l.places[i].key)
	l.places[i] = refusedSubject{}
	l.free = append(l.free, i)
}

// place is one for a new subject: free, new, or taken from the oldest.
func (l *refusedList) place() int32 {
	if n := len(l.free); n > 0 {
		i := l.free[n-1]
		l.free = l.free[:n-1]
		return i
	}
	if len(l.places) <= l.max {
		l.places = append(l.places, refusedSubject{})
		return int32(len(l.places) - 1)
	}
	i := l.places[0].newer
	l.unlink(i)
	delete(l.index, l.places[i].key)
	return i
}

func (l *refusedList) link(i int32) {
	newest := l.places[0].older
	l.places[i].older, l.places[i].newer = newest, 0
	l.places[newest].newer, l.places[0].older = i, i
}

func (l *refusedList) unlink(i int32) {
	older, newer := l.places[i].older, l.places[i].newer
	l.places[older].newer, l.places[newer].older = newer, older
}

// blocked returns copies of those that are, and when that was.
func (l *refusedList) blocked(c *clock) (list []refusedSubject, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = c.now()
	list = make([]refusedSubject, 0, len(l.index))
	for _, r := range l.places[1:] {
		if r.until > now && r.key != "" {
			list = append(list, r)
		}
	}
	return list, now
}
