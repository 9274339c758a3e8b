package flags_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

// FuzzEvaluate holds for any definitions of flags with variants and metadata:
// all ways to ask agree, a decision is whole, and JSON is the same as YAML.
func FuzzEvaluate(f *testing.F) {
	f.Add(`{"f":{"rolloutPercentage":50,"variants":[{"name":"a","weight":3,"value":{"x":[1,2.5]}},{"name":"b","value":{}}],"offVariant":"b"}}`, "alice")
	f.Add(`{"flags":{"f":{"enabled":false,"metadata":{"a":1,"b":"x","c":true},"variants":[{"name":"a","value":1}]}}}`, "")
	f.Add(`{"f":{"rolloutPercentage":100,"hash":"posthog","variants":[{"name":"a","weight":0},{"name":"b"}],"variantSalt":""}}`, "")
	f.Add(`{"f":{"rolloutPercentage":0.001,"allowList":["x"],"denyList":["y"],"expires":"1999-01-01","onExpiry":"on"}}`, "y")
	f.Fuzz(func(t *testing.T, text, id string) {
		set, err := flags.Parse("flags.yaml", []byte(text))
		if err != nil {
			return
		}
		c, err := flags.New(t.Context(), flags.Config{Source: flags.Static("flags.yaml", []byte(text))})
		if err != nil {
			t.Fatal(err)
		}
		all := set.EvaluateAll(id)
		for _, d := range all {
			others := []flags.Decision{
				set.Evaluate(d.Key, id), c.Evaluate(d.Key, id), c.For(id).Evaluate(d.Key),
				c.EvaluateLazily(d.Key, id, func() (map[string]any, error) { panic("native rules look at no attributes") }),
			}
			for i, other := range others {
				if !cmp.Equal(d, other) {
					t.Fatalf("way %d: %s", i, cmp.Diff(d, other))
				}
			}
			if d.On != set.Enabled(d.Key, id) || d.On != c.Enabled(d.Key, id) || d.On != c.For(id).Enabled(d.Key) {
				t.Fatalf("Enabled differs from %+v", d)
			}
			whole(t, set, d)
		}
		if !json.Valid([]byte(text)) {
			return
		}
		// With a comment before it, it is YAML.
		if yaml, err := flags.Parse("flags.yaml", []byte("# YAML\n"+text)); err == nil && !cmp.Equal(all, yaml.EvaluateAll(id)) {
			t.Fatal("as YAML:", cmp.Diff(all, yaml.EvaluateAll(id)))
		}
	})
}

// whole checks what holds of every decision.
func whole(t *testing.T, set *flags.Set, d flags.Decision) {
	t.Helper()
	def, _ := set.Lookup(d.Key)
	if (d.ErrorCode != "") != (d.Reason == flags.ReasonError) || d.ErrorCode != "" && (d.On || d.Value != nil || d.Variant != "") {
		t.Fatalf("an error with an answer, or none of either: %+v", d)
	}
	if d.ErrorCode != "" {
		return
	}
	if def.Variants == nil {
		if d.Value != any(d.On) {
			t.Fatalf("%+v", d)
		}
		return
	}
	if d.Value == nil {
		if d.On || d.Variant != "" || def.OffVariant != "" {
			t.Fatalf("no value: %+v", d)
		}
		return
	}
	for _, v := range def.Variants {
		if v.Name == d.Variant {
			if d.On && v.Weight == 0 || !d.On && v.Name != def.OffVariant || !cmp.Equal(v.Value, d.Value) {
				t.Fatalf("%+v got %+v", d, v)
			}
			return
		}
	}
	t.Fatalf("%q is none of the variants", d.Variant)
}
