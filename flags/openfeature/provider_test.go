package openfeature_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/openfeature"
	of "github.com/open-feature/go-sdk/openfeature"
)

const definitions = `
flags:
  on: {rolloutPercentage: 100, metadata: {team: web, cost: 2}}
  off: {rolloutPercentage: 0}
  half: {rolloutPercentage: 50, salt: ""}
  killed: {enabled: false, rolloutPercentage: 100}
  killed-variants: {enabled: false, variants: [{name: a}]}
  text: {rolloutPercentage: 100, variants: [{name: a, value: x}]}
  int: {rolloutPercentage: 100, variants: [{name: a, value: 7}]}
  large: {rolloutPercentage: 100, variants: [{name: a, value: 9007199254740993}]}
  largest: {rolloutPercentage: 100, variants: [{name: a, value: 9223372036854775807}]}
  beyond: {rolloutPercentage: 100, variants: [{name: a, value: 9223372036854775808}]}
  lowest: {rolloutPercentage: 100, variants: [{name: a, value: -9223372036854775808}]}
  whole: {rolloutPercentage: 100, variants: [{name: a, value: 7.0}]}
  fraction: {rolloutPercentage: 100, variants: [{name: a, value: 7.5}]}
  object: {rolloutPercentage: 100, variants: [{name: a, value: {list: [1, {deep: x}]}}]}
  list: {rolloutPercentage: 100, variants: [{name: a, value: [1]}]}
  nothing: {variants: [{name: a}], allowList: [alice]}
`

