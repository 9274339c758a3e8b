package flags

import (
	"sort"
	"time"
)

// Explanation says how a decision came about. [Set.Explain] makes one, out of
// the functions that decide. It holds the targeting key: it is for whoever may
// know that, not for a log.
type Explanation struct {
	Key          string
	TargetingKey string
	// Decision is what the flag answers at the moment At.
	Decision Decision
	At       time.Time
	// Version is that of the set.
	Version string
	// Definition is the flag's; a copy.
	Definition Definition
	// Expired tells that the day of Definition.Expires has ended, UTC.
	Expired bool
	// Steps are the rules in their order, up to the one that decided.
	Steps []Step
	// Rollout is nil for a [Custom] flag.
	Rollout *ExplainedRollout
	// Variants is nil for a flag that is on or off, and for a Custom one.
	Variants *ExplainedVariants
}

// Step is one rule that was looked at.
type Step struct {
	Rule    Rule        `json:"rule"`
	Outcome StepOutcome `json:"outcome"`
}

// Rule names a rule.
type Rule string

// The rules in their order. RuleCustom stands alone: those of another format
// are not known here.
const (
	RuleEnabled   Rule = "enabled"
	RuleExpiry    Rule = "expiry"
	RuleDenyList  Rule = "deny_list"
	RuleAllowList Rule = "allow_list"
	RuleRollout   Rule = "rollout"
	RuleCustom    Rule = "custom"
)

// StepOutcome is what became of a rule.
type StepOutcome string

const (
	// StepAbsent: the definition has no such rule.
	StepAbsent StepOutcome = "absent"
	// StepPassed: it has one, which had nothing to say.
	StepPassed StepOutcome = "passed"
	// StepDecided: this one answered. It is the last.
	StepDecided StepOutcome = "decided"
)

// ExplainedRollout is the part of the percentage. Numbers are thousandths of a
// percent.
type ExplainedRollout struct {
	Hash Hash   `json:"hash"`
	Salt string `json:"salt"`
	// Bucket is the targeting key's place; -1 without a targeting key.
	Bucket int `json:"bucket"`
	// Threshold is the percentage in force: that of the definition, or
	// FullRollout where an expiry turned the flag on.
	Threshold int `json:"threshold"`
	// FlipsAt is the smallest percentage at which the flag would be on for this
	// targeting key, if nothing but the percentage decided; with the empty one
	// FullRollout.
	FlipsAt int `json:"flips_at"`
	// Decides tells whether the percentage makes a difference to this targeting
	// key: false where a rule before it answers whatever the percentage is.
	Decides bool `json:"decides"`
}

// ExplainedVariants is how a variant is picked for whoever the flag is on for.
type ExplainedVariants struct {
	Salt string `json:"salt"`
	// Place is the targeting key's among the weights, 0 to Total-1; -1 without
	// a targeting key. Nobody asks for it where one variant alone has a weight.
	Place int64 `json:"place"`
	Total int64 `json:"total"`
	// Picked is the variant at Place: the one that the flag answers where it is
	// on. Empty without a targeting key, unless one alone has a weight.
	Picked string          `json:"picked"`
	Shares []ExplainedPart `json:"shares"`
	Off    string          `json:"off,omitempty"` // the variant where the flag is off
}

// ExplainedPart is the share of one variant: the places from From to before To.
type ExplainedPart struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
}

// Explain says how the decision about a flag comes about, and whether there is
// such a flag.
func (s *Set) Explain(key string, ec EvaluationContext) (Explanation, bool) {
	f := s.byKey[key]
	if f == nil {
		return Explanation{}, false
	}
	now := s.clock.read()
	at := time.Unix(now, 0).UTC()
	e := Explanation{Key: key, TargetingKey: ec.TargetingKey, At: at, Version: s.version, Expired: f.def.Expired(at)}
	f.evaluate(&e.Decision, ec, now)
	e.Definition, _ = s.Lookup(key)
	if f.custom != nil {
		e.Steps = []Step{{RuleCustom, StepDecided}}
		return e, true
	}
	e.Steps = f.steps(ec.TargetingKey, now)
	e.Rollout = f.explainRollout(ec.TargetingKey, now)
	if f.variants != nil {
		e.Variants = f.variants.explain(ec.TargetingKey)
	}
	return e, true
}

