package flagd_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

// bench/flags holds many more against flagd itself.
func TestExportedDecisionsAreTheSame(t *testing.T) {
	native, err := flags.Parse("flags.yaml", []byte(`
plain: {rolloutPercentage: 33.333}
salted: {rolloutPercentage: 50, salt: other, allowList: [u-1], denyList: [u-2]}
unsalted: {rolloutPercentage: 50, salt: ""}
everyone: {rolloutPercentage: 100, denyList: [u-2]}
nobody: {rolloutPercentage: 0}
over: {rolloutPercentage: 100, expires: 2020-01-01, onExpiry: off}
begun: {rolloutPercentage: 10, expires: 2020-01-01, onExpiry: on, denyList: [u-3]}
colors: {rolloutPercentage: 70, variants: [{name: red, weight: 1}, {name: blue, weight: 2}], offVariant: red}
lone: {rolloutPercentage: 100, variants: [{name: a, value: 5}, {name: b, value: 6, weight: 0}], denyList: [u-4]}
`))
	if err != nil {
		t.Fatal(err)
	}
	data, err := flagd.Export(native)
	if err != nil {
		t.Fatal(err)
	}
	set := parse(t, string(data))
	if w := set.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	for i := range 2000 {
		id := fmt.Sprint("u-", i)
		if i == 0 {
			id = ""
		}
		for _, key := range native.Keys() {
			got, want := set.Evaluate(key, id), native.Evaluate(key, id)
			if !reflect.DeepEqual(got.Value, want.Value) || want.Variant != got.Variant {
				t.Fatalf("%s for %q: got %+v, want %+v\n%s", key, id, got, want, data)
			}
			if want.Reason == flags.ReasonStatic && key == "nobody" && got.Reason != flags.ReasonStatic {
				t.Errorf("%s: reason %s", key, got.Reason)
			}
		}
	}
}

func TestExportKeepsWhatAFlagIs(t *testing.T) {
	native, err := flags.Parse("flags.yaml", []byte(`
f: {rolloutPercentage: 1, owner: o, description: d, created: 2026-01-01, expires: 2027-01-01, onExpiry: off, inject: false, metadata: {public: true, tier: 1}}
g: {enabled: false, public: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	data, err := flagd.Export(native)
	if err != nil {
		t.Fatal(err)
	}
	set := parse(t, string(data))
	was, _ := native.Lookup("f")
	is, _ := set.Lookup("f")
	if is.Owner != was.Owner || is.Description != was.Description || is.Created != was.Created || is.Expires != was.Expires ||
		is.OnExpiry != was.OnExpiry || is.Inject || is.Public || is.Metadata["tier"] != int64(1) {
		t.Errorf("got %+v, want %+v", is, was)
	}
	if g, _ := set.Lookup("g"); g.Enabled || !g.Public || set.Evaluate("g", "u").Reason != flags.ReasonDisabled {
		t.Errorf("got %+v", g)
	}
}

func TestExportNamesWhatFlagdHasNot(t *testing.T) {
	native, err := flags.Parse("flags.yaml", []byte(`
hashed: {rolloutPercentage: 1, hash: posthog}
listed: {rolloutPercentage: 1, variants: [{name: a, value: [1]}]}
large: {rolloutPercentage: 1, variants: [{name: a, value: 9007199254740993}]}
spaced: {rolloutPercentage: 1, salt: " s"}
fine: {rolloutPercentage: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	data, err := flagd.Export(native)
	if data != nil || err == nil {
		t.Fatalf("got %s, %v", data, err)
	}
	for _, want := range []string{
		`flag "hashed": flagd has no hash posthog`, `flag "listed": variant a: flagd has no lists as values`,
		`flag "large": variant a: flagd has no integers beyond 2^53`, `flag "spaced": flagd would ignore the white space`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine") {
		t.Errorf("got %v", err)
	}
	if _, err := flagd.Export(parse(t, boolean(`{}`))); err == nil || !strings.Contains(err.Error(), "has rules of another format") {
		t.Errorf("got %v", err)
	}
}
