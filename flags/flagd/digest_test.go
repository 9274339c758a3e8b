package flagd_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags/flagd"
)

// rules is a file of flags and evaluators, for edits.
const rules = `flags:
  alone:
    state: ENABLED
    variants: {"on": true, "off": false}
    defaultVariant: "off"
    targeting: {"if": [{"in": [{"var": "plan"}, ["pro", 1]]}, "on"]}
  inner:
    state: ENABLED
    variants: {"on": true, "off": false}
    defaultVariant: "off"
    targeting: {"if": [{"$ref": "staff"}, "on"]}
  outer:
    state: ENABLED
    variants: {"on": true, "off": false}
    targeting: {"if": [{"$ref": "insiders"}, "on"]}
  plain:
    state: ENABLED
    variants: {"on": 1, "off": 2}
    defaultVariant: "on"
$evaluators:
  staff: {"ends_with": [{"var": "email"}, "@example.com"]}
  insiders: {"or": [{"$ref": "staff"}, {"==": [{"var": "plan"}, "beta"]}]}
`

func TestAnEditChangesTheFlagsThatItConcerns(t *testing.T) {
	for _, tc := range []struct{ edit, old, new, want string }{
		{"a comment", "flags:\n", "# ours\nflags:\n\n", ""},
		{"the order of keys", "variants: {\"on\": 1, \"off\": 2}\n    defaultVariant: \"on\"", "defaultVariant: \"on\"\n    variants: {\"off\": 2, \"on\": 1}", ""},
		{"a rule", `["pro", 1]`, `["pro", 1, 2]`, "alone"},
		{"a text for a number", `["pro", 1]`, `["pro", "1"]`, "alone"},
		{"one number written otherwise", `["pro", 1]`, `["pro", 1.0]`, ""},
		{"an evaluator of two flags", "@example.com", "@example.org", "inner outer"},
		{"an evaluator of one flag", `"beta"`, `"gamma"`, "outer"},
		{"an evaluator of none", "$evaluators:", "$evaluators:\n  new: {\"!\": [1]}", ""},
		{"a reference instead of what it refers to", `[{"in": [{"var": "plan"}, ["pro", 1]]}, "on"]}`,
			"[{\"$ref\": \"pro\"}, \"on\"]}\n  # pro is below", "alone"}, // it does not exist
		{"the name of an evaluator", "insiders", "insider", ""},
		{"the default variant", `defaultVariant: "on"`, `defaultVariant: "off"`, "plain"},
		{"no default variant", `defaultVariant: "on"`, `defaultVariant: null`, "plain"},
		{"a rule where there was none", `defaultVariant: "on"`, "defaultVariant: \"on\"\n    targeting: {\"if\": [true, \"off\"]}", "plain"},
		{"a rule that is empty", `defaultVariant: "on"`, "defaultVariant: \"on\"\n    targeting: {}", ""},
		{"a variant", `{"on": 1, "off": 2}`, `{"on": 1, "off": 3}`, "plain"},
		{"a state", "plain:\n    state: ENABLED", "plain:\n    state: DISABLED", "plain"},
		{"metadata", `{"on": 1, "off": 2}`, "{\"on\": 1, \"off\": 2}\n    metadata: {owner: payments}", "plain"},
	} {
		t.Run(tc.edit, func(t *testing.T) {
			edited := strings.ReplaceAll(rules, tc.old, tc.new)
			if edited == rules {
				t.Fatal("no edit")
			}
			before, err := flagd.Parse("flags.yaml", []byte(rules))
			if err != nil {
				t.Fatal(err)
			}
			after, err := flagd.Parse("flags.yaml", []byte(edited))
			if err != nil {
				t.Fatal(err)
			}
			added, changed, removed := after.Diff(before)
			if diff := cmp.Diff(tc.want, strings.Join(changed, " ")); diff != "" || len(added)+len(removed) > 0 {
				t.Errorf("added %v, removed %v, changed %s", added, removed, diff)
			}
		})
	}
}

// Where a rule stands, in the flag or in $evaluators, is nothing that it decides by.
func TestARuleThatMovesToTheEvaluatorsIsTheSame(t *testing.T) {
	const rule = `{"==": [{"var": "plan"}, "pro"]}`
	before := parse(t, boolean(`{"if": [`+rule+`, "on"]}`))
	file := strings.TrimSuffix(boolean(`{"if": [{"$ref": "pro"}, "on"]}`), "}") + `, "$evaluators": {"pro": ` + rule + `}}`
	if _, changed, _ := parse(t, file).Diff(before); len(changed) > 0 {
		t.Errorf("%v changed", changed)
	}
}

// Its text once per flag would be 5 GB.
func TestAnEvaluatorOfManyFlagsIsNotMultiplied(t *testing.T) {
	var list strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&list, `,"user-%05d"`, i)
	}
	var all strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&all, `,"f%d": {"state":"ENABLED","variants":{"on":true},"targeting":{"if":[{"$ref":"e"},"on"]}}`, i)
	}
	file := `{"flags": {` + all.String()[1:] + `}, "$evaluators": {"e": {"in": [{"var": "targetingKey"}, [` + list.String()[1:] + `]]}}}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	set := parse(t, file)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<30 || set.Len() != 10_000 {
		t.Errorf("%d flags took %d MiB", set.Len(), got>>20)
	}
	if _, changed, _ := set.Diff(parse(t, file+"\n")); len(changed) > 0 {
		t.Errorf("%d flags changed", len(changed))
	}
}
