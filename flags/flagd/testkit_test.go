package flagd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/cucumber/godog"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

const corpus = "../../../shared/corpus/flagd"

// TestScenariosOfFlagd runs flagd's own scenarios as they stand. Those of the
// older way to hash, and those of the one to come, do not apply.
func TestScenariosOfFlagd(t *testing.T) {
	data, err := os.ReadFile(corpus + "/flags/testkit-flags.json")
	if err != nil {
		t.Skipf("skipped: flagd's scenarios are not at %s", corpus)
	}
	set, err := flagd.Parse("testkit-flags.json", data)
	if err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	suite := godog.TestSuite{
		ScenarioInitializer: func(ctx *godog.ScenarioContext) {
			scenarios++
			(&scenario{set: set}).register(ctx)
		},
		Options: &godog.Options{
			Format: "progress", Output: io.Discard, TestingT: t, Strict: true,
			Paths: []string{corpus + "/gherkin"},
			Tags:  "~@fractional-v1 && ~@fractional-v3",
		},
	}
	if suite.Run() != 0 {
		t.Error("not all scenarios passed")
	}
	t.Logf("%d scenarios", scenarios)
}

// scenario is one of them. Evaluations that ask for a type fall back to the
// caller's value as flagd's evaluator and any OpenFeature SDK do.
type scenario struct {
	set      *flags.Set
	kind     string
	key      string
	fallback any
	context  flags.EvaluationContext
	decision flags.Decision
	value    any
}

func (s *scenario) register(ctx *godog.ScenarioContext) {
	ctx.Before(func(c context.Context, _ *godog.Scenario) (context.Context, error) {
		*s = scenario{set: s.set, context: flags.EvaluationContext{Attributes: map[string]any{}}}
		return c, nil
	})
	ctx.Step(`^an evaluator$`, func() error { return nil })
	ctx.Step(`^a (\w+)-flag with key "([^"]*)" and a fallback value "(.*)"$`, s.flag)
	ctx.Step(`^a context containing a targeting key with value "([^"]*)"$`, func(key string) { s.context.TargetingKey = key })
	ctx.Step(`^a context containing a key "([^"]*)", with type "([^"]*)" and with value "([^"]*)"$`, s.attribute)
	ctx.Step(`^a context containing a nested property with outer key "([^"]*)" and inner key "([^"]*)", with value "([^"]*)"$`,
		func(outer, inner, value string) { s.context.Attributes[outer] = map[string]any{inner: value} })
	ctx.Step(`^the flag was evaluated with details$`, s.evaluate)
	ctx.Step(`^the resolved details value should be "(.*)"$`, s.valueIs)
	ctx.Step(`^the reason should be "([^"]*)"$`, func(want string) error { return isText("reason", string(s.decision.Reason), want) })
	ctx.Step(`^the error-code should be "([^"]*)"$`, func(want string) error { return isText("error code", string(s.decision.ErrorCode), want) })
	ctx.Step(`^the resolved metadata is empty$`, func() error {
		if len(s.decision.Metadata) > 0 {
			return fmt.Errorf("got metadata %v", s.decision.Metadata)
		}
		return nil
	})
	ctx.Step(`^the resolved metadata should contain$`, s.metadataHas)
}

func isText(what, got, want string) error {
	if got != want {
		return fmt.Errorf("got %s %q, want %q", what, got, want)
	}
	return nil
}

func typed(kind, text string) (any, error) {
	switch kind {
	case "Boolean":
		return strconv.ParseBool(text)
	case "Integer":
		return strconv.ParseInt(text, 10, 64)
	case "Float":
		return strconv.ParseFloat(text, 64)
	case "String":
		return text, nil
	case "Object":
		var v map[string]any
		err := json.Unmarshal([]byte(strings.ReplaceAll(text, `\"`, `"`)), &v)
		return v, err
	}
	return nil, fmt.Errorf("unknown type %q", kind)
}

func (s *scenario) flag(kind, key, fallback string) (err error) {
	s.kind, s.key = kind, key
	s.fallback, err = typed(kind, fallback)
	return err
}

func (s *scenario) attribute(key, kind, text string) error {
	v, err := typed(kind, text)
	s.context.Attributes[key] = v
	return err
}

func (s *scenario) evaluate() {
	s.decision = s.set.EvaluateContext(s.key, s.context)
	s.value = s.decision.Value
	if n, ok := s.value.(int64); ok && s.kind == "Float" {
		s.value = float64(n)
	}
	switch {
	case s.value == nil:
		s.value = s.fallback
	case reflect.TypeOf(s.value) != reflect.TypeOf(s.fallback):
		s.value, s.decision.ErrorCode = s.fallback, flags.ErrorTypeMismatch
	}
}

func (s *scenario) valueIs(text string) error {
	want, err := typed(s.kind, text)
	if err != nil {
		return err
	}
	got, err := json.Marshal(s.value)
	if err != nil {
		return err
	}
	expected, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return isText("value", string(got), string(expected))
}

func (s *scenario) metadataHas(table *godog.Table) error {
	for _, row := range table.Rows[1:] {
		key, kind, text := row.Cells[0].Value, row.Cells[1].Value, row.Cells[2].Value
		want, err := typed(kind, text)
		if err != nil {
			return err
		}
		if got := s.decision.Metadata[key]; got != want {
			return fmt.Errorf("metadata %s: got %v, want %v", key, got, want)
		}
	}
	return nil
}
