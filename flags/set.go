package flags

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Set is one version of the definitions, compiled. [Parse] makes one. It never
// changes and is safe for concurrent use; a [Client] swaps one for the next.
type Set struct {
	byKey    map[string]*flag
	ordered  []*flag // by key
	version  string
	warnings []string
	dated    bool // the time may matter to an answer
	unready  bool // there were never any definitions
	clock    *clock
}

// flag is a definition ready for evaluation.
type flag struct {
	plain     bool // on or off by the rules of this package, nothing else
	dated     bool // the time may matter to the answer
	enabled   bool
	static    bool // nothing but the percentage can decide, now and later
	expireOff bool
	threshold int   // thousandths of a percent
	expiryAt  int64 // Unix seconds from which onExpiry counts, 0 for never
	bucket    func(targetingKey string) int
	allow     map[string]struct{}
	deny      map[string]struct{}
	variants  *variants                               // nil: on and off
	custom    func(EvaluationContext, int64) Decision // nil: the rules of this package
	rules     string                                  // custom's, as text
	members   members                                 // the flag in Handrail-Flags
	tally     *tally                                  // nil: nobody counts
	def       Definition
}

func newFlag(def Definition) *flag {
	f := &flag{
		enabled:   def.Enabled,
		expireOff: def.OnExpiry == ExpiryOff,
		threshold: def.RolloutThousandths,
		bucket:    def.Hash.bucketer(def.Salt),
		allow:     setOf(def.AllowList),
		deny:      setOf(def.DenyList),
		variants:  newVariants(&def),
		members:   newMembers(&def),
		def:       def,
	}
	if !def.Expires.IsZero() && def.OnExpiry != ExpiryKeep {
		f.expiryAt = endOfDay(def.Expires).Unix()
	}
	f.plain, f.dated = f.variants == nil, f.expiryAt != 0
	f.static = f.allow == nil && f.deny == nil && f.expiryAt == 0
	return f
}

// setOf is nil for an empty list, which makes a look-up in it cheapest.
func setOf(keys []string) map[string]struct{} {
	if len(keys) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(keys))
	for _, k := range keys {
		m[k] = struct{}{}
	}
	return m
}

// newSet compiles flags whose keys are valid and differ.
func newSet(flags []*flag, version string, warnings []string) *Set {
	s := &Set{
		byKey:    make(map[string]*flag, len(flags)),
		ordered:  flags,
		version:  version,
		warnings: warnings,
		clock:    newClock(nil),
	}
	for _, f := range flags {
		s.byKey[f.def.Key] = f
		s.dated = s.dated || f.dated
	}
	slices.SortFunc(s.ordered, func(a, b *flag) int { return strings.Compare(a.def.Key, b.def.Key) })
	return s
}

// withClock is s by another clock; nil is time.Now.
func (s *Set) withClock(now func() time.Time) *Set {
	c := *s
	c.clock = newClock(now)
	return &c
}

// Len is the number of flags.
func (s *Set) Len() int { return len(s.ordered) }

// Keys returns every flag's key, sorted.
func (s *Set) Keys() []string {
	keys := make([]string, len(s.ordered))
	for i, f := range s.ordered {
		keys[i] = f.def.Key
	}
	return keys
}

// Lookup returns a copy of a flag's definition, and whether there is one.
func (s *Set) Lookup(key string) (Definition, bool) {
	f, ok := s.byKey[key]
	if !ok {
		return Definition{}, false
	}
	def := f.def
	def.AllowList, def.DenyList = slices.Clone(def.AllowList), slices.Clone(def.DenyList)
	def.Variants, def.Metadata = slices.Clone(def.Variants), maps.Clone(def.Metadata)
	return def, true
}

// Version identifies the definitions: the SHA-256 of the file, in hex.
func (s *Set) Version() string { return s.version }

// Warnings returns what is allowed but hardly meant, as "file:line:column: text",
// in the file's order; at most MaxWarnings of them.
func (s *Set) Warnings() []string { return slices.Clone(s.warnings) }
