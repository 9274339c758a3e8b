package flags

import "context"

// Evaluator answers for one targeting key from one version of the definitions:
// a request that asks twice gets the same answer, whatever is loaded meanwhile.
// Middleware puts one into each request's context.
//
// A nil Evaluator answers that everything is off, PROVIDER_NOT_READY. It is safe
// for concurrent use.
type Evaluator struct {
	set          *Set
	targetingKey string
	onEvaluation func(Decision)
}

// For returns an Evaluator for a targeting key on the definitions of now.
func (c *Client) For(targetingKey string) *Evaluator {
	e := c.evaluator(targetingKey)
	return &e
}

func (c *Client) evaluator(targetingKey string) Evaluator {
	return Evaluator{set: c.set.Load(), targetingKey: targetingKey, onEvaluation: c.onEvaluation}
}

// TargetingKey is who the Evaluator answers for, empty when that is not known.
func (e *Evaluator) TargetingKey() string {
	if e == nil {
		return ""
	}
	return e.targetingKey
}

// Enabled reports whether a flag is on. A flag that cannot be evaluated is off.
func (e *Evaluator) Enabled(key string) bool {
	if e == nil {
		return false
	}
	if e.onEvaluation == nil {
		return e.set.Enabled(key, e.targetingKey)
	}
	return e.Evaluate(key).Value
}

// Evaluate returns the decision about one flag.
func (e *Evaluator) Evaluate(key string) Decision {
	if e == nil {
		return failed(key, ErrorProviderNotReady)
	}
	d := e.set.Evaluate(key, e.targetingKey)
	if e.onEvaluation != nil {
		e.onEvaluation(d)
	}
	return d
}

// EvaluateAll returns the decision about every flag, by key.
func (e *Evaluator) EvaluateAll() []Decision {
	if e == nil {
		return nil
	}
	all := e.set.EvaluateAll(e.targetingKey)
	if e.onEvaluation != nil {
		for _, d := range all {
			e.onEvaluation(d)
		}
	}
	return all
}

type contextKey struct{}

// NewContext returns ctx with e in it, for tests and for code outside of HTTP.
func NewContext(ctx context.Context, e *Evaluator) context.Context {
	return context.WithValue(ctx, contextKey{}, e)
}

// FromContext returns the Evaluator of a request, nil when no Middleware ran.
// A nil Evaluator can be asked: everything is off.
func FromContext(ctx context.Context) *Evaluator {
	e, _ := ctx.Value(contextKey{}).(*Evaluator)
	return e
}

// Enabled reports whether a flag is on for the request that ctx belongs to. It
// is off when no Middleware ran.
func Enabled(ctx context.Context, key string) bool {
	return FromContext(ctx).Enabled(key)
}