// at is f with another percentage.
func (f *flag) at(threshold int) *flag {
	g := *f
	g.threshold = threshold
	return &g
}

// rolloutAlone is f with no rule but the percentage.
func (f *flag) rolloutAlone() *flag {
	g := *f
	g.enabled, g.allow, g.deny, g.expiryAt = true, nil, nil, 0
	return &g
}

func (f *flag) explainRollout(targetingKey string, now int64) *ExplainedRollout {
	alone := f.rolloutAlone()
	none, _ := f.at(0).decide(targetingKey, now)
	all, _ := f.at(FullRollout).decide(targetingKey, now)
	e := &ExplainedRollout{
		Hash: f.def.Hash, Salt: f.def.Salt, Bucket: -1, Threshold: f.threshold, Decides: none != all,
		FlipsAt: sort.Search(FullRollout, func(percentage int) bool {
			on, _ := alone.at(percentage).decide(targetingKey, now)
			return on
		}),
	}
	if targetingKey != "" {
		e.Bucket = f.bucket(targetingKey)
	}
	if f.turnedOn(now) {
		e.Threshold = FullRollout
	}
	return e
}

// turnedOn and turnedOff report what an expiry has done to a flag.
func (f *flag) turnedOn(now int64) bool  { return f.expiryAt != 0 && now >= f.expiryAt && !f.expireOff }
func (f *flag) turnedOff(now int64) bool { return f.expiryAt != 0 && now >= f.expiryAt && f.expireOff }

// steps are the rules up to the one that decide said.
func (f *flag) steps(targetingKey string, now int64) []Step {
	_, r := f.decide(targetingKey, now)
	by := RuleRollout
	switch {
	case r == ruleDisabled:
		by = RuleEnabled
	case r == ruleStatic && f.turnedOff(now):
		by = RuleExpiry
	case r == ruleDenied:
		by = RuleDenyList
	case r == ruleAllowed:
		by = RuleAllowList
	case f.turnedOn(now):
		by = RuleExpiry
	}
	order := []Rule{RuleEnabled, RuleExpiry, RuleDenyList, RuleAllowList, RuleRollout}
	if f.turnedOn(now) {
		order = []Rule{RuleEnabled, RuleDenyList, RuleAllowList, RuleExpiry} // in the place of the percentage
	}
	absent := map[Rule]bool{RuleExpiry: f.expiryAt == 0, RuleDenyList: f.deny == nil, RuleAllowList: f.allow == nil}
	var steps []Step
	for _, rule := range order {
		switch {
		case rule == by:
			return append(steps, Step{rule, StepDecided})
		case absent[rule]:
			steps = append(steps, Step{rule, StepAbsent})
		default:
			steps = append(steps, Step{rule, StepPassed})
		}
	}
	return steps
}

func (v *variants) explain(targetingKey string) *ExplainedVariants {
	e := &ExplainedVariants{Salt: v.salt, Place: -1, Total: int64(v.total)}
	if v.lone != nil {
		e.Picked = v.lone.Name
	}
	if targetingKey != "" {
		picked, place := v.pick(targetingKey)
		e.Picked, e.Place = picked.Name, int64(place)
	}
	if v.off != nil {
		e.Off = v.off.Name
	}
	end := int64(0)
	for _, one := range v.list {
		e.Shares = append(e.Shares, ExplainedPart{one.Name, one.Weight, end, end + int64(one.Weight)})
		end += int64(one.Weight)
	}
	return e
}
