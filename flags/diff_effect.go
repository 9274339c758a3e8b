package flags

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Effect is what an edit of a flag does to those who are asked about. Nobody's
// concern are what a flag answers where it is off, and what a variant stands
// for.
type Effect string

const (
	// EffectNone: the flag is on for the same as before, with the same variants.
	EffectNone Effect = "none"
	// EffectGains: it is on for more, and nobody loses it or changes the variant.
	EffectGains Effect = "gains"
	// EffectLoses: it is on for fewer, and nobody gains it or changes the variant.
	EffectLoses Effect = "loses"
	// EffectMixed: somebody loses it while another gains it, or somebody who has
	// it changes the variant.
	EffectMixed Effect = "mixed"
	// EffectUnknown: the rules are those of another format and have changed.
	EffectUnknown Effect = "unknown"
)

// Monotone reports whether an edit is known to go in one direction only: nobody
// who has the flag gets another variant, and if somebody loses it, nobody gains
// it.
func (e Effect) Monotone() bool {
	return e == EffectNone || e == EffectGains || e == EffectLoses
}

// Comparison is what an edit does to one flag at the moment of the question. It
// is derived from the definitions and so holds for every targeting key there is,
// except for the shares, which are what to expect of many.
type Comparison struct {
	Key    string        `json:"key"`
	Kind   string        `json:"kind"` // added, changed, removed
	Fields []FieldChange `json:"fields,omitempty"`
	Effect Effect        `json:"effect"`
	// Gain, Lose and Move are the share of all who gain the flag, lose it, and
	// get another of its variants, from 0 to 1, as far as the percentage and the
	// weights say.
	Gain float64 `json:"gain_share"`
	Lose float64 `json:"lose_share"`
	Move float64 `json:"move_share"`
	// Listed are those of whom a list, old or new, speaks.
	Listed Affected `json:"listed"`
	// Anonymous is whoever has no targeting key: none of three, or one.
	Anonymous Affected `json:"anonymous"`
	// Reasons are sentences, each with what to do where Effect is EffectMixed.
	Reasons []string `json:"reasons,omitempty"`
}

// Affected counts targeting keys.
type Affected struct {
	Gain int `json:"gain"`
	Lose int `json:"lose"`
	Move int `json:"move"`
}

