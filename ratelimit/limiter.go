package ratelimit

import (
	"context"
	"strconv"
	"time"
)

// Algorithm says how a Limit counts.
type Algorithm string

// The algorithms of a Limit.
const (
	// SlidingWindow is exact: no half-open window (t−Window, t], wherever it
	// starts, holds more than Count admissions, and nothing is refused while
	// fewer are in the window. An admission of age exactly Window no longer
	// counts. It keeps the time of every admission that counts.
	SlidingWindow Algorithm = "sliding_window"

	// SlidingCounter is for large counts: it keeps one number for each of
	// CounterBuckets parts of the window. No window holds more than Count
	// admissions. The error is one-sided: an admission counts until all of its part
	// has left the window, which is up to Window/CounterBuckets longer than it
	// should, rounded up to the unit of the store's clock. So a call may be refused
	// although fewer than Count are in the window, but never while fewer than Count
	// are in the last Window + Window/CounterBuckets. After a change of Window what
	// is there may count for one more part of the old one.
	SlidingCounter Algorithm = "sliding_counter"

	// GCRA is the generic cell rate algorithm (ITU-T I.371): Burst calls at once,
	// then one each Window/Count. A window may hold up to Burst + Count − 1
	// admissions, close to twice the count with the default burst. It keeps a single
	// time, at which everything admitted is earned back; a refund sets it back by
	// what the call cost, not beyond now.
	GCRA Algorithm = "gcra"
)

// Bounds of a Limit.
const (
	MaxCount       = 512           // of SlidingWindow
	MaxLargeCount  = 1_000_000_000 // of SlidingCounter and GCRA
	CounterBuckets = 60
	MaxTiers       = 4

	MinWindow = time.Millisecond
	MaxWindow = 366 * 24 * time.Hour
)

// A Limit is how many admissions a key has, and in which time. Limits are
// comparable; two with equal tiers are the same limit when they share Lockout.
type Limit struct {
	Count     int           // 1 to MaxCount, or to MaxLargeCount for the other algorithms
	Window    time.Duration // MinWindow to MaxWindow; stores may round it up to a microsecond
	Algorithm Algorithm     // "" means SlidingWindow
	Burst     int           // of GCRA, 1 to MaxLargeCount, earned within MaxWindow; 0 means Count
	Lockout   *Lockout      // of SlidingWindow; nil means none
}

// A Lockout blocks a key that comes back too often for longer than its window
// does. It must not be changed once it is in use.
type Lockout struct {
	Tiers []Tier // at most MaxTiers
}

// A Tier blocks a key for Block, counted from its last admission, once Count
// admissions have come within Window. When the block ends before those have left
// the window, each further admission blocks the key anew.
type Tier struct {
	Count  int           // 1 to MaxCount
	Window time.Duration // MinWindow to MaxWindow
	Block  time.Duration // MinWindow to MaxWindow
}

// Validate returns a *ConfigError, or several joined, when l is out of bounds.
func (l Limit) Validate() error {
	if l.valid() {
		return nil
	}
	var p problems
	l.check(&p, "", "Count")
	return p.err()
}

// valid is Validate without a report, which costs next to nothing.
func (l Limit) valid() bool {
	if l.Count < 1 || l.Window < MinWindow || l.Window > MaxWindow {
		return false
	}
	switch l.Algorithm {
	case "", SlidingWindow:
		return l.Count <= MaxCount && l.Burst == 0 && (l.Lockout == nil || l.Lockout.valid(l.Count))
	case SlidingCounter:
		return l.Count <= MaxLargeCount && l.Burst == 0 && l.Lockout == nil
	case GCRA:
		return l.Count <= MaxLargeCount && l.Burst >= 0 && l.Burst <= MaxLargeCount && l.Lockout == nil && l.refills()
	default:
		return false
	}
}

func (l *Lockout) valid(count int) bool {
	if len(l.Tiers) > MaxTiers {
		return false
	}
	block := time.Duration(0)
	for _, t := range l.Tiers {
		if t.Count < count || t.Count > MaxCount || t.Block <= block ||
			min(t.Window, t.Block) < MinWindow || max(t.Window, t.Block) > MaxWindow {
			return false
		}
		count, block = t.Count, t.Block
	}
	return true
}

// refills reports whether a whole burst is earned within MaxWindow.
func (l Limit) refills() bool {
	return l.Burst <= l.Count || float64(l.Burst)*float64(l.Window)/float64(l.Count) <= float64(MaxWindow)
}