func provider(tb testing.TB, definitions string, cfg openfeature.Config) *openfeature.Provider {
	tb.Helper()
	c, err := flags.New(tb.Context(), flags.Config{Source: flags.Static("flags.yaml", []byte(definitions))})
	if err != nil {
		tb.Fatal(err)
	}
	p, err := openfeature.NewProvider(c, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// answer is a resolution as far as tests compare it.
type answer struct {
	Value   any
	Variant string
	Reason  of.Reason
	Code    of.ErrorCode
}

func answerOf[T any](r of.GenericResolutionDetail[T]) answer {
	d := r.ResolutionDetail()
	return answer{r.Value, d.Variant, d.Reason, d.ErrorCode}
}

// ask asks for a flag in the type of otherwise.
func ask(p of.FeatureProvider, flag string, otherwise any, flat of.FlattenedContext) answer {
	ctx := context.Background()
	switch v := otherwise.(type) {
	case bool:
		return answerOf(p.BooleanEvaluation(ctx, flag, v, flat))
	case string:
		return answerOf(p.StringEvaluation(ctx, flag, v, flat))
	case float64:
		return answerOf(p.FloatEvaluation(ctx, flag, v, flat))
	case int64:
		return answerOf(p.IntEvaluation(ctx, flag, v, flat))
	}
	return answerOf(p.ObjectEvaluation(ctx, flag, otherwise, flat))
}

func TestAFlagAnswersInTheTypeThatWasAskedFor(t *testing.T) {
	p := provider(t, definitions, openfeature.Config{})
	mismatch := func(otherwise any) answer { return answer{otherwise, "", of.ErrorReason, of.TypeMismatchCode} }
	alice := of.FlattenedContext{of.TargetingKey: "alice"}
	object := map[string]any{"list": []any{int64(1), map[string]any{"deep": "x"}}}
	other := struct{ a int }{1}
	for _, tc := range []struct {
		rule, flag string
		otherwise  any
		flat       of.FlattenedContext
		want       answer
	}{
		{"on is true", "on", false, nil, answer{true, "on", of.StaticReason, ""}},
		{"off is false, whatever the default", "off", true, nil, answer{false, "off", of.StaticReason, ""}},
		{"below the percentage", "half", false, of.FlattenedContext{of.TargetingKey: "SI7p-"}, answer{true, "on", of.SplitReason, ""}},
		{"at the percentage", "half", true, of.FlattenedContext{of.TargetingKey: "6LvT0"}, answer{false, "off", of.SplitReason, ""}},
		{"the kill switch beats the default", "killed", true, alice, answer{false, "off", of.DisabledReason, ""}},
		{"the kill switch without a value: the default", "killed-variants", "mine", alice, answer{"mine", "", of.DisabledReason, ""}},
		{"off without a value: the default", "nothing", "mine", nil, answer{"mine", "", of.DefaultReason, ""}},
		{"no value is of every type", "nothing", int64(3), nil, answer{int64(3), "", of.DefaultReason, ""}},
		{"on with one", "nothing", "mine", alice, answer{"a", "a", of.TargetingMatchReason, ""}},
		{"string", "text", "mine", nil, answer{"x", "a", of.StaticReason, ""}},
		{"int", "int", int64(0), nil, answer{int64(7), "a", of.StaticReason, ""}},
		{"int as float", "int", 0.5, nil, answer{7.0, "a", of.StaticReason, ""}},
		{"float", "fraction", 0.5, nil, answer{7.5, "a", of.StaticReason, ""}},
		{"float without fraction as int", "whole", int64(0), nil, answer{int64(7), "a", of.StaticReason, ""}},
		{"float with fraction as int", "fraction", int64(3), nil, mismatch(int64(3))},
		{"int that no float is", "large", 0.5, nil, mismatch(0.5)},
		{"the largest int is no float", "largest", 0.5, nil, mismatch(0.5)},
		{"the largest int", "largest", int64(0), nil, answer{int64(math.MaxInt64), "a", of.StaticReason, ""}},
		{"beyond every int", "beyond", int64(3), nil, mismatch(int64(3))},
		{"beyond every int is a float", "beyond", 0.5, nil, answer{9223372036854775808.0, "a", of.StaticReason, ""}},
		{"the lowest int is a float", "lowest", 0.5, nil, answer{-9223372036854775808.0, "a", of.StaticReason, ""}},
		{"mapping", "object", nil, nil, answer{object, "a", of.StaticReason, ""}},
		{"list", "list", other, nil, answer{[]any{int64(1)}, "a", of.StaticReason, ""}},
		{"string as object", "text", other, nil, mismatch(other)},
		{"bool as object", "on", other, nil, mismatch(other)},
		{"bool as string", "on", "mine", nil, mismatch("mine")},
		{"bool as int", "on", int64(3), nil, mismatch(int64(3))},
		{"bool as float", "on", 0.5, nil, mismatch(0.5)},
		{"string as bool", "text", true, nil, mismatch(true)},
		{"int as bool", "int", true, nil, mismatch(true)},
		{"object as string", "object", "mine", nil, mismatch("mine")},
		{"object as int", "object", int64(3), nil, mismatch(int64(3))},
		{"no such flag", "none", true, alice, answer{true, "", of.ErrorReason, of.FlagNotFoundCode}},
		{"no targeting key where it matters", "half", true, nil, answer{true, "", of.ErrorReason, of.TargetingKeyMissingCode}},
		{"an empty targeting key is none", "half", true, of.FlattenedContext{of.TargetingKey: ""}, answer{true, "", of.ErrorReason, of.TargetingKeyMissingCode}},
		{"a targeting key that is too long", "on", false, of.FlattenedContext{of.TargetingKey: strings.Repeat("x", flags.MaxTargetingKeyBytes+1)}, answer{false, "", of.ErrorReason, of.InvalidContextCode}},
		{"the longest targeting key", "on", false, of.FlattenedContext{of.TargetingKey: strings.Repeat("x", flags.MaxTargetingKeyBytes)}, answer{true, "on", of.StaticReason, ""}},
		{"a targeting key that is no string", "on", false, of.FlattenedContext{of.TargetingKey: 7}, answer{false, "", of.ErrorReason, of.InvalidContextCode}},
		{"attributes are nothing to native rules", "on", false, of.FlattenedContext{"x": make(chan int)}, answer{true, "on", of.StaticReason, ""}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got := ask(p, tc.flag, tc.otherwise, tc.flat)
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b struct{ a int }) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDetailsCarryMetadataAndWhatIsWrong(t *testing.T) {
	p := provider(t, definitions, openfeature.Config{})
	good := p.BooleanEvaluation(t.Context(), "on", false, nil)
	bad := p.StringEvaluation(t.Context(), "on", "", nil)
	want := of.FlagMetadata{"team": "web", "cost": int64(2)}
	if diff := cmp.Diff([]of.FlagMetadata{want, want}, []of.FlagMetadata{good.FlagMetadata, bad.FlagMetadata}); diff != "" {
		t.Error(diff)
	}
	if got := bad.Error(); got == nil || got.Error() != "TYPE_MISMATCH: the flag's value is true or false" {
		t.Errorf("got %v", got)
	}
}

func TestAnObjectIsTheCallersToChange(t *testing.T) {
	p := provider(t, definitions, openfeature.Config{})
	get := func() map[string]any {
		return p.ObjectEvaluation(t.Context(), "object", nil, nil).Value.(map[string]any)
	}
	changed := get()
	changed["list"].([]any)[1].(map[string]any)["deep"] = "y"
	changed["new"] = true
	if diff := cmp.Diff(map[string]any{"list": []any{int64(1), map[string]any{"deep": "x"}}}, get()); diff != "" {
		t.Error(diff)
	}
}

// custom is a provider on one flag, c, with rules of its own.
func custom(t *testing.T, evaluate func(flags.EvaluationContext, int64) flags.Decision) *openfeature.Provider {
	t.Helper()
	set, err := flags.NewSet("v", nil, []flags.Custom{{Definition: flags.Definition{Key: "c", Enabled: true}, Evaluate: evaluate}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := flags.New(t.Context(), flags.Config{
		Source: flags.Static("x", nil),
		Parse:  func(string, []byte) (*flags.Set, error) { return set, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := openfeature.NewProvider(c, openfeature.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type plan string

func TestAttributesReachRulesAsJSONHasThem(t *testing.T) {
	var got flags.EvaluationContext
	p := custom(t, func(ec flags.EvaluationContext, _ int64) flags.Decision {
		got = ec
		return flags.Decision{On: true, Value: true, Variant: "on", Reason: flags.ReasonTargetingMatch}
	})
	nested := map[string]any{"a": []any{float32(0.5), plan("x")}}
	cycle := map[string]any{}
	cycle["c"] = []any{cycle}
	for _, tc := range []struct {
		rule        string
		given, want any // nil: INVALID_CONTEXT
	}{
		{"string", "x", "x"},
		{"bool", true, true},
		{"int", 7, 7},
		{"uint8", uint8(7), uint8(7)},
		{"float32", float32(0.5), 0.5},
		{"string of another name", plan("pro"), "pro"},
		{"time", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "2026-01-02T03:04:05Z"},
		{"list of strings", []string{"a", "b"}, []any{"a", "b"}},
		{"struct", struct{ A int }{1}, map[string]any{"A": 1.0}},
		{"nested", nested, map[string]any{"a": []any{0.5, "x"}}},
		{"function", func() {}, nil},
		{"function in a list", []any{func() {}}, nil},
		{"cycle", cycle, nil},
		{"not a number, in a struct", struct{ F float64 }{math.NaN()}, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			r := p.BooleanEvaluation(t.Context(), "c", false, of.FlattenedContext{of.TargetingKey: "alice", "given": tc.given})
			if tc.want == nil {
				const want = `INVALID_CONTEXT: attribute "given" cannot be written as JSON`
				if err := r.Error(); err == nil || err.Error() != want || r.Reason != of.ErrorReason {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			want := flags.EvaluationContext{TargetingKey: "alice", Attributes: map[string]any{"given": tc.want}}
			if diff := cmp.Diff(want, got); diff != "" || r.Error() != nil {
				t.Error(diff, r.Error())
			}
		})
	}
}

func TestErrorsOfRulesKeepTheirCodeAndDetails(t *testing.T) {
	var d flags.Decision
	p := custom(t, func(flags.EvaluationContext, int64) flags.Decision { return d })
	for _, code := range []flags.ErrorCode{
		flags.ErrorParse, flags.ErrorTypeMismatch, flags.ErrorInvalidContext, flags.ErrorGeneral, flags.ErrorTargetingKeyMissing,
		flags.ErrorProviderNotReady, flags.ErrorFlagNotFound,
	} {
		d = flags.Decision{Reason: flags.ReasonError, ErrorCode: code, ErrorDetails: "why"}
		got := p.BooleanEvaluation(t.Context(), "c", true, nil)
		if want := string(code) + ": why"; got.Error() == nil || got.Error().Error() != want || !got.Value {
			t.Errorf("%s: got %v", code, got.Error())
		}
		d.ErrorDetails = ""
		if r := p.BooleanEvaluation(t.Context(), "c", true, nil).ResolutionDetail(); r.ErrorMessage == "" || string(r.ErrorCode) != string(code) {
			t.Errorf("%s: got %+v", code, r)
		}
	}
	d = flags.Decision{Reason: flags.ReasonError, ErrorCode: "NEW"}
	if got := ask(p, "c", true, nil); got.Code != of.GeneralCode {
		t.Errorf("got %+v", got)
	}
}

func TestProviderNeedsAClientAndATimeThatIsOne(t *testing.T) {
	var problem *flags.ConfigError
	if _, err := openfeature.NewProvider(nil, openfeature.Config{}); !errors.As(err, &problem) || problem.Field != "client" {
		t.Errorf("no client: %v", err)
	}
	if _, err := openfeature.NewProvider(new(flags.Client), openfeature.Config{InitTimeout: -1}); !errors.As(err, &problem) || problem.Field != "InitTimeout" {
		t.Errorf("negative: %v", err)
	}
}
