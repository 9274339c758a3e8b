package flags

import "context"

// Evaluator answers for one evaluation context from one version of the definitions:
// a request that asks twice gets the same answer, whatever is loaded meanwhile.
// Middleware puts one into each request's context.
//
// A nil Evaluator answers that everything is off, PROVIDER_NOT_READY. It is safe
// for concurrent use.
type Evaluator struct {
	set     *Set
	context EvaluationContext
	client  *Client // is told of every decision
	public  bool    // flags that are not marked public do not exist
}

// For returns an Evaluator for a targeting key on the definitions of now.
func (c *Client) For(targetingKey string) *Evaluator {
	return c.ForContext(EvaluationContext{TargetingKey: targetingKey})
}

// ForContext returns an Evaluator for an evaluation context on the definitions
// of now.
func (c *Client) ForContext(ec EvaluationContext) *Evaluator {
	e := c.evaluator(ec)
	return &e
}

func (c *Client) evaluator(ec EvaluationContext) Evaluator {
	return Evaluator{set: c.set.Load(), context: ec, client: c}
}

// Public returns an Evaluator like e for which only flags that are marked public
// exist: it is for whoever must not learn that there are others.
func (e *Evaluator) Public() *Evaluator {
	if e == nil {
		return nil
	}
	p := *e
	p.public = true
	return &p
}

// TargetingKey is who the Evaluator answers for, empty when that is not known.
func (e *Evaluator) TargetingKey() string {
	if e == nil {
		return ""
	}
	return e.context.TargetingKey
}

// Version is that of the definitions that the Evaluator answers from.
func (e *Evaluator) Version() string {
	if e == nil {
		return ""
	}
	return e.set.version
}

// Enabled reports whether a flag is on. A flag that cannot be evaluated is off.
func (e *Evaluator) Enabled(key string) bool {
	if e == nil {
		return false
	}
	f := e.set.byKey[key]
	if f == nil || e.hides(f) {
		e.client.tellUnknown(e.set.unknown(key))
		return false
	}
	if !f.plain {
		var d Decision
		e.evaluate(&d, f, e.set.unixFor(f))
		return d.On
	}
	on, r := f.decide(e.context.TargetingKey, e.set.unixFor(f))
	e.client.tell(f, on, r)
	return on
}

// Evaluate returns the decision about one flag.
func (e *Evaluator) Evaluate(key string) (d Decision) {
	e.lookUp(&d, key)
	return d
}

// lookUp is Evaluate into d, which is zero.
func (e *Evaluator) lookUp(d *Decision, key string) {
	if e == nil {
		*d = failed(key, ErrorProviderNotReady)
		return
	}
	f := e.set.byKey[key]
	if f == nil || e.hides(f) {
		*d = e.set.unknown(key)
		e.client.tellUnknown(*d)
		return
	}
	e.evaluate(d, f, e.set.unixFor(f))
}

// evaluate decides about f into d, which is zero, and tells whoever wants to
// know.
func (e *Evaluator) evaluate(d *Decision, f *flag, now int64) {
	if !f.plain {
		f.evaluate(d, e.context, now)
		e.client.heard(f, d)
		return
	}
	on, r := f.decide(e.context.TargetingKey, now)
	e.client.tell(f, on, r)
	f.fill(d, on, r)
}

// hides reports whether f does not exist for who is asking.
func (e *Evaluator) hides(f *flag) bool { return e.public && !f.def.Public }

// EvaluateAll returns the decision about every flag, by key.
func (e *Evaluator) EvaluateAll() []Decision {
	if e == nil {
		return nil
	}
	return e.AppendAll(make([]Decision, 0, len(e.set.ordered)))
}

// AppendAll appends the decision about every flag, by key, to dst and returns it.
func (e *Evaluator) AppendAll(dst []Decision) []Decision {
	dst, _ = e.AppendAllWhile(dst, func() bool { return true })
	return dst
}

// AppendAllWhile is AppendAll that asks more before each [Custom] flag, whose
// rules may take their time, and ends, reporting false, when it says no.
func (e *Evaluator) AppendAllWhile(dst []Decision, more func() bool) (all []Decision, complete bool) {
	if e == nil {
		return dst, true
	}
	now := e.set.unix()
	for _, f := range e.set.ordered {
		if e.hides(f) {
			continue
		}
		if f.custom != nil && !more() {
			return dst, false
		}
		dst = append(dst, Decision{})
		e.evaluate(&dst[len(dst)-1], f, now)
	}
	return dst, true
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
