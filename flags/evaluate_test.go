package flags_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

const ruleDefinitions = `
flags:
  killed: {enabled: false, rolloutPercentage: 100, allowList: [alice]}
  nobody: {rolloutPercentage: 0}
  everybody: {rolloutPercentage: 100}
  nobody-but: {rolloutPercentage: 0, allowList: [alice, both], denyList: [both]}
  everybody-but: {rolloutPercentage: 100, denyList: [eve]}
  half: {rolloutPercentage: 50, salt: "", allowList: [ceQdGm], denyList: [ejOoVL]}
  retired: {rolloutPercentage: 100, allowList: [alice], expires: 2026-01-31, onExpiry: off}
  launched: {rolloutPercentage: 0, denyList: [eve], expires: 2026-01-31, onExpiry: on}
  launched-for-all: {rolloutPercentage: 0, expires: 2026-01-31, onExpiry: on}
  overdue: {rolloutPercentage: 100, expires: 2026-01-31}
  ended: {enabled: false, expires: 2026-01-31, onExpiry: on}
`

var (
	lastMoment = time.Date(2026, 1, 31, 23, 59, 59, 999_999_999, time.UTC)
	nextDay    = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
)

func TestEvaluationFollowsTheOrderOfTheRules(t *testing.T) {
	now := lastMoment
	c, err := flags.New(context.Background(), flags.Config{
		Source: flags.Static("flags.yaml", []byte(ruleDefinitions)),
		Now:    func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	off := func(reason flags.Reason) flags.Decision {
		return flags.Decision{Value: false, Variant: "off", Reason: reason}
	}
	on := func(reason flags.Reason) flags.Decision {
		return flags.Decision{On: true, Value: true, Variant: "on", Reason: reason}
	}
	failed := func(code flags.ErrorCode) flags.Decision {
		return flags.Decision{Reason: flags.ReasonError, ErrorCode: code}
	}
	for _, tc := range []struct {
		name      string
		at        time.Time
		flag, key string
		want      flags.Decision
	}{
		{"kill switch beats allow list", lastMoment, "killed", "alice", off(flags.ReasonDisabled)},
		{"kill switch needs no key", lastMoment, "killed", "", off(flags.ReasonDisabled)},
		{"0 % without lists is static", lastMoment, "nobody", "alice", off(flags.ReasonStatic)},
		{"0 % needs no key", lastMoment, "nobody", "", off(flags.ReasonStatic)},
		{"100 % without lists is static", lastMoment, "everybody", "alice", on(flags.ReasonStatic)},
		{"100 % needs no key", lastMoment, "everybody", "", on(flags.ReasonStatic)},
		{"allow list beats 0 %", lastMoment, "nobody-but", "alice", on(flags.ReasonTargetingMatch)},
		{"deny list beats allow list", lastMoment, "nobody-but", "both", off(flags.ReasonTargetingMatch)},
		{"0 % beside lists is a default", lastMoment, "nobody-but", "bob", off(flags.ReasonDefault)},
		{"0 % beside lists needs no key", lastMoment, "nobody-but", "", off(flags.ReasonDefault)},
		{"deny list beats 100 %", lastMoment, "everybody-but", "eve", off(flags.ReasonTargetingMatch)},
		{"100 % beside lists is a default", lastMoment, "everybody-but", "bob", on(flags.ReasonDefault)},
		{"bucket 49,999 is in 50 %", lastMoment, "half", "SI7p-", on(flags.ReasonSplit)},
		{"bucket 50,000 is not in 50 %", lastMoment, "half", "6LvT0", off(flags.ReasonSplit)},
		{"allow list beats the bucket", lastMoment, "half", "ceQdGm", on(flags.ReasonTargetingMatch)},
		{"deny list beats the bucket", lastMoment, "half", "ejOoVL", off(flags.ReasonTargetingMatch)},
		{"a bucket needs a key", lastMoment, "half", "", failed(flags.ErrorTargetingKeyMissing)},
		{"unknown flag", lastMoment, "no-such", "alice", failed(flags.ErrorFlagNotFound)},
		{"empty flag key", lastMoment, "", "alice", failed(flags.ErrorFlagNotFound)},

		{"last moment of the day: not expired", lastMoment, "retired", "bob", on(flags.ReasonDefault)},
		{"expired off: off", nextDay, "retired", "bob", off(flags.ReasonStatic)},
		{"expired off beats allow list", nextDay, "retired", "alice", off(flags.ReasonStatic)},
		{"last moment of the day: not on", lastMoment, "launched", "bob", off(flags.ReasonDefault)},
		{"expired on: on", nextDay, "launched", "bob", on(flags.ReasonDefault)},
		{"expired on needs no key", nextDay, "launched", "", on(flags.ReasonDefault)},
		{"deny list beats expired on", nextDay, "launched", "eve", off(flags.ReasonTargetingMatch)},
		{"a date ahead is not static", lastMoment, "launched-for-all", "bob", off(flags.ReasonDefault)},
		{"expired on without deny list is static", nextDay, "launched-for-all", "bob", on(flags.ReasonStatic)},
		{"expired keep: as before", nextDay, "overdue", "bob", on(flags.ReasonStatic)},
		{"kill switch beats expired on", nextDay, "ended", "bob", off(flags.ReasonDisabled)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now, tc.want.Key = tc.at, tc.flag
			if diff := cmp.Diff(tc.want, c.Evaluate(tc.flag, tc.key)); diff != "" {
				t.Error(diff)
			}
			if got := c.Enabled(tc.flag, tc.key); got != tc.want.On {
				t.Errorf("Enabled is %t", got)
			}
			for _, d := range c.EvaluateAll(tc.key) {
				if d.Key == tc.flag && !cmp.Equal(d, tc.want) {
					t.Errorf("EvaluateAll has %+v", d)
				}
			}
		})
	}
}

func TestEvaluateAllIsInTheOrderOfKeys(t *testing.T) {
	c := client(t, "{b: {rolloutPercentage: 1}, a/1: {rolloutPercentage: 1}, B: {rolloutPercentage: 1}, a: {rolloutPercentage: 1}}")
	var got []string
	for _, d := range c.EvaluateAll("alice") {
		got = append(got, d.Key)
	}
	want := []string{"B", "a", "a/1", "b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, c.Set().Keys()); diff != "" {
		t.Error(diff)
	}
}

func TestHookSeesEveryDecisionOnce(t *testing.T) {
	seen := map[string]int{}
	c, err := flags.New(context.Background(), flags.Config{
		Source:       flags.Static("flags.yaml", []byte("{a: {rolloutPercentage: 100}, b: {rolloutPercentage: 50}}")),
		OnEvaluation: func(d flags.Decision) { seen[d.Key+" "+d.Variant+string(d.ErrorCode)]++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Enabled("a", "")
	c.Evaluate("b", "")
	c.For("").Enabled("a")
	c.For("").Evaluate("x")
	c.EvaluateAll("")
	c.For("").AppendHeader(nil)
	want := map[string]int{"a on": 4, "b TARGETING_KEY_MISSING": 3, "x FLAG_NOT_FOUND": 1}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutMiddlewareEverythingIsOff(t *testing.T) {
	ctx := context.Background()
	if flags.Enabled(ctx, "a") {
		t.Error("Enabled is true")
	}
	e := flags.FromContext(ctx)
	want := flags.Decision{Key: "a", Reason: flags.ReasonError, ErrorCode: flags.ErrorProviderNotReady}
	if diff := cmp.Diff(want, e.Evaluate("a")); diff != "" {
		t.Error(diff)
	}
	header, dropped := e.AppendHeader(nil)
	if e.EvaluateAll() != nil || len(header) != 0 || dropped != 0 || e.TargetingKey() != "" {
		t.Error("a nil Evaluator has something to say")
	}
}

func TestEvaluatorKeepsOneVersion(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 0}")
	c := s.client(t, flags.Config{})
	e := c.For("alice")
	s.deliver(t, "a: {rolloutPercentage: 100}")
	if e.Enabled("a") || !c.Enabled("a", "alice") {
		t.Errorf("evaluator %t, client %t", e.Enabled("a"), c.Enabled("a", "alice"))
	}
}

func TestEvaluationDoesNotAllocate(t *testing.T) {
	c := thousand(t)
	var n counters
	counted := newSource("{a: {rolloutPercentage: 25}, v: {rolloutPercentage: 100, variants: [{name: a}, {name: b}]}}").client(t, flags.Config{CounterOf: n.of})
	key := string(make([]byte, flags.MaxTargetingKeyBytes))
	e := c.For(userID)
	buffer := make([]byte, 0, flags.MaxHeaderBytes)
	for name, f := range map[string]func(){
		"Enabled":         func() { c.Enabled("flag-0500", userID) },
		"longest key":     func() { c.Enabled("flag-0500", key) },
		"listed":          func() { c.Enabled("listed", "alice") },
		"expiring":        func() { c.Enabled("expiring", userID) },
		"unknown":         func() { c.Enabled("no-such-flag", userID) },
		"Evaluate":        func() { c.Evaluate("flag-0500", userID) },
		"evaluator":       func() { e.Enabled("flag-0500") },
		"AppendHeader":    func() { e.AppendHeader(buffer) },
		"counted":         func() { counted.Enabled("a", userID) },
		"evaluator miss":  func() { e.Evaluate("no-such-flag") },
		"variants":        func() { counted.Enabled("v", userID); counted.Evaluate("v", userID) },
		"longest variant": func() { counted.Evaluate("v", key) },
		"lazily": func() {
			c.EvaluateLazily("flag-0500", userID, func() (map[string]any, error) { return map[string]any{"never": "asked"}, nil })
		},
		"set": func() { c.Set().Evaluate("flag-0500", userID); c.Set().Enabled("flag-0500", userID) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAttributesAreAskedForOnlyWhereRulesMayLookAtThem(t *testing.T) {
	set, err := flags.NewSet("v1", nil, []flags.Custom{{
		Definition: flags.Definition{Key: "custom", Metadata: map[string]any{"team": "web"}},
		Evaluate: func(ec flags.EvaluationContext, _ int64) flags.Decision {
			return flags.Decision{On: ec.Attributes["plan"] == "pro" && ec.TargetingKey == "alice", Value: true, Variant: "on", Reason: flags.ReasonTargetingMatch}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var heard []flags.Decision
	custom, err := flags.New(t.Context(), flags.Config{
		Source:       flags.Static("x", nil),
		Parse:        func(string, []byte) (*flags.Set, error) { return set, nil },
		OnEvaluation: func(d flags.Decision) { heard = append(heard, d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	native := client(t, "{a: {rolloutPercentage: 100}, v: {rolloutPercentage: 100, variants: [{name: x}]}}")
	asked := 0
	give := func() (map[string]any, error) { asked++; return map[string]any{"plan": "pro"}, nil }
	for _, key := range []string{"a", "v", "none"} {
		if diff := cmp.Diff(native.Evaluate(key, "alice"), native.EvaluateLazily(key, "alice", give)); diff != "" || asked != 0 {
			t.Errorf("%s: %s, asked %d times", key, diff, asked)
		}
	}
	if d := custom.EvaluateLazily("custom", "alice", give); !d.On || d.Key != "custom" || asked != 1 {
		t.Errorf("got %+v, asked %d times", d, asked)
	}
	got := custom.EvaluateLazily("custom", "alice", func() (map[string]any, error) { return nil, errors.New("why") })
	want := flags.Decision{
		Key: "custom", Reason: flags.ReasonError, ErrorCode: flags.ErrorInvalidContext, ErrorDetails: "why",
		Metadata: map[string]any{"team": "web"},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(heard) != 2 {
		t.Errorf("%s, heard %d", diff, len(heard))
	}
}
