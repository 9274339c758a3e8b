package openfeature_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags/openfeature"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
)

// thousand is a provider of 1,000 flags at 25 %, and one of each other kind.
func thousand(tb testing.TB) *openfeature.Provider {
	tb.Helper()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "flag-%04d: {rolloutPercentage: 25}\n", i)
	}
	b.WriteString("told: {rolloutPercentage: 25, metadata: {team: web}}\n")
	b.WriteString("variants: {rolloutPercentage: 25, variants: [{name: a, weight: 1}, {name: b, weight: 3}]}\n")
	b.WriteString("number: {rolloutPercentage: 100, variants: [{name: a, value: 7}]}\n")
	return provider(tb, b.String(), openfeature.Config{})
}

const userID = "0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77"

func flatContext() of.FlattenedContext {
	return of.FlattenedContext{of.TargetingKey: userID, "plan": "pro", "country": "de", "age": 42}
}

func evaluations(tb testing.TB, p *openfeature.Provider) map[string]func() {
	tb.Helper()
	ctx, flat := tb.Context(), flatContext()
	return map[string]func(){
		"boolean":             func() { p.BooleanEvaluation(ctx, "flag-0500", false, flat) },
		"boolean_no_context":  func() { p.BooleanEvaluation(ctx, "flag-0500", false, nil) },
		"boolean_metadata":    func() { p.BooleanEvaluation(ctx, "told", false, flat) },
		"string":              func() { p.StringEvaluation(ctx, "variants", "", flat) },
		"int":                 func() { p.IntEvaluation(ctx, "number", 0, flat) },
		"float_of_int":        func() { p.FloatEvaluation(ctx, "number", 0, flat) },
		"unknown":             func() { p.BooleanEvaluation(ctx, "no-such-flag", false, flat) },
		"of_another_type":     func() { p.StringEvaluation(ctx, "flag-0500", "", flat) },
		"bad_targeting_key":   func() { p.BooleanEvaluation(ctx, "flag-0500", false, of.FlattenedContext{of.TargetingKey: 1}) },
		"object_of_no_object": func() { p.ObjectEvaluation(ctx, "flag-0500", nil, flat) },
	}
}

func TestEvaluationDoesNotAllocate(t *testing.T) {
	for name, f := range evaluations(t, thousand(t)) {
		if name == "bad_targeting_key" {
			continue // makes its context
		}
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkProvider(b *testing.B) {
	for name, f := range evaluations(b, thousand(b)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkThroughTheSDK is what a service sees: the SDK merges and copies the
// evaluation context around each call of the provider.
func BenchmarkThroughTheSDK(b *testing.B) {
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(b.Context(), thousand(b)); err != nil {
		b.Fatal(err)
	}
	client, ec := api.NewClient(), of.NewEvaluationContext(userID, map[string]any{"plan": "pro", "country": "de", "age": 42})
	b.Run("boolean", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			client.Boolean(b.Context(), "flag-0500", false, ec)
		}
	})
	b.Run("boolean_targeting_key_only", func(b *testing.B) {
		b.ReportAllocs()
		lone := of.NewEvaluationContext(userID, nil)
		for b.Loop() {
			client.Boolean(b.Context(), "flag-0500", false, lone)
		}
	})
	if err := api.Shutdown(b.Context()); err != nil {
		b.Error(err)
	}
}
