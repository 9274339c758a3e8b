package flagd_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

// asks is a file with one flag whose variants are many names.
func asks(targeting string) string {
	return `{"flags": {"f": {"state": "ENABLED", "defaultVariant": "d",
"variants": {"a": 1, "b": 2, "d": 3, "true": 4, "false": 5, "1": 6, "null": 7}, "targeting": ` + targeting + `}}}`
}

func TestRulesGiveVariants(t *testing.T) {
	tests := []struct{ rule, targeting, context, want string }{
		{"null is the default variant", `{"var": "none"}`, `{}`, "d DEFAULT"},
		{"a text is a variant", `{"var": "x"}`, `{"x": "a"}`, "a TARGETING_MATCH"},
		{"the text null is no null", `{"var": "x"}`, `{"x": "null"}`, "null TARGETING_MATCH"},
		{"a boolean is its text", `{"==": [1, "1"]}`, `{}`, "true TARGETING_MATCH"},
		{"a number is its text", `{"+": [0.5, "0.5"]}`, `{}`, "1 TARGETING_MATCH"},
		{"anything else is an error", `{"var": "x"}`, `{"x": "c"}`, " ERROR GENERAL"},
		{"a list is an error", `{"var": "x"}`, `{"x": [1, {}]}`, " ERROR GENERAL"},
		{"what cannot be computed is an error", `{"+": [true, 1]}`, `{}`, " ERROR PARSE_ERROR"},
		{"infinity is an error", `{"/": [1, 0]}`, `{}`, " ERROR PARSE_ERROR"},
		{"a path into lists", `{"var": "l.1.x"}`, `{"l": [0, {"x": "a"}]}`, "a TARGETING_MATCH"},
		{"a default of a path", `{"var": ["none", "b"]}`, `{}`, "b TARGETING_MATCH"},
		{"else if", `{"if": [false, "a", true, "b", "d"]}`, `{}`, "b TARGETING_MATCH"},
		{"or gives what is true", `{"or": [0, "", "a"]}`, `{}`, "a TARGETING_MATCH"},
		{"and gives what is false", `{"and": [1, {"var": "none"}, "a"]}`, `{}`, "d DEFAULT"},
		{"strict equality knows types", `{"===": [1, "1"]}`, `{}`, "false TARGETING_MATCH"},
		{"between", `{"<": [1, 2, 3]}`, `{}`, "true TARGETING_MATCH"},
		{"in a text", `{"in": ["b", "abc"]}`, `{}`, "true TARGETING_MATCH"},
		{"in a list of the context", `{"in": ["b", {"var": "l"}]}`, `{"l": ["a", "b"]}`, "true TARGETING_MATCH"},
		{"a loop, left to the library", `{"some": [{"var": "l"}, {"==": [{"var": ""}, "b"]}]}`, `{"l": ["a", "b"]}`, "true TARGETING_MATCH"},
		{"flagd's operators in a loop", `{"some": [{"var": "l"}, {"sem_ver": [{"var": ""}, ">=", "2.0.0"]}]}`, `{"l": ["1.0.0", "2.1.0"]}`, "true TARGETING_MATCH"},
		{"the flag's key", `{"==": [{"var": "$flagd.flagKey"}, "f"]}`, `{"$flagd": {"flagKey": "x"}}`, "true TARGETING_MATCH"},
		{"the time", `{">": [{"var": "$flagd.timestamp"}, 1700000000]}`, `{}`, "true TARGETING_MATCH"},
		{"versions may lack parts", `{"sem_ver": [{"var": "v"}, "^", "1"]}`, `{"v": 1.2}`, "true TARGETING_MATCH"},
		{"a pre-release is less", `{"sem_ver": [{"var": "v"}, "<", "1.2.3"]}`, `{"v": "V1.2.3-rc.1+b"}`, "true TARGETING_MATCH"},
		{"numbers in versions have no leading zeros", `{"sem_ver": [{"var": "v"}, "=", "1.2.3"]}`, `{"v": "1.02.3"}`, "d DEFAULT"},
		{"fractional without a targeting key", `{"fractional": [["a", 1], ["b", 1]]}`, `{}`, "d DEFAULT"},
		{"fractional with a targeting key that is no text", `{"fractional": [["a", 1]]}`, `{"targetingKey": 5}`, "d DEFAULT"},
		{"fractional of null hashes the targeting key", `{"fractional": [{"var": "none"}, ["a", 1]]}`, `{"targetingKey": "u"}`, "a TARGETING_MATCH"},
		{"fractional of a number is not", `{"fractional": [{"var": "n"}, ["a", 1]]}`, `{"targetingKey": "u", "n": 5}`, "d DEFAULT"},
		{"a weight that a rule gives", `{"fractional": [["a", {"var": "n"}], ["b", 0]]}`, `{"targetingKey": "u", "n": 5}`, "a TARGETING_MATCH"},
		{"such a weight must be an integer", `{"fractional": [["a", {"var": "n"}], ["b", 1]]}`, `{"targetingKey": "u", "n": 0.5}`, "d DEFAULT"},
		{"and negative is 0", `{"fractional": [["a", {"var": "n"}], ["b", 1]]}`, `{"targetingKey": "u", "n": -5}`, "b TARGETING_MATCH"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			var ec flags.EvaluationContext
			if err := json.Unmarshal([]byte(tt.context), &ec.Attributes); err != nil {
				t.Fatal(err)
			}
			d := parse(t, asks(tt.targeting)).EvaluateContext("f", ec)
			got := strings.TrimSuffix(d.Variant+" "+string(d.Reason)+" "+string(d.ErrorCode), " ")
			if got != tt.want || d.On != (d.Variant != "") {
				t.Errorf("got %q, want %q: %+v", got, tt.want, d)
			}
		})
	}
}

