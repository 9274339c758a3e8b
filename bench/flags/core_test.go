package flags_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/model"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"

	"github.com/handrail-go/handrail/flags"
)

// core is flagd's evaluator, with logs to nowhere.
type core struct{ *evaluator.JSON }

func newCore(t testing.TB, definitions []byte) core {
	t.Helper()
	log := logger.NewLogger(zap.NewNop(), false)
	flagStore, err := store.NewStore(log, []string{"test"})
	if err != nil {
		t.Fatal(err)
	}
	c := core{evaluator.NewJSON(log, flagStore)}
	if err := c.SetState(sync.DataSync{FlagData: string(definitions), Source: "test"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// outcome is what both evaluators can be compared by.
type outcome struct {
	variant, reason, code string
	value                 any
}

func (c core) decide(ctx context.Context, key string, attributes map[string]any) outcome {
	v := c.ResolveAsAnyValue(ctx, "", key, attributes)
	o := outcome{variant: v.Variant, reason: v.Reason, value: v.Value}
	if v.Error != nil {
		o.code, o.reason = v.Error.Error(), model.ErrorReason
	}
	if o.reason == model.FallbackReason {
		o.reason = model.DefaultReason
	}
	return o
}

func outcomeOf(d flags.Decision) outcome {
	return outcome{variant: d.Variant, reason: string(d.Reason), code: string(d.ErrorCode), value: asJSON(d.Value)}
}

// asJSON is v with every number as float64, as flagd has them.
func asJSON(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case map[string]any:
		m := map[string]any{}
		for key, value := range v {
			m[key] = asJSON(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = asJSON(value)
		}
		return l
	}
	return v
}

// withKey is a context as flagd takes it.
func withKey(ec flags.EvaluationContext) map[string]any {
	all := map[string]any{}
	maps.Copy(all, ec.Attributes)
	if ec.TargetingKey != "" {
		all["targetingKey"] = ec.TargetingKey
	}
	return all
}

// problems are what is wrong with definitions.
func problems(err error) []*flags.DefinitionError {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return nil
	}
	var all []*flags.DefinitionError
	for _, e := range joined.Unwrap() {
		if d, ok := errors.AsType[*flags.DefinitionError](e); ok {
			all = append(all, d)
		}
	}
	return all
}
