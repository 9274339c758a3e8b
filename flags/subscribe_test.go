package flags_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func TestEverySubscriberSeesEveryEventInOrder(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 1}")
	var told []string
	hear := func(who string) func(flags.Event) {
		return func(ev flags.Event) { told = append(told, who+" "+string(ev.Kind)) }
	}
	c := s.client(t, flags.Config{OnEvent: hear("config")})
	told = nil
	var cancelTwo func()
	cancelOne := c.Subscribe(hear("one"))
	cancelTwo = c.Subscribe(func(ev flags.Event) {
		hear("two")(ev)
		if ev.Kind == flags.EventRejected {
			cancelTwo() // by itself, in a call
		}
	})
	s.deliver(t, "a: {rolloutPercentage: 2}")
	s.deliver(t, "a: {rolloutPercentage: 200}")
	s.fail(t, errors.New("gone"))
	cancelOne()
	cancelOne()
	cancelTwo()
	s.deliver(t, "a: {rolloutPercentage: 3}")
	want := []string{
		"config loaded", "one loaded", "two loaded",
		"config rejected", "one rejected", "two rejected",
		"config unreachable", "one unreachable",
		"config loaded",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

func TestSubscribersNeedNoOnEventAndMayComeAndGo(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 1}")
	c := s.client(t, flags.Config{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				c.Subscribe(func(flags.Event) {})()
			}
		})
	}
	seen := 0
	defer c.Subscribe(func(flags.Event) { seen++ })()
	for i := range 50 {
		s.deliver(t, fmt.Sprintf("a: {rolloutPercentage: %d}", 2+i))
	}
	wg.Wait()
	if seen != 50 {
		t.Errorf("%d events of 50", seen)
	}
}

func TestDiffNamesTheFlagsThatDiffer(t *testing.T) {
	parse := func(definitions string) *flags.Set {
		set, err := flags.Parse("flags.yaml", []byte(definitions))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	old := parse("{d: {rolloutPercentage: 1}, c: {rolloutPercentage: 1}, b: {rolloutPercentage: 1}, a: {rolloutPercentage: 1}}")
	set := parse("{f: {rolloutPercentage: 1}, e: {rolloutPercentage: 1}, c: {rolloutPercentage: 1.0, owner: x}, b: {rolloutPercentage: 1.0}, a: {rolloutPercentage: 1, metadata: {n: 1}}}")
	type difference struct{ Added, Changed, Removed []string }
	var got difference
	got.Added, got.Changed, got.Removed = set.Diff(old)
	if diff := cmp.Diff(difference{[]string{"e", "f"}, []string{"a", "c"}, []string{"d"}}, got); diff != "" {
		t.Error(diff)
	}
	got.Added, got.Changed, got.Removed = set.Diff(nil)
	if diff := cmp.Diff(difference{Added: set.Keys()}, got); diff != "" {
		t.Error(diff)
	}
	got.Added, got.Changed, got.Removed = set.Diff(set)
	if diff := cmp.Diff(difference{}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCustomFlagsChangeWithTheirRules(t *testing.T) {
	custom := func(rules string) *flags.Set {
		set, err := flags.NewSet("v", nil, []flags.Custom{{
			Definition: flags.Definition{Key: "a"},
			Evaluate:   func(flags.EvaluationContext, int64) flags.Decision { return flags.Decision{} },
			Rules:      rules,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	native, err := flags.Parse("flags.yaml", []byte("a: {rolloutPercentage: 1}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule     string
		old, set *flags.Set
		changed  int
	}{
		{"the same rules", custom("x"), custom("x"), 0},
		{"other rules", custom("x"), custom("y"), 1},
		{"rules that nobody tells", custom(""), custom(""), 1},
		{"from native", native, custom("x"), 1},
		{"to native", custom("x"), native, 1},
	} {
		if _, changed, _ := tc.set.Diff(tc.old); len(changed) != tc.changed {
			t.Errorf("%s: %d changed", tc.rule, len(changed))
		}
	}
}
