package flags_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
)

func explained(t *testing.T, text, id string) flags.Explanation {
	t.Helper()
	e, ok := mustParse(t, text).Explain("a", flags.EvaluationContext{TargetingKey: id})
	if !ok {
		t.Fatal("no such flag")
	}
	return e
}

func TestExplainNamesTheRuleThatDecided(t *testing.T) {
	t.Parallel()
	const past, ahead = "expires: 2001-01-31", "expires: 2999-01-31"
	tests := []struct {
		rule, flag, id, want string
	}{
		{"the kill switch comes first", "enabled: false, allowList: [id]", "id", "enabled decided"},
		{"an expiry that turns off comes before lists", "onExpiry: off, allowList: [id], " + past, "id", "enabled passed, expiry decided"},
		{"an expiry ahead is passed", "onExpiry: off, allowList: [id], " + ahead, "id", "enabled passed, expiry passed, deny_list absent, allow_list decided"},
		{"an expiry that keeps is no rule", "rolloutPercentage: 50, " + past, "id", "enabled passed, expiry absent, deny_list absent, allow_list absent, rollout decided"},
		{"an expiry that turns on stands for the percentage", "onExpiry: on, denyList: [x], " + past, "id", "enabled passed, deny_list passed, allow_list absent, expiry decided"},
		{"lists come before an expiry that turns on", "onExpiry: on, denyList: [id], " + past, "id", "enabled passed, deny_list decided"},
		{"deny wins over allow", "denyList: [id], allowList: [id]", "id", "enabled passed, expiry absent, deny_list decided"},
		{"lists of others are passed", "denyList: [x], allowList: [y]", "id", "enabled passed, expiry absent, deny_list passed, allow_list passed, rollout decided"},
		{"0 % decides", "rolloutPercentage: 0", "id", "enabled passed, expiry absent, deny_list absent, allow_list absent, rollout decided"},
		{"the missing targeting key is found out by the percentage", "rolloutPercentage: 5", "", "enabled passed, expiry absent, deny_list absent, allow_list absent, rollout decided"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, step := range explained(t, "a: {"+tt.flag+"}", tt.id).Steps {
				got = append(got, fmt.Sprintf("%s %s", step.Rule, step.Outcome))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExplainOfNoFlag(t *testing.T) {
	t.Parallel()
	if e, ok := mustParse(t, "a: {enabled: true}").Explain("b", flags.EvaluationContext{}); ok {
		t.Errorf("explained: %+v", e)
	}
}

// TestTheExplainedFlip sets the percentage to what an explanation says and to a
// thousandth less, for random flags, hashes and ids.
func TestTheExplainedFlip(t *testing.T) {
	t.Parallel()
	const seed = 6
	random := rand.New(rand.NewPCG(seed, seed))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	hashes := []string{"flagd2", "unleash", "launchdarkly", "growthbook2", "posthog"}
	decisive := 0
	for i := range 4000 {
		id := pick("u1", "u2", fmt.Sprint("user-", i), "é", strings.Repeat("x", 512), "")
		rest := fmt.Sprintf("hash: %s, salt: 's%d', enabled: %s, allowList: [%s], denyList: [%s], onExpiry: %s%s",
			pick(hashes...), i, pick("true", "true", "true", "false"), pick("", "u1"), pick("", "u2"), pick("keep", "on", "off"),
			pick("", "", ", expires: 2001-01-31", ", expires: 2999-01-31"))
		at := func(thousandths int) flags.Explanation {
			return explained(t, fmt.Sprintf("a: {%s, rolloutPercentage: %d.%03d}", rest, thousandths/1000, thousandths%1000), id)
		}
		given := random.IntN(flags.FullRollout + 1)
		e := at(given)
		flip := e.Rollout.FlipsAt
		if flip < 1 || flip > flags.FullRollout {
			t.Fatalf("%s, %q: flips at %d", rest, id, flip)
		}
		if e.Rollout.Hash == flags.HashUnleash && flip%1000 != 0 {
			t.Fatalf("%s, %q: unleash knows whole percents, flips at %d", rest, id, flip)
		}
		if id != "" && (e.Rollout.Bucket != e.Rollout.Hash.Bucket(e.Rollout.Salt, id) || flip != e.Rollout.Bucket+1) {
			t.Fatalf("%s, %q: bucket %d, flips at %d", rest, id, e.Rollout.Bucket, flip)
		}
		below, there := at(flip-1).Decision.On, at(flip).Decision.On
		if !e.Rollout.Decides {
			if below != e.Decision.On || there != e.Decision.On {
				t.Fatalf("%s, %q: the percentage does not decide, but %v below and %v at %d", rest, id, below, there, flip)
			}
			continue
		}
		decisive++
		if below || !there {
			t.Fatalf("%s, %q: %v below and %v at %d", rest, id, below, there, flip)
		}
		if e.Decision.On != (given >= flip) {
			t.Fatalf("%s, %q: %v at %d, flips at %d", rest, id, e.Decision.On, given, flip)
		}
	}
	if decisive < 1000 {
		t.Errorf("the percentage decided in %d cases only", decisive)
	}
}

func TestTheExplainedVariantIsTheOneAnswered(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 6))
	for i := range 2000 {
		text := fmt.Sprintf("a: {rolloutPercentage: 100, offVariant: z, variants: [{name: x, weight: %d}, {name: y, weight: %d}, {name: z, weight: %d}]}",
			random.IntN(3), random.IntN(1000), 1+random.IntN(5))
		id := fmt.Sprint("user-", i)
		e := explained(t, text, id)
		v := e.Variants
		if v.Picked != e.Decision.Variant || v.Off != "z" {
			t.Fatalf("%s, %s: %+v, answered %s", text, id, v, e.Decision.Variant)
		}
		inside := 0
		for _, part := range v.Shares {
			if part.From <= v.Place && v.Place < part.To {
				inside++
				if part.Name != v.Picked {
					t.Fatalf("%s, %s: place %d is %s's", text, id, v.Place, part.Name)
				}
			}
		}
		if inside != 1 || v.Shares[2].To != v.Total {
			t.Fatalf("%s, %s: %+v", text, id, v)
		}
	}
}

func TestAVariantAloneIsExplainedWithoutTargetingKey(t *testing.T) {
	t.Parallel()
	e := explained(t, "a: {rolloutPercentage: 100, variants: [{name: x}, {name: y, weight: 0}]}", "")
	if e.Variants.Picked != "x" || e.Variants.Place != -1 || e.Decision.Variant != "x" {
		t.Errorf("%+v, answered %q", e.Variants, e.Decision.Variant)
	}
}

func TestRulesOfAnotherFormatAreNotExplained(t *testing.T) {
	t.Parallel()
	set, err := flags.NewSet("v", nil, []flags.Custom{{
		Definition: flags.Definition{Key: "a"},
		Evaluate: func(ec flags.EvaluationContext, _ int64) flags.Decision {
			return flags.Decision{On: true, Value: true, Variant: ec.TargetingKey, Reason: flags.ReasonTargetingMatch}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := set.Explain("a", flags.EvaluationContext{TargetingKey: "id"})
	if !ok || e.Decision.Variant != "id" || e.Rollout != nil || e.Variants != nil {
		t.Errorf("%v %+v", ok, e)
	}
	if diff := cmp.Diff([]flags.Step{{Rule: flags.RuleCustom, Outcome: flags.StepDecided}}, e.Steps); diff != "" {
		t.Error(diff)
	}
}

func mustParse(t *testing.T, text string) *flags.Set {
	t.Helper()
	set, err := flags.Parse("flags.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return set
}
