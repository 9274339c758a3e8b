package flags_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
)

func TestWhatAnEditDoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, before, after string
		want                flags.Effect
	}{
		{"a raise only adds", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 10}", flags.EffectGains},
		{"a cut only takes away", "a: {rolloutPercentage: 10}", "a: {rolloutPercentage: 5}", flags.EffectLoses},
		{"the kill switch only takes away", "a: {rolloutPercentage: 10}", "a: {enabled: false, rolloutPercentage: 50, salt: x}", flags.EffectLoses},
		{"a new flag only adds", "b: {enabled: false}", "b: {enabled: false}\na: {rolloutPercentage: 1}", flags.EffectGains},
		{"a new flag at 0 % does nothing", "b: {enabled: false}", "b: {enabled: false}\na: {rolloutPercentage: 0}", flags.EffectNone},
		{"a flag removed only takes away", "b: {enabled: false}\na: {rolloutPercentage: 1}", "b: {enabled: false}", flags.EffectLoses},
		{"text does nothing", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 5, owner: x, metadata: {k: 1}}", flags.EffectNone},
		{"another salt draws anew", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 5, salt: x}", flags.EffectMixed},
		{"another hash draws anew, with a raise too", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 50, hash: unleash}", flags.EffectMixed},
		{"another salt draws nobody at 0 %", "a: {rolloutPercentage: 0}", "a: {rolloutPercentage: 50, salt: x}", flags.EffectGains},
		{"another salt draws nobody at 100 %", "a: {rolloutPercentage: 50}", "a: {rolloutPercentage: 100, salt: x}", flags.EffectGains},
		{"a salt that is spelt out does nothing", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 5, salt: a}", ""},
		{"an allowed ID gains it", "a: {rolloutPercentage: 0}", "a: {rolloutPercentage: 0, allowList: [x]}", flags.EffectGains},
		{"an ID that has it anyway gains nothing", "a: {rolloutPercentage: 100}", "a: {rolloutPercentage: 100, allowList: [x]}", flags.EffectNone},
		{"an ID off the list loses it", "a: {rolloutPercentage: 0, allowList: [x, y]}", "a: {rolloutPercentage: 0, allowList: [x]}", flags.EffectLoses},
		{"a list that is moved", "a: {rolloutPercentage: 0, allowList: [x]}", "a: {rolloutPercentage: 0, allowList: [y]}", flags.EffectMixed},
		{"a raise that denies somebody who has it", "a: {rolloutPercentage: 99.999}", "a: {rolloutPercentage: 100, denyList: [x]}", flags.EffectMixed},
		{"an expiry that is due", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 50, salt: x, expires: 2001-01-31, onExpiry: on}", flags.EffectGains},
		{"variants of a flag that had none", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 5, variants: [{name: x}]}", flags.EffectMixed},
		{"a variant called on", "a: {rolloutPercentage: 5}", "a: {rolloutPercentage: 5, variants: [{name: on}]}", flags.EffectNone},
		{"other weights", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: y}]}", "a: {rolloutPercentage: 5, variants: [{name: x, weight: 2}, {name: y}]}", flags.EffectMixed},
		{"the same weights in other numbers", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: y}]}", "a: {rolloutPercentage: 5, variants: [{name: x, weight: 7}, {name: y, weight: 7}]}", flags.EffectNone},
		{"a variant that nobody gets", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: y}]}", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: z, weight: 0}, {name: y}]}", flags.EffectNone},
		{"another value of a variant", "a: {rolloutPercentage: 5, variants: [{name: x, value: 1}]}", "a: {rolloutPercentage: 5, variants: [{name: x, value: 2}]}", flags.EffectNone},
		{"another variantSalt", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: y}]}", "a: {rolloutPercentage: 5, variantSalt: z, variants: [{name: x}, {name: y}]}", flags.EffectMixed},
		{"another variantSalt of one variant", "a: {rolloutPercentage: 5, variants: [{name: x}]}", "a: {rolloutPercentage: 5, variantSalt: z, variants: [{name: x}]}", flags.EffectNone},
		{"variants of a flag that is on for nobody yet", "a: {rolloutPercentage: 0}", "a: {rolloutPercentage: 5, variants: [{name: x}, {name: y}]}", flags.EffectGains},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			all := mustParse(t, tt.after).Compare(mustParse(t, tt.before))
			got := flags.Effect("")
			if len(all) > 0 {
				got = all[0].Effect
			}
			if got != tt.want || len(all) > 1 {
				t.Errorf("%+v, want %q", all, tt.want)
			}
		})
	}
}