// Compare tells what each flag that old has otherwise, that only s has, or that
// only old has, becomes to those who are asked about. By key.
func (s *Set) Compare(old *Set) []Comparison {
	added, changed, removed := s.Diff(old)
	now := s.clock.read()
	var all []Comparison
	for kind, keys := range map[string][]string{"added": added, "changed": changed, "removed": removed} {
		for _, key := range keys {
			c := comparer{before: old.flag(key), after: s.byKey[key], now: now}
			c.Key, c.Kind = key, kind
			c.judge()
			all = append(all, c.Comparison)
		}
	}
	slices.SortFunc(all, func(a, b Comparison) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

func (s *Set) flag(key string) *flag {
	if s == nil {
		return nil
	}
	return s.byKey[key]
}

// comparer judges one flag. One of before and after may be nil: it is off for
// everyone.
type comparer struct {
	Comparison

	before, after *flag
	now           int64
}

func (c *comparer) judge() {
	if c.before != nil && c.after != nil {
		c.Fields = changedFields(c.before, c.after)
		if names := otherValues(c.before.def.Variants, c.after.def.Variants); len(names) > 0 {
			c.say("Another value stands for %s.", strings.Join(names, ", "))
		}
	}
	if c.before.customised() || c.after.customised() {
		c.judgeCustom()
		return
	}
	c.judgeRest()
	c.judgeListed()
	gains := c.Gain > 0 || c.Listed.Gain+c.Anonymous.Gain > 0
	loses := c.Lose > 0 || c.Listed.Lose+c.Anonymous.Lose > 0
	moves := c.Move > 0 || c.Listed.Move+c.Anonymous.Move > 0
	switch {
	case moves || gains && loses:
		c.Effect = EffectMixed
	case gains:
		c.Effect = EffectGains
	case loses:
		c.Effect = EffectLoses
	default:
		c.Effect = EffectNone
	}
	if c.Effect == EffectMixed && gains && loses && !c.drawnAnew() {
		c.say("Some lose it while others gain it. Make two edits of it: one that only adds, one that only takes away.")
	}
}

func (f *flag) customised() bool { return f != nil && f.custom != nil }

// judgeCustom knows only what the definition describes.
func (c *comparer) judgeCustom() {
	switch {
	case c.before == nil:
		c.Effect = EffectGains
	case c.after == nil:
		c.Effect = EffectLoses
	case c.before.rules != "" && c.before.rules == c.after.rules && c.before.enabled == c.after.enabled &&
		reflect.DeepEqual(c.before.def.Variants, c.after.def.Variants):
		c.Effect = EffectNone
	default:
		c.Effect = EffectUnknown
		c.say("What its rules do to whom can only be tried out, with IDs.")
	}
}

func (c *comparer) say(format string, args ...any) {
	c.Reasons = append(c.Reasons, fmt.Sprintf(format, args...))
}

// reach is the percentage that counts for whoever is on no list.
func (f *flag) reach(now int64) int {
	switch {
	case f == nil || !f.enabled || f.turnedOff(now):
		return 0
	case f.turnedOn(now):
		return FullRollout
	}
	return f.threshold
}

// drawnAnew reports whether the percentage picks other users.
func (c *comparer) drawnAnew() bool {
	before, after := c.before.reach(c.now), c.after.reach(c.now)
	partly := 0 < before && before < FullRollout && 0 < after && after < FullRollout
	return partly && (c.before.def.Salt != c.after.def.Salt || c.before.def.Hash != c.after.def.Hash)
}

// judgeRest judges those who are on no list.
func (c *comparer) judgeRest() {
	before, after := c.before.reach(c.now), c.after.reach(c.now)
	was, is := share(before), share(after)
	both := min(was, is)
	switch {
	case c.drawnAnew():
		both = was * is
		c.Gain, c.Lose = is-both, was-both
		c.say("Another salt or hash draws the users anew: of all, about %s lose it and %s gain it. Keep salt %q and hash %s; "+
			"a flag with a new name keeps its users with the old one as its salt.",
			sharePercent(c.Lose), sharePercent(c.Gain), c.before.def.Salt, c.before.def.Hash)
	case after > before:
		c.Gain = is - was
		c.say("It is on for %s instead of %s: whoever had it by percentage keeps it.", shownPercentage(after), shownPercentage(before))
	case after < before:
		c.Lose = was - is
		c.say("It is on for %s instead of %s: nobody gains it by percentage.", shownPercentage(after), shownPercentage(before))
	}
	if both > 0 {
		c.judgeVariants(both)
	}
}

// judgeVariants judges those who have the flag before and after, a share of all.
func (c *comparer) judgeVariants(both float64) {
	moves := shifted(c.before.variants, c.after.variants)
	if len(moves) == 0 {
		return
	}
	var texts []string
	sum := 0.0
	for _, m := range moves {
		sum += m.share
		texts = append(texts, fmt.Sprintf("%s to %s %s", m.from, m.to, sharePercent(m.share)))
	}
	c.Move = both * sum
	if len(texts) > 5 {
		texts = append(texts[:5], "…")
	}
	c.say("Of those who have it, %s get another variant (%s). Keep variants, their order, weights and variantSalt while it matters who has which.",
		sharePercent(sum), strings.Join(texts, ", "))
}

// judgeListed asks about each targeting key on a list, and about the missing one.
func (c *comparer) judgeListed() {
	listed := map[string]struct{}{}
	for _, f := range []*flag{c.before, c.after} {
		if f == nil {
			continue
		}
		for _, id := range f.def.AllowList {
			listed[id] = struct{}{}
		}
		for _, id := range f.def.DenyList {
			listed[id] = struct{}{}
		}
	}
	for id := range listed {
		c.Listed.Count(c.before.answer(id, c.now), c.after.answer(id, c.now))
	}
	if c.Listed != (Affected{}) {
		c.say("Of those on its lists %d gain it, %d lose it, %d get another variant.", c.Listed.Gain, c.Listed.Lose, c.Listed.Move)
	}
	c.Anonymous.Count(c.before.answer("", c.now), c.after.answer("", c.now))
	switch {
	case c.Anonymous.Gain > 0:
		c.say("Whoever has no ID gains it.")
	case c.Anonymous.Lose > 0:
		c.say("Whoever has no ID loses it.")
	}
}

// Count adds one targeting key, by the decision about it before and after.
func (a *Affected) Count(was, is Decision) {
	switch {
	case was.On && !is.On:
		a.Lose++
	case !was.On && is.On:
		a.Gain++
	case was.On && was.Variant != is.Variant:
		a.Move++
	}
}

func (f *flag) answer(id string, now int64) (d Decision) {
	if f != nil {
		f.evaluate(&d, EvaluationContext{TargetingKey: id}, now)
	}
	return d
}

func share(thousandths int) float64 { return float64(thousandths) / FullRollout }

func sharePercent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }
