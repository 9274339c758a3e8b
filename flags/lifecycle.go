package flags

import (
	"slices"
	"time"
)

// An Expiry is the end that a flag was given.
type Expiry struct {
	Key   string
	Owner string // empty: nobody is named
	// Day is midnight UTC of Definition.Expires, the last day that counts.
	Day time.Time
	// At is the end of that day: the flag has expired from then on.
	At time.Time
	// OnExpiry is what the flag does from At on. With ExpiryKeep, and for
	// flags with rules of their own, an expiry is but a reminder.
	OnExpiry OnExpiry
}

// Expired reports whether now is At or later.
func (e Expiry) Expired(now time.Time) bool { return !now.Before(e.At) }

// Expiries returns all flags that were given an end, the earliest first, and by
// key where the day is the same.
func (s *Set) Expiries() []Expiry {
	var all []Expiry
	for _, f := range s.ordered {
		if day := f.def.Expires; !day.IsZero() {
			all = append(all, Expiry{Key: f.def.Key, Owner: f.def.Owner, Day: day, At: endOfDay(day), OnExpiry: f.def.OnExpiry})
		}
	}
	slices.SortStableFunc(all, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return all
}

// Expired returns the flags whose day has ended at now, as Expiries does. An
// expired flag is to be cleaned up, and no failure: it goes on by its OnExpiry.
func (s *Set) Expired(now time.Time) []Expiry {
	all := s.Expiries()
	n := slices.IndexFunc(all, func(e Expiry) bool { return !e.Expired(now) })
	if n < 0 {
		n = len(all)
	}
	return all[:n]
}
