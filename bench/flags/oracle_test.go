package flags_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

// TestExportedDecisionsAreThoseOfFlagd makes up native definitions and asks
// three evaluators about them: the native one, flags/flagd and flagd's own, both
// of what was exported.
func TestExportedDecisionsAreThoseOfFlagd(t *testing.T) {
	r := random(t)
	const flagsEach = 100
	compared, answers := 0, map[string]int{}
	for compared < *count {
		definitions := map[string]any{}
		for i := range flagsEach {
			definitions[fmt.Sprintf("flag-%d", i)] = nativeFlag(r)
		}
		source := encode(t, map[string]any{"flags": definitions})
		native, err := flags.Parse("flags.json", source)
		if err != nil {
			t.Fatal(err)
		}
		data, err := flagd.Export(native)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := flagd.Parse("flags.flagd.json", data)
		if err != nil {
			t.Fatal(err)
		}
		if w := parsed.Warnings(); len(w) > 0 {
			t.Errorf("warnings: %v", w)
		}
		theirs := newCore(t, data)
		for range 50 {
			ec := flags.EvaluationContext{TargetingKey: targetingKey(r)}
			for _, key := range native.Keys() {
				d := native.EvaluateContext(key, ec)
				mine, core := parsed.EvaluateContext(key, ec), theirs.decide(t.Context(), key, withKey(ec))
				want := inFlagdsWords(d)
				got := outcomeOf(mine)
				if !reflect.DeepEqual(got, core) || got.variant != want.variant || !reflect.DeepEqual(got.value, want.value) ||
					want.reason != "" && got.reason != want.reason {
					t.Errorf("%s for %q: native %+v, flags/flagd %+v, flagd %+v\n%s", key, ec.TargetingKey, want, got, core, encode(t, definitions[key]))
				}
				compared++
				answers[string(d.Reason)]++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d compared: %v", compared, answers)
}

// inFlagdsWords is a native decision as flagd has to give it. The reason is
// empty where flagd has another.
func inFlagdsWords(d flags.Decision) outcome {
	o := outcomeOf(d)
	switch d.Reason {
	case flags.ReasonDisabled:
		o.variant, o.value = "", nil
	case flags.ReasonError:
		o.reason, o.code = "DEFAULT", ""
	case flags.ReasonSplit:
		o.reason = "TARGETING_MATCH"
	case flags.ReasonStatic, flags.ReasonDefault, flags.ReasonTargetingMatch:
		o.reason = ""
	}
	if d.Value == nil && d.Reason != flags.ReasonDisabled {
		o.reason = "DEFAULT"
	}
	return o
}

func targetingKey(r *rand.Rand) string {
	switch r.IntN(20) {
	case 0:
		return ""
	case 1:
		return fmt.Sprint("listed-", r.IntN(3))
	case 2:
		return fmt.Sprint("é日<&\"'\\ ", r.Uint32())
	}
	return fmt.Sprintf("user-%x", r.Uint64())
}

func nativeFlag(r *rand.Rand) map[string]any {
	f := map[string]any{"rolloutPercentage": float64(r.IntN(100_001)) / 1000}
	some := func(n int) bool { return r.IntN(n) == 0 }
	if some(8) {
		f["rolloutPercentage"] = 100 * r.IntN(2)
	}
	if some(10) {
		f["enabled"] = false
	}
	if some(3) {
		f["salt"] = fmt.Sprint("salt of ", r.IntN(1000))
	}
	if some(30) {
		f["salt"] = ""
	}
	if some(4) {
		f["allowList"] = []string{"listed-0", "listed-1"}
	}
	if some(4) {
		f["denyList"] = []string{"listed-1", "listed-2"}
	}
	if some(5) {
		f["expires"] = []string{"2020-01-31", "2999-12-31"}[r.IntN(2)]
		f["onExpiry"] = []string{"keep", "on", "off"}[r.IntN(3)]
		f["owner"] = "team"
	}
	if some(3) {
		f["metadata"] = map[string]any{"tier": 1, "note": "x", "public": true}
	}
	if some(3) {
		variants(r, f)
	}
	return f
}

func variants(r *rand.Rand, f map[string]any) {
	list := make([]map[string]any, 1+r.IntN(4))
	value := []func(int) any{
		func(i int) any { return fmt.Sprint("value <", i, ">") },
		func(i int) any { return i },
		func(i int) any { return i%2 == 0 },
		func(i int) any { return float64(i) / 3 },
		func(i int) any { return map[string]any{"n": float64(i), "l": []any{"x", nil}} },
	}[r.IntN(5)]
	for i := range list {
		list[i] = map[string]any{"name": fmt.Sprintf("v%d", i), "weight": r.IntN(1000), "value": value(i)}
	}
	list[0]["weight"] = 1 + r.IntN(50)
	f["variants"] = list
	if r.IntN(2) == 0 {
		f["offVariant"] = fmt.Sprintf("v%d", r.IntN(len(list)))
	}
	if r.IntN(3) == 0 {
		f["variantSalt"] = fmt.Sprint("other", r.IntN(100))
	}
}
