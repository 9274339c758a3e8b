package ofrep

import (
	"context"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// maxEvaluation bounds how long the evaluation of all flags may take. A single
// flag is bounded by whoever reads its rules.
const maxEvaluation = 250 * time.Millisecond

// evaluateAll puts the decision about every flag into b. It gives up, and
// reports false, when nobody waits for the answer any more or it takes too long,
// which flags with rules of another format may.
func (h *Handler) evaluateAll(ctx context.Context, b *buffer, ec flags.EvaluationContext) (all bool) {
	var start time.Time
	b.decisions, all = h.evaluator(ec).AppendAllWhile(b.decisions[:0], func() bool {
		if start.IsZero() {
			start = time.Now()
		}
		return ctx.Err() == nil && time.Since(start) < maxEvaluation
	})
	return all
}