// TestAnEffectIsWhatHappens asks about many IDs, for random pairs of definitions.
func TestAnEffectIsWhatHappens(t *testing.T) {
	t.Parallel()
	const seed, ids = 6, 2000
	random := rand.New(rand.NewPCG(seed, seed))
	seen := map[flags.Effect]int{}
	for range 400 {
		before, after := randomFlag(random), randomFlag(random)
		old, next := mustParse(t, before), mustParse(t, after)
		all := next.Compare(old)
		if len(all) == 0 {
			all = []flags.Comparison{{Effect: flags.EffectNone}}
		}
		c := all[0]
		seen[c.Effect]++
		var rest, every flags.Affected
		for i := range ids {
			id := fmt.Sprint("user-", i)
			was, is := old.Evaluate("a", id), next.Evaluate("a", id)
			every.Count(was, is)
			if i >= listedIDs {
				rest.Count(was, is)
			}
		}
		every.Count(old.Evaluate("a", ""), next.Evaluate("a", ""))
		if c.Effect.Monotone() && every.Move > 0 || c.Effect == flags.EffectGains && every.Lose > 0 ||
			c.Effect == flags.EffectLoses && every.Gain > 0 || c.Effect == flags.EffectNone && every != (flags.Affected{}) {
			t.Fatalf("%s\n%s\n%s: %+v", before, after, c.Effect, every)
		}
		for _, part := range []struct {
			told float64
			got  int
		}{{c.Gain, rest.Gain}, {c.Lose, rest.Lose}, {c.Move, rest.Move}} {
			if got := float64(part.got) / (ids - listedIDs); math.Abs(got-part.told) > 0.06 {
				t.Fatalf("%s\n%s\n%+v, counted %+v of %d", before, after, c, rest, ids-listedIDs)
			}
		}
	}
	for _, e := range []flags.Effect{flags.EffectNone, flags.EffectGains, flags.EffectLoses, flags.EffectMixed} {
		if seen[e] < 10 {
			t.Errorf("%s came %d times only", e, seen[e])
		}
	}
}

const listedIDs = 3 // user-0 to user-2 may be on lists

func randomFlag(random *rand.Rand) string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	if random.IntN(8) == 0 {
		return "b: {enabled: true, rolloutPercentage: 1}"
	}
	text := fmt.Sprintf("a: {rolloutPercentage: %s, salt: %s, hash: %s, enabled: %s, allowList: [%s], denyList: [%s], onExpiry: %s%s",
		pick("0", "100", "5", "20", "50", "77.7"), pick("s", "s", "s", "t"), pick("flagd2", "flagd2", "flagd2", "posthog"),
		pick("true", "true", "true", "true", "false"), pick("", "user-0", "user-0, user-1"), pick("", "", "user-1, user-2"),
		pick("keep", "keep", "on", "off"), pick("", ", expires: 2001-01-31"))
	if random.IntN(2) == 0 {
		text += fmt.Sprintf(", variantSalt: %s, variants: [{name: on, weight: %d}, {name: y, weight: %d}, {name: z, weight: %d}]",
			pick("v", "v", "w"), random.IntN(4), random.IntN(4), random.IntN(2)+1)
	}
	return text + "}"
}

