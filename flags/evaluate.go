package flags

// Enabled reports whether a flag is on for a targeting key. A flag that cannot
// be evaluated is off. It does not allocate for targeting keys of at most
// MaxTargetingKeyBytes, unless a [Custom] flag does.
func (s *Set) Enabled(key, targetingKey string) bool {
	f := s.byKey[key]
	if f == nil {
		return false
	}
	if f.plain {
		on, _ := f.decide(targetingKey, s.unixFor(f))
		return on
	}
	var d Decision
	f.evaluate(&d, EvaluationContext{TargetingKey: targetingKey}, s.unixFor(f))
	return d.On
}

// Evaluate returns the decision about one flag. An empty targeting key is a
// missing one.
func (s *Set) Evaluate(key, targetingKey string) Decision {
	return s.EvaluateContext(key, EvaluationContext{TargetingKey: targetingKey})
}

// EvaluateContext returns the decision about one flag.
func (s *Set) EvaluateContext(key string, ec EvaluationContext) (d Decision) {
	f := s.byKey[key]
	if f == nil {
		return s.unknown(key)
	}
	f.evaluate(&d, ec, s.unixFor(f))
	return d
}

// unknown is the decision about a flag that s does not have.
func (s *Set) unknown(key string) Decision {
	if s.unready {
		return failed(key, ErrorProviderNotReady)
	}
	return failed(key, ErrorFlagNotFound)
}

// EvaluateAll returns the decision about every flag, by key. All of them are
// taken at one moment of the clock.
func (s *Set) EvaluateAll(targetingKey string) []Decision {
	return s.EvaluateAllContext(EvaluationContext{TargetingKey: targetingKey})
}

// EvaluateAllContext returns the decision about every flag, by key. All of them
// are taken at one moment of the clock.
func (s *Set) EvaluateAllContext(ec EvaluationContext) []Decision {
	all := make([]Decision, len(s.ordered))
	now := s.unix()
	for i, f := range s.ordered {
		f.evaluate(&all[i], ec, now)
	}
	return all
}

// unixFor is the time for a decision about f. The clock costs as much as the
// rest, so it is asked only for a flag to whose answer it may matter.
func (s *Set) unixFor(f *flag) int64 {
	if !f.dated {
		return 0
	}
	return s.clock.read()
}

// unix is the time for decisions about all flags.
func (s *Set) unix() int64 {
	if !s.dated {
		return 0
	}
	return s.clock.read()
}

// evaluate decides into d, which is zero: a Decision is larger than the work that
// leads to it, so copies would show.
func (f *flag) evaluate(d *Decision, ec EvaluationContext, now int64) {
	if f.custom != nil {
		*d = f.custom(ec, now)
		d.Key = f.def.Key
		return
	}
	on, r := f.decide(ec.TargetingKey, now)
	if f.variants != nil {
		f.variantDecision(d, ec.TargetingKey, on, r)
		return
	}
	f.fill(d, on, r)
}

// decide is the one place where the rules stand, in their order: kill switch,
// expiry that turns off, deny list, allow list, percentage.
func (f *flag) decide(targetingKey string, now int64) (bool, rule) {
	if !f.enabled {
		return false, ruleDisabled
	}
	threshold, static := f.threshold, f.static
	if f.expiryAt != 0 && now >= f.expiryAt {
		if f.expireOff {
			return false, ruleStatic
		}
		threshold, static = FullRollout, f.deny == nil
	}
	if f.deny != nil {
		if _, denied := f.deny[targetingKey]; denied {
			return false, ruleDenied
		}
	}
	if f.allow != nil {
		if _, allowed := f.allow[targetingKey]; allowed {
			return true, ruleAllowed
		}
	}
	if threshold <= 0 || threshold >= FullRollout {
		if static {
			return threshold > 0, ruleStatic
		}
		return threshold > 0, ruleDefault
	}
	if targetingKey == "" {
		return false, ruleNoTargetingKey
	}
	return f.bucket(targetingKey) < threshold, ruleSplit
}

// EvaluateLazily is EvaluateContext for a caller who must gather the attributes
// first: it asks for them only where the rules of the flag may look at them,
// which those of native definitions never do. An error makes the decision
// ErrorInvalidContext with the error as its details.
func (c *Client) EvaluateLazily(key, targetingKey string, attributes func() (map[string]any, error)) (d Decision) {
	e := c.evaluator(EvaluationContext{TargetingKey: targetingKey})
	f := e.set.byKey[key]
	if f == nil {
		return e.Evaluate(key)
	}
	if f.custom != nil {
		given, err := attributes()
		if err != nil {
			d = failed(key, ErrorInvalidContext)
			d.ErrorDetails, d.Metadata = err.Error(), f.def.Metadata
			c.heard(f, &d)
			return d
		}
		e.context.Attributes = given
	}
	e.evaluate(&d, f, e.set.unixFor(f))
	return d
}