// The keys have these hashes, says flagd's specification of fractional: the
// least, the greatest, and those around the middle.
func TestHashesOfFlagd(t *testing.T) {
	set := parse(t, `{"flags": {"f": {"state": "ENABLED", "variants": {"low": "l", "high": "h"},
		"targeting": {"fractional": [{"var": "targetingKey"}, ["low", 1], ["high", 1]]}}}}`)
	edge := parse(t, `{"flags": {"f": {"state": "ENABLED", "variants": {"first": "f", "rest": "r", "last": "l"},
		"targeting": {"fractional": [{"var": "targetingKey"}, ["first", 1], ["rest", 2147483645], ["last", 1]]}}}}`)
	for key, want := range map[string][2]string{
		"ejOoVL": {"low", "first"}, "bY9fO-": {"low", "first"}, "SI7p-": {"low", "rest"}, "6LvT0": {"high", "rest"}, "ceQdGm": {"high", "last"},
	} {
		if got := [2]string{set.Evaluate("f", key).Variant, edge.Evaluate("f", key).Variant}; got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
}

// hostile are contexts that a client may send.
func hostile() map[string]any {
	circle := map[string]any{}
	circle["x"], circle["y"] = circle, circle
	deep := any("leaf")
	for range 100_000 {
		deep = []any{deep}
	}
	runs := map[string]any{"if": []any{true, map[string]any{"var": "x"}}}
	return map[string]any{
		"a circle": circle, "a deep list": deep, "a rule that runs itself": runs,
		"a rule in a list": []any{runs}, "a long list": make([]any, 200_000), "a function": func() {}, "a nil map": map[string]any(nil),
	}
}

func TestNoContextHurts(t *testing.T) {
	rules := []string{
		`{"if": [true, {"var": "x"}]}`, `{"var": "x"}`, `{"var": ""}`, `{"in": ["a", {"var": "x"}]}`, `{"cat": [{"var": "x"}, "a"]}`,
		`{"some": [{"var": "x"}, {"if": [true, {"var": "x"}]}]}`, `{"filter": [{"var": "x"}, {"filter": [{"var": "x"}, {"var": "x"}]}]}`,
		`{"map": [{"var": "x"}, {"if": [true, {"var": ""}]}]}`, `{"reduce": [{"var": "x"}, {"cat": [{"var": "accumulator"}, {"var": "current"}]}, ""]}`,
		`{"fractional": [{"var": "x"}, ["a", {"var": "x"}]]}`, `{"missing": ["x.x.x"]}`, `{"==": [{"var": "x"}, {"var": "x"}]}`,
	}
	for name, x := range hostile() {
		t.Run(name, func(t *testing.T) {
			for _, r := range rules {
				d := parse(t, asks(r)).EvaluateContext("f", flags.EvaluationContext{TargetingKey: "u", Attributes: map[string]any{"x": x}})
				if d.Reason == "" || d.ErrorCode != "" && (d.On || d.Value != nil) {
					t.Errorf("%s: %+v", r, d)
				}
			}
		})
	}
}

func TestEvaluationChangesNothingAndMayBeConcurrent(t *testing.T) {
	set := parse(t, asks(`{"if": [{"some": [{"merge": [{"var": "l"}, [1]]}, {"in": [{"var": ""}, [5]]}]}, "a", {"fractional": [["b", 1]]}]}`))
	context := func() map[string]any { return map[string]any{"l": []any{1, int64(2), map[string]any{"x": 3, "y": 4}}} }
	shared := context()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if d := set.EvaluateContext("f", flags.EvaluationContext{TargetingKey: "u", Attributes: shared}); d.Variant != "b" {
					t.Errorf("got %+v", d)
				}
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(context(), shared); diff != "" {
		t.Error(diff)
	}
}

func TestEvaluationAllocatesLittle(t *testing.T) {
	tests := []struct {
		rule, targeting string
		most            float64
	}{
		{"no targeting", `{}`, 0},
		{"fractional", `{"fractional": [["a", 1], ["b", 1]]}`, 1},
		{"fractional of cat", `{"fractional": [{"cat": ["salt", {"var": "targetingKey"}]}, ["a", 1], ["b", 1]]}`, 1},
		{"conditions", `{"if": [{"and": [{"ends_with": [{"var": "email"}, "@x"]}, {"in": [{"var": "email"}, ["a", "b"]]}]}, "a", "b"]}`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			set := parse(t, asks(tt.targeting))
			ec := flags.EvaluationContext{TargetingKey: "user-1", Attributes: map[string]any{"email": "u@x"}}
			if n := testing.AllocsPerRun(100, func() { set.EvaluateContext("f", ec) }); n > tt.most {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add(asks(`{"fractional": [{"cat": [{"var": "x"}]}, ["a", {"var": "n"}]]}`), "u", `{"x": "y", "n": 5}`)
	f.Add(asks(`{"some": [{"var": "x"}, {"if": [{"var": "x"}, {"var": ""}]}]}`), "", `{"x": [{"if": [true, {"var": "x"}]}]}`)
	f.Add(asks(`{"substr": [{"var": "x"}, -3, 9]}`), "u", `{"x": "é"}`)
	f.Fuzz(func(t *testing.T, file, key, context string) {
		set, err := flagd.Parse("flags", []byte(file))
		if err != nil {
			return
		}
		ec := flags.EvaluationContext{TargetingKey: key}
		_ = json.Unmarshal([]byte(context), &ec.Attributes) // nil where it is none
		for _, d := range set.EvaluateAllContext(ec) {
			if d.Reason == "" || (d.ErrorCode == "") != (d.Reason != flags.ReasonError) || d.ErrorDetails == "the rule panicked" {
				t.Errorf("got %+v", d)
			}
		}
	})
}
