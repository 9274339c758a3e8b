package flags_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

const variantDefinitions = `
flags:
  color:
    rolloutPercentage: 50
    denyList: [eve]
    allowList: [alice]
    metadata: {team: web, cost: 2, ratio: 0.5, beta: true}
    variants:
      - {name: blue, weight: 50, value: "#00f"}
      - {name: red, weight: 50, value: "#f00"}
    offVariant: blue
  off-without-value: {variants: [{name: a}]}
  lone: {rolloutPercentage: 100, variants: [{name: a, weight: 0, value: {}}, {name: b, value: {limit: 3, list: [1, 2.5]}}]}
  bool: {rolloutPercentage: 100, variants: [{name: "yes", value: true}, {name: "no", weight: 0, value: false}]}
  killed: {enabled: false, rolloutPercentage: 100, variants: [{name: a}, {name: b}], offVariant: b}
`

func TestAFlagWithVariantsAnswersOne(t *testing.T) {
	c := client(t, variantDefinitions)
	metadata := map[string]any{"team": "web", "cost": int64(2), "ratio": 0.5, "beta": true}
	for _, tc := range []struct {
		rule, flag, key string
		want            flags.Decision
	}{
		{"denied: the off variant", "color", "eve", flags.Decision{Value: "#00f", Variant: "blue", Reason: flags.ReasonTargetingMatch, Metadata: metadata}},
		{"allowed: by weight all the same", "color", "alice", flags.Decision{On: true, Value: "#00f", Variant: "blue", Reason: flags.ReasonTargetingMatch, Metadata: metadata}},
		{"no key", "color", "", flags.Decision{Reason: flags.ReasonError, ErrorCode: flags.ErrorTargetingKeyMissing, Metadata: metadata}},
		{"off without an off variant: no value", "off-without-value", "alice", flags.Decision{Reason: flags.ReasonStatic}},
		{"only one that has a weight: no key is needed", "lone", "", flags.Decision{On: true, Value: map[string]any{"limit": int64(3), "list": []any{int64(1), 2.5}}, Variant: "b", Reason: flags.ReasonStatic}},
		{"killed: the off variant", "killed", "alice", flags.Decision{Value: "b", Variant: "b", Reason: flags.ReasonDisabled}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			tc.want.Key = tc.flag
			if diff := cmp.Diff(tc.want, c.Evaluate(tc.flag, tc.key)); diff != "" {
				t.Error(diff)
			}
			if got := c.Enabled(tc.flag, tc.key); got != tc.want.On {
				t.Errorf("Enabled is %t", got)
			}
		})
	}
}

func TestHeaderNamesTheVariant(t *testing.T) {
	c := client(t, variantDefinitions)
	got, _ := c.For("alice").AppendHeader(nil)
	if want := `"bool", "color";v="blue", "lone";v="b"`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A rollout's first users are not those of the first variant.
func TestVariantsAreIndependentOfTheRollout(t *testing.T) {
	for _, percent := range []int{1, 10, 50, 100} {
		c := client(t, fmt.Sprintf("color: {rolloutPercentage: %d, variants: [{name: a, weight: 1}, {name: b, weight: 3}]}", percent))
		count := map[string]int{}
		const ids = 100_000
		for i := range ids {
			count[c.Evaluate("color", fmt.Sprintf("user-%d", i)).Variant]++
		}
		on := count["a"] + count["b"]
		if share := float64(count["a"]) / float64(on); share < 0.22 || share > 0.28 {
			t.Errorf("at %d %%: variant a has %.3f of %d, want 0.25", percent, share, on)
		}
	}
}

func TestBadVariantsAreRefused(t *testing.T) {
	for _, tc := range []struct{ rule, definition, want string }{
		{"no name", "f: {variants: [{weight: 1}]}", "f.variants[0].name: is required"},
		{"a name twice", "f: {variants: [{name: a}, {name: a}]}", "f.variants[1].name: is the name of an earlier variant"},
		{"values of two kinds", "f: {variants: [{name: a, value: 1}, {name: b, value: x}]}", "f.variants[1].value: must be a number"},
		{"no weight", "f: {variants: [{name: a, weight: 0}]}", "f.variants: their weights must add up"},
		{"too much weight", "f: {variants: [{name: a, weight: 2147483647}, {name: b}]}", "f.variants: their weights must add up"},
		{"a negative weight", "f: {variants: [{name: a, weight: -1}]}", "f.variants[0].weight: must be"},
		{"an off variant that is none", "f: {variants: [{name: a}], offVariant: b}", "f.offVariant: is none of the variants"},
		{"an off variant without variants", "f: {offVariant: b}", "f.offVariant: has no effect without variants"},
		{"an empty list", "f: {variants: []}", "f.variants: must be 1 to 100"},
		{"a number that is none in JSON", "f: {variants: [{name: a, value: .inf}]}", "expected a decimal number"},
		{"metadata that is no single value", "f: {rolloutPercentage: 1, metadata: {a: [1]}}", "f.metadata.a: must be a string"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := flags.Parse("flags.yaml", []byte(tc.definition))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestCustomFlagsAnswerByTheirOwnRules(t *testing.T) {
	set, err := flags.NewSet("v1", nil, []flags.Custom{
		{
			Definition: flags.Definition{Key: `sp ace"\`, Enabled: true, Inject: true, Variants: []flags.Variant{{Name: `x"`, Value: int64(7)}}},
			Evaluate: func(ec flags.EvaluationContext, _ int64) flags.Decision {
				return flags.Decision{On: ec.Attributes["plan"] == "pro", Value: int64(7), Variant: `x"`, Reason: flags.ReasonTargetingMatch}
			},
		},
		{
			Definition: flags.Definition{Key: "überall", Enabled: true, Inject: true},
			Evaluate: func(flags.EvaluationContext, int64) flags.Decision {
				return flags.Decision{On: true, Value: true, Variant: "on", Reason: flags.ReasonStatic}
			},
		},
	})
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
	e := c.ForContext(flags.EvaluationContext{Attributes: map[string]any{"plan": "pro"}})
	if got, _ := e.AppendHeader(nil); string(got) != `"sp ace\"\\";v="x\""` {
		t.Errorf("header %s", got)
	}
	if c.Enabled(`sp ace"\`, "") || !e.Enabled(`sp ace"\`) {
		t.Error("attributes do not reach the rules")
	}
	if d := e.Evaluate("überall"); d.Key != "überall" || !d.On {
		t.Errorf("got %+v", d)
	}
	never := func(flags.EvaluationContext, int64) flags.Decision { return flags.Decision{} }
	for _, bad := range [][]flags.Custom{
		{{Definition: flags.Definition{Key: "a"}}},
		{{Evaluate: never}},
		{{Definition: flags.Definition{Key: "a"}, Evaluate: never}, {Definition: flags.Definition{Key: "a"}, Evaluate: never}},
		{{Definition: flags.Definition{Key: "\xff"}, Evaluate: never}},
	} {
		if _, err := flags.NewSet("v", nil, bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
