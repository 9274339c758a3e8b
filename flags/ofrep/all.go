package ofrep

import (
	"context"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// maxEvaluation bounds how long the evaluation of all flags may take. A single
// flag is bounded by whoever reads its rules.
const maxEvaluation = 250 * time.Millisecond

// costly are the flags of a Set some of whose rules another package evaluates:
// they may take long. It does not change.
type costly struct {
	set  *flags.Set
	keys []string // to be evaluated one by one; none where all flags are native
}

// costlyOf is what is known of set, which is looked at once.
func (h *Handler) costlyOf(set *flags.Set) *costly {
	if c := h.costly.Load(); c != nil && c.set == set {
		return c
	}
	c, native := &costly{set: set}, true
	for _, key := range set.Keys() {
		d, _ := set.Lookup(key)
		if h.publicOnly && !d.Public {
			continue
		}
		c.keys = append(c.keys, key)
		native = native && set.Native(key)
	}
	if native {
		c.keys = nil
	}
	h.costly.Store(c)
	return c
}

// evaluateAll puts the decision about every flag into b. It gives up, and
// reports false, when nobody waits for the answer any more or it takes too long.
func (h *Handler) evaluateAll(ctx context.Context, b *buffer, ec flags.EvaluationContext) bool {
	c, e := h.costlyOf(h.client.Set()), h.evaluator(ec)
	for c.set.Version() != e.Version() { // other definitions came in between
		c, e = h.costlyOf(h.client.Set()), h.evaluator(ec)
	}
	b.decisions = b.decisions[:0]
	if len(c.keys) == 0 {
		b.decisions = e.AppendAll(b.decisions)
		return true
	}
	start := time.Now()
	for _, key := range c.keys {
		if ctx.Err() != nil || time.Since(start) >= maxEvaluation {
			return false
		}
		b.decisions = append(b.decisions, e.Evaluate(key))
	}
	return true
}
