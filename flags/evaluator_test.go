package flags_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

const publicDefinitions = `
open: {rolloutPercentage: 100, public: true}
secret: {rolloutPercentage: 100}
shown: {rolloutPercentage: 0, public: true}
`

func TestPublicEvaluatorKnowsNoOtherFlag(t *testing.T) {
	var told []flags.Decision
	c, err := flags.New(t.Context(), flags.Config{
		Source:       flags.Static("flags.yaml", []byte(publicDefinitions)),
		OnEvaluation: func(d flags.Decision) { told = append(told, d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	e := c.For("alice").Public()
	if e.TargetingKey() != "alice" || e.Version() != c.Set().Version() {
		t.Error("another context or other definitions")
	}
	for key, want := range map[string]flags.Decision{
		"open":   {Key: "open", On: true, Value: true, Variant: "on", Reason: flags.ReasonStatic},
		"shown":  {Key: "shown", Value: false, Variant: "off", Reason: flags.ReasonStatic},
		"secret": {Key: "secret", Reason: flags.ReasonError, ErrorCode: flags.ErrorFlagNotFound},
		"none":   {Key: "none", Reason: flags.ReasonError, ErrorCode: flags.ErrorFlagNotFound},
	} {
		told = nil
		if diff := cmp.Diff(want, e.Evaluate(key)); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
		if e.Enabled(key) != want.On {
			t.Errorf("%s: Enabled says otherwise", key)
		}
		if diff := cmp.Diff([]flags.Decision{want, want}, told); diff != "" {
			t.Errorf("%s: told %s", key, diff)
		}
	}
	if all := e.EvaluateAll(); len(all) != 2 || all[0].Key != "open" || all[1].Key != "shown" {
		t.Errorf("all: %+v", all)
	}
	if header, _ := e.AppendHeader(nil); string(header) != `"open"` {
		t.Errorf("header: %s", header)
	}
	if all := c.For("alice").EvaluateAll(); len(all) != 3 {
		t.Errorf("the Evaluator that it was made from has %d flags", len(all))
	}
	if none := (*flags.Evaluator)(nil).Public(); none != nil || none.AppendAll(nil) != nil {
		t.Error("something from nothing")
	}
}

func TestAppendAllKeepsWhatIsThereAndAllocatesNothing(t *testing.T) {
	c := client(t, publicDefinitions)
	all := c.For("alice").AppendAll([]flags.Decision{{Key: "first"}})
	if len(all) != 4 || all[0].Key != "first" || all[1].Key != "open" {
		t.Errorf("got %+v", all)
	}
	public := c.For("alice").Public() // which itself is one, where it is not compiled into its caller
	if n := testing.AllocsPerRun(100, func() { all = public.AppendAll(all[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
