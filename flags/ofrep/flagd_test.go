package ofrep_test

import (
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
	"github.com/handrail-go/handrail/flags/ofrep"
)

func TestFlagdsDefinitionsAreAnsweredByTheContext(t *testing.T) {
	const definitions = `{"flags": {
		"plan": {"state": "ENABLED", "variants": {"low": 1, "high": 9007199254740993}, "defaultVariant": "low",
			"targeting": {"if": [{"==": [{"var": "plan"}, "pro"]}, "high", null]}},
		"disabled": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
		"undecided": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": null}
	}}`
	c, err := flags.New(t.Context(), flags.Config{Source: flags.Static("flags.json", []byte(definitions)), Parse: flagd.Parse})
	if err != nil {
		t.Fatal(err)
	}
	h, err := ofrep.New(ofrep.Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"flags":[{"key":"disabled","reason":"DISABLED"},` +
		`{"key":"plan","value":9007199254740993,"reason":"TARGETING_MATCH","variant":"high"},{"key":"undecided","reason":"DEFAULT"}]}`
	if w := post(h, "", `{"context":{"plan":"pro"}}`); w.Body.String() != want {
		t.Errorf("got %s", w.Body)
	}
	if w := post(h, "/plan", `{"context":{"plan":"free"}}`); w.Body.String() != `{"key":"plan","value":1,"reason":"DEFAULT","variant":"low"}` {
		t.Errorf("got %s", w.Body)
	}
}
