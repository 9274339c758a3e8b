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
	client       *Client // is told of every decision
}

// For returns an Evaluator for a targeting key on the definitions of now.
func (c *Client) For(targetingKey string) *Evaluator {
	e := c.evaluator(targetingKey)
	return &e
}

func (c *Client) evaluator(targetingKey string) Evaluator {
	return Evaluator{set: c.set.Load(), targetingKey: targetingKey, client: c}
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
	f := e.set.byKey[key]
	if f == nil {
		e.client.tellUnknown(key)
		return false
	}
	on, r := f.decide(e.targetingKey, e.set.unixFor(f))
	e.client.tell(f, on, r)
	return on
}

// Evaluate returns the decision about one flag.
func (e *Evaluator) Evaluate(key string) Decision {
	if e == nil {
		return failed(key, ErrorProviderNotReady)
	}
	f := e.set.byKey[key]
	if f == nil {
		e.client.tellUnknown(key)
		return failed(key, ErrorFlagNotFound)
	}
	on, r := f.decide(e.targetingKey, e.set.unixFor(f))
	e.client.tell(f, on, r)
	return newDecision(f.def.Key, on, r)
}

// EvaluateAll returns the decision about every flag, by key.
func (e *Evaluator) EvaluateAll() []Decision {
	if e == nil {
		return nil
	}
	all := make([]Decision, len(e.set.ordered))
	now := e.set.unix()
	for i, f := range e.set.ordered {
		on, r := f.decide(e.targetingKey, now)
		e.client.tell(f, on, r)
		all[i] = newDecision(f.def.Key, on, r)
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
