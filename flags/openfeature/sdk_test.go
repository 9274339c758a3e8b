package openfeature_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags/openfeature"
	of "github.com/open-feature/go-sdk/openfeature"
)

// hook notes that it ran.
type hook struct {
	of.UnimplementedHook
	told *[]string
}

func (h hook) Before(_ context.Context, hc of.HookContext, _ of.HookHints) (*of.EvaluationContext, error) {
	*h.told = append(*h.told, "before "+hc.FlagKey())
	return nil, nil
}

func (h hook) Finally(_ context.Context, _ of.HookContext, d of.InterfaceEvaluationDetails, _ of.HookHints) {
	*h.told = append(*h.told, "finally "+d.Variant)
}

func TestTheSDKRunsHooksAndTracks(t *testing.T) {
	var told []string
	p := provider(t, definitions, openfeature.Config{
		Hooks: []of.Hook{hook{told: &told}},
		Track: func(_ context.Context, event string, ec of.EvaluationContext, details of.TrackingEventDetails) {
			if ec.TargetingKey() == "alice" && details.Value() == 99 {
				told = append(told, "tracked "+event)
			}
		},
	})
	const domain = "hooks-and-tracking"
	if err := of.SetNamedProviderAndWait(domain, p); err != nil {
		t.Fatal(err)
	}
	client := of.NewClient(domain)
	alice := of.NewEvaluationContext("alice", nil)
	details, err := client.BooleanValueDetails(t.Context(), "on", false, alice)
	if err != nil {
		t.Fatal(err)
	}
	cost, err := details.FlagMetadata.GetInt("cost")
	if err != nil || cost != 2 || details.Reason != of.StaticReason || !details.Value {
		t.Errorf("got %+v, cost %d, %v", details, cost, err)
	}
	client.Track(t.Context(), "bought", alice, of.NewTrackingEventDetails(99))
	if diff := cmp.Diff([]string{"before on", "finally on", "tracked bought"}, told); diff != "" {
		t.Error(diff)
	}
	p.Shutdown()
}

func TestWithoutTrackNothingIsTracked(t *testing.T) {
	provider(t, definitions, openfeature.Config{}).Track(t.Context(), "bought", of.EvaluationContext{}, of.NewTrackingEventDetails(1))
}