// check names Count as it is called where l was written.
func (l Limit) check(p *problems, field, count string) {
	most := MaxLargeCount
	switch l.Algorithm {
	case "", SlidingWindow:
		most = MaxCount
	case SlidingCounter, GCRA:
	default:
		p.addf(field+"Algorithm", string(l.Algorithm), "must be %q, %q or %q", SlidingWindow, SlidingCounter, GCRA)
	}
	if most == MaxCount && l.Count > most {
		p.addf(field+count, strconv.Itoa(l.Count), "must be between 1 and %d; for more there is %q", most, SlidingCounter)
	} else {
		checkCount(p, field+count, l.Count, most)
	}
	checkTime(p, field+"Window", l.Window)
	switch {
	case l.Algorithm != GCRA && l.Burst != 0:
		p.addf(field+"Burst", strconv.Itoa(l.Burst), "is for the algorithm %q", GCRA)
	case l.Burst != 0:
		checkCount(p, field+"Burst", l.Burst, MaxLargeCount)
		if l.Count >= 1 && l.Window <= MaxWindow && !l.refills() {
			p.addf(field+"Burst", strconv.Itoa(l.Burst), "must be earned anew within %v", MaxWindow)
		}
	}
	if l.Lockout != nil {
		l.checkTiers(p, field+"Lockout")
	}
}

func (l Limit) checkTiers(p *problems, field string) {
	tiers := l.Lockout.Tiers
	if l.Algorithm != "" && l.Algorithm != SlidingWindow {
		p.addf(field, "", "is for the algorithm %q", SlidingWindow)
	}
	if len(tiers) > MaxTiers {
		p.addf(field, "", "must have at most %d tiers", MaxTiers)
	}
	for i, t := range tiers {
		at := field + "[" + strconv.Itoa(i) + "]."
		checkCount(p, at+"Count", t.Count, MaxCount)
		checkTime(p, at+"Window", t.Window)
		checkTime(p, at+"Block", t.Block)
		if i == 0 {
			if t.Count >= 1 && t.Count < l.Count {
				p.addf(at+"Count", strconv.Itoa(t.Count), "must not be below that of the limit itself")
			}
			continue
		}
		if before := tiers[i-1]; t.Count < before.Count || t.Block <= before.Block {
			p.addf(at+"Count", strconv.Itoa(t.Count), "must not be below that of the tier before, and come with a longer block")
		}
	}
}

func checkCount(p *problems, field string, n, most int) {
	if n < 1 || n > most {
		p.addf(field, strconv.Itoa(n), "must be between 1 and %d", most)
	}
}

func checkTime(p *problems, field string, d time.Duration) {
	if d < MinWindow || d > MaxWindow {
		p.addf(field, d.String(), "must be between %v and %v", MinWindow, MaxWindow)
	}
}

// Capacity is the most that a single call can cost: Count, or Burst under GCRA.
func (l Limit) Capacity() int {
	if l.Algorithm == GCRA && l.Burst != 0 {
		return l.Burst
	}
	return l.Count
}

// CheckCost returns a *ConfigError when n is not a cost. A cost above Capacity is
// one: it is refused for ever.
func (l Limit) CheckCost(n int) error {
	if n >= 1 {
		return nil
	}
	return &ConfigError{Field: "Cost", Value: strconv.Itoa(n), Reason: "must be at least 1"}
}

// A Decision is a Limiter's answer.
type Decision struct {
	// Allowed reports whether the call was admitted, and recorded as such.
	Allowed bool

	// RetryAfter is the exact time after which the same call is admitted when
	// nothing else happens to the key. It is 0 when Allowed. In a refusal it is
	// positive, except that 0 says never: the call costs more than
	// Limit.Capacity.
	RetryAfter time.Duration

	// Cost is what was recorded; 0 in a refusal. In an admission 0 counts as 1.
	Cost int

	// Token identifies the admission for Refund. Only the Limiter that set it
	// knows what it means.
	Token int64
}

// A Limiter counts admissions by key. It keeps no policy: the limit comes with
// every call, so that one store serves all policies and a limit can be raised
// or lowered at any time. A key belongs to one limit at a time; a change of
// Count is exact on what was recorded under the old one, and a longer Window
// knows only what the shorter one had to keep. Another Algorithm begins anew.
//
// Implementations are safe for concurrent use, and one that does I/O bounds
// every call by a timeout of its own beside ctx. Package ratelimittest holds the
// suite that each must pass.
type Limiter interface {
	// AllowN admits and records the call as cost admissions at once, or refuses
	// it and records nothing. A limit out of bounds or a cost below 1 is a
	// *ConfigError. Any error means that no decision was taken; the admission may
	// still have been recorded.
	AllowN(ctx context.Context, key string, limit Limit, cost int) (Decision, error)

	// Refund takes the admissions of d back, as if they had not happened. It does
	// nothing when d was not admitted or is no longer recorded, be it because of a
	// Reset since; under GCRA a store may be unable to tell, and says so. A
	// Decision is to be refunded once.
	Refund(ctx context.Context, key string, limit Limit, d Decision) error

	// Reset forgets every admission of key, whatever its limit.
	Reset(ctx context.Context, key string) error
}