func TestWhatDiffers(t *testing.T) {
	t.Parallel()
	before := "a: {rolloutPercentage: 5, allowList: [x, y], owner: me, metadata: {k: 1}}"
	after := "a: {rolloutPercentage: 12.5, allowList: [y, z], expires: 2999-01-31, onExpiry: off, inject: false, variants: [{name: on, value: 7}, {name: b}], metadata: {l: b}}"
	after = strings.Replace(after, "{name: b}", "{name: b, value: 8}", 1)
	got := fieldsThatDiffer(mustParse(t, before), mustParse(t, after))
	want := []string{
		`owner: "me" -> ""`, `rolloutPercentage: 5 % -> 12.5 %`, `allowList: 2 -> 2 (1 new, 1 gone)`,
		`expires: none -> 2999-01-31`, `onExpiry: "keep" -> "off"`, `inject: true -> false`,
		`metadata.k: 1 -> none`, `metadata.l: none -> "b"`, `variants: none -> on 1 7, b 1 8`, `variantSalt: "" -> "a/variants"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// fieldsThatDiffer are those of the one flag of two sets.
func fieldsThatDiffer(before, after *flags.Set) []string {
	var got []string
	for _, f := range after.Compare(before)[0].Fields {
		got = append(got, f.Field+": "+f.Before+" -> "+f.After)
	}
	return got
}

// Settings that are rules count for nothing in a flag with rules of its own.
func TestWhatDiffersInFlagsWithRulesOfTheirOwn(t *testing.T) {
	t.Parallel()
	custom := func(rules string, value any) *flags.Set {
		set, err := flags.NewSet("v", nil, []flags.Custom{{
			Definition: flags.Definition{
				Key: "a", Enabled: true, Inject: true, OnExpiry: flags.ExpiryKeep,
				RolloutThousandths: len(rules), Salt: rules, AllowList: []string{rules}, OffVariant: rules, VariantSalt: rules,
				Variants: []flags.Variant{{Name: "x", Value: value}},
			},
			Rules: rules, Evaluate: func(flags.EvaluationContext, int64) flags.Decision { return flags.Decision{} },
		}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	native := mustParse(t, "a: {rolloutPercentage: 5, denyList: [x], variants: [{name: x, weight: 3, value: 1}]}")
	for _, tt := range []struct {
		rule          string
		before, after *flags.Set
		want          []string
	}{
		{"the rules alone", custom("one", int64(1)), custom("two", int64(1)), []string{"rules: one -> two"}},
		{"long rules", custom("0123456789abc", int64(1)), custom("0123456789abd", int64(1)), []string{"rules: 0123456789ab… -> 0123456789ab…"}},
		{"a value alone", custom("one", int64(1)), custom("one", int64(2)), []string{"variants: x 1 -> x 2"}},
		{"from native", native, custom("one", int64(1)), []string{"rules: native -> one"}},
		{"to native", custom("", int64(1)), native, []string{"rules: unknown -> native"}},
	} {
		if diff := cmp.Diff(tt.want, fieldsThatDiffer(tt.before, tt.after)); diff != "" {
			t.Errorf("%s: %s", tt.rule, diff)
		}
	}
}

func TestWhyAnEditDoesWhatItDoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, before, after string
		want                []string
	}{
		{"another value is told, though nobody moves", "a: {rolloutPercentage: 5, variants: [{name: x, value: 1}, {name: y, value: 2}]}", "a: {rolloutPercentage: 5, variants: [{name: x, value: 1}, {name: y, value: 3}]}", []string{
			"Another value stands for y.",
		}},
		{"at 100 % whoever has no ID has it too", "a: {rolloutPercentage: 50}", "a: {rolloutPercentage: 100}", []string{
			"It is on for 100 % instead of 50 %: whoever had it by percentage keeps it.", "Whoever has no ID gains it.",
		}},
		{"below 100 % whoever has no ID has it not", "a: {rolloutPercentage: 100}", "a: {rolloutPercentage: 99.5}", []string{
			"It is on for 99.5 % instead of 100 %: nobody gains it by percentage.", "Whoever has no ID loses it.",
		}},
		{"nobody moves to a variant without weight", "a: {rolloutPercentage: 50, variants: [{name: x}, {name: y}, {name: z, weight: 0}]}",
			"a: {rolloutPercentage: 50, variantSalt: s, variants: [{name: x}, {name: y}, {name: z, weight: 0}]}", []string{
				"Of those who have it, 50 % get another variant (x to y 25 %, y to x 25 %). Keep variants, their order, weights and variantSalt while it matters who has which.",
			}},
		{"lists are counted", "a: {rolloutPercentage: 0, allowList: [x, y]}", "a: {rolloutPercentage: 0, allowList: [y, z, w]}", []string{
			"Of those on its lists 2 gain it, 1 lose it, 0 get another variant.",
			"Some lose it while others gain it. Make two edits of it: one that only adds, one that only takes away.",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			got := mustParse(t, tt.after).Compare(mustParse(t, tt.before))[0].Reasons
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRulesOfAnotherFormatAreCompared(t *testing.T) {
	t.Parallel()
	custom := func(key, rules string, enabled bool) *flags.Set {
		set, err := flags.NewSet("v", nil, []flags.Custom{{
			Definition: flags.Definition{Key: key, Enabled: enabled}, Rules: rules,
			Evaluate: func(flags.EvaluationContext, int64) flags.Decision { return flags.Decision{} },
		}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	tests := []struct {
		rule       string
		old, after *flags.Set
		want       []flags.Effect
	}{
		{"the same rules are no edit", custom("a", "r", true), custom("a", "r", true), nil},
		{"other rules are not known", custom("a", "r", true), custom("a", "s", true), []flags.Effect{flags.EffectUnknown}},
		{"rules without text are not known", custom("a", "", true), custom("a", "", true), []flags.Effect{flags.EffectUnknown}},
		{"one goes, one comes", custom("b", "r", true), custom("a", "r", true), []flags.Effect{flags.EffectGains, flags.EffectLoses}},
		{"a flag that becomes native", custom("a", "r", true), mustParse(t, "a: {rolloutPercentage: 5}"), []flags.Effect{flags.EffectUnknown}},
		{"no definitions before", nil, custom("a", "r", true), []flags.Effect{flags.EffectGains}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			var got []flags.Effect
			for _, c := range tt.after.Compare(tt.old) {
				got = append(got, c.Effect)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
