package flags_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

var (
	seed  = flag.Uint64("seed", 0, "of what is random; 0 means any")
	count = flag.Int("count", 100_000, "random decisions")
)

// random is a generator from -seed, which the test prints.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// TestRulesAreEvaluatedAsByFlagd makes up rules and contexts. What flags/flagd
// refuses to load is not compared: flagd only warns of it.
func TestRulesAreEvaluatedAsByFlagd(t *testing.T) {
	r := random(t)
	compared, refused, answers := 0, map[string]int{}, map[string]int{}
	for compared < *count {
		g := generator{r}
		definitions := map[string]any{}
		for i := range 50 {
			definitions[fmt.Sprint("flag-", i)] = map[string]any{
				"state": "ENABLED", "variants": g.variants(), "defaultVariant": "a", "targeting": g.targeting(),
			}
		}
		keep := map[string]any{}
		for key, d := range definitions {
			data := encode(t, map[string]any{"flags": map[string]any{key: d}})
			if _, err := flagd.Parse("one.json", data); err != nil {
				for _, p := range problems(err) {
					refused[p.Reason]++
				}
				continue
			}
			keep[key] = d
		}
		data := encode(t, map[string]any{"flags": keep})
		ours, err := flagd.Parse("flags.json", data)
		if err != nil {
			t.Fatal(err)
		}
		theirs := newCore(t, data)
		for range 20 {
			ec := g.context()
			for key := range keep {
				got := outcomeOf(ours.EvaluateContext(key, ec))
				want := theirs.decide(t.Context(), key, withKey(ec))
				if got.code == "INVALID_CONTEXT" {
					continue // refused on purpose
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, flagd has %+v:\n%s\n%s %s", got, want, encode(t, keep[key]), ec.TargetingKey, encode(t, ec.Attributes))
				}
				compared++
				answers[want.reason+" "+want.code]++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d compared: %v", compared, answers)
	if testing.Verbose() {
		for reason, n := range refused {
			t.Logf("%6d refused: %s", n, reason)
		}
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// generator makes up rules over a few names and values, so that they meet.
type generator struct{ *rand.Rand }

func pick[T any](g generator, values ...T) T { return values[g.IntN(len(values))] }

func (g generator) variants() map[string]any {
	return map[string]any{"a": "A", "b": "B", "c": "", "true": "yes", "false": "no", "1": "one", "null": "nil"}
}

func (g generator) name() string {
	return pick(g, "a", "b", "n", "s", "list", "map", "map.a", "map.deep.n", "map.lone", "list.1", "list.x", "targetingKey", "$flagd.flagKey", "version", "none", "list.-1")
}

func (g generator) single() any {
	return pick[any](g, "a", "b", "c", "", "1", "1.0", " 2 ", "x", "abc", "1.2.3", nil, true, false, 0, 1, 2, -1, 1.5, 100, "true", "null", "é<&\"\\", 1e21)
}

func (g generator) value(depth int) any {
	switch {
	case depth <= 0 || g.IntN(3) == 0:
		return g.single()
	case g.IntN(6) == 0:
		return g.list(depth)
	}
	return g.rule(depth)
}

func (g generator) list(depth int) any {
	l := make([]any, g.IntN(4))
	for i := range l {
		l[i] = g.value(depth - 1)
	}
	return l
}

func (g generator) args(n, depth int) []any {
	l := make([]any, n)
	for i := range l {
		l[i] = g.value(depth - 1)
	}
	return l
}

// targeting is a rule, mostly one whose result is a variant.
func (g generator) targeting() any {
	if g.IntN(4) == 0 {
		return g.rule(4)
	}
	return map[string]any{"if": []any{g.rule(3), "a", g.rule(3), "b", "c"}}
}

func (g generator) variable() any {
	switch g.IntN(6) {
	case 0:
		return map[string]any{"var": []any{g.name(), g.single()}}
	case 1:
		return map[string]any{"var": []any{g.name()}}
	}
	return map[string]any{"var": g.name()}
}

func (g generator) rule(depth int) any {
	if depth <= 1 {
		return g.variable()
	}
	op := pick(g, "if", "if", "if", "and", "or", "!", "!!", "==", "===", "!=", "!==", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "max", "min",
		"cat", "in", "in", "fractional", "fractional", "sem_ver", "starts_with", "ends_with", "substr", "merge", "missing", "missing_some", "loop", "var")
	var args any
	switch op {
	case "var":
		return g.variable()
	case "if":
		args = g.args(1+g.IntN(4), depth)
	case "and", "or", "max", "min", "cat", "merge":
		args = g.args(1+g.IntN(3), depth)
	case "+", "-":
		args = g.args(1+g.IntN(3), depth)
	case "*":
		args = g.args(2+g.IntN(2), depth)
	case "<", "<=":
		args = g.args(2+g.IntN(2), depth)
	case "substr":
		args = append([]any{g.value(depth - 1)}, pick(g, []any{1}, []any{-2}, []any{0, 2}, []any{1, -1}, []any{5}, []any{0, -9})...)
	case "!", "!!":
		args = pick[any](g, g.args(1, depth), g.value(depth-1))
	case "sem_ver":
		args = []any{g.version(), pick(g, "=", "!=", "<", "<=", ">", ">=", "~", "^", "==="), g.version()}
	case "starts_with", "ends_with":
		args = []any{pick[any](g, "abc", g.rule(depth-1)), pick[any](g, "a", "c", g.rule(depth-1))}
	case "fractional":
		args = g.fractional(depth)
	case "missing":
		args = []any{g.name(), g.name()}
	case "missing_some":
		args = []any{g.IntN(3), []any{g.name(), g.name()}}
	case "loop":
		return g.loop()
	default:
		args = g.args(2, depth)
	}
	return map[string]any{op: args}
}

func (g generator) version() any {
	return pick[any](g, g.variable(), "1.2.3", "v1.2", "V1", "1.2.3-alpha.1", "1.2.3-alpha.10", "1.2.3-1", "2.0.0+build", "1.10.0", "01.2.3", "1.2.3-01", "1..2", "1.2.3-", "x",
		map[string]any{"cat": []any{"1.", pick(g, "2", "10"), ".3"}})
}

func (g generator) fractional(depth int) any {
	args := []any{}
	switch g.IntN(4) {
	case 0:
		args = append(args, map[string]any{"cat": []any{"salt", map[string]any{"var": "targetingKey"}}})
	case 1:
		args = append(args, g.rule(depth-1))
	}
	for range 1 + g.IntN(4) {
		share := []any{pick[any](g, "a", "b", "c", true, false, g.rule(depth-1))}
		switch g.IntN(5) {
		case 0:
			share = append(share, g.rule(depth-1))
		case 1:
		default:
			share = append(share, pick(g, 0, 1, 50, 25, -3, 1000, 1<<30))
		}
		args = append(args, share)
	}
	return args
}

func (g generator) loop() any {
	over := pick[any](g, map[string]any{"var": "list"}, []any{1, 2, "a"}, map[string]any{"var": "map"}, map[string]any{"merge": []any{map[string]any{"var": "list"}, "b"}})
	element := map[string]any{"var": ""}
	test := pick[any](g,
		map[string]any{pick(g, "==", "<", "in", ">"): []any{element, g.single()}},
		map[string]any{"sem_ver": []any{element, ">", "1.0.0"}},
		map[string]any{"starts_with": []any{element, "a"}},
		map[string]any{"+": []any{element, 1}},
		map[string]any{"==": []any{element, map[string]any{"var": "a"}}},
	)
	if op := pick(g, "map", "filter", "all", "none", "some", "reduce"); op != "reduce" {
		return map[string]any{op: []any{over, test}}
	}
	return map[string]any{"reduce": []any{over, map[string]any{pick(g, "+", "cat", "max"): []any{map[string]any{"var": "accumulator"}, map[string]any{"var": "current"}}}, pick[any](g, 0, "", "a")}}
}

func (g generator) context() flags.EvaluationContext {
	ec := flags.EvaluationContext{Attributes: map[string]any{}}
	if g.IntN(4) > 0 {
		ec.TargetingKey = pick(g, "user-1", "user-2", " spaced ", "日本", "a", strings.Repeat("long", 100))
	}
	set := func(m map[string]any, key string, v any) {
		if g.IntN(3) > 0 {
			m[key] = v
		}
	}
	set(ec.Attributes, "a", g.single())
	set(ec.Attributes, "b", g.single())
	set(ec.Attributes, "n", pick[any](g, 0, 1, int64(7), 2.5, -3))
	set(ec.Attributes, "s", pick(g, "abc", "a", "xyz", ""))
	set(ec.Attributes, "version", pick[any](g, "1.2.3", "1.2.3-alpha", "v2", 1, 1.2, "2.0.0+x", "bad", true))
	set(ec.Attributes, "list", g.data(2))
	inner := map[string]any{"a": g.single(), "deep": map[string]any{"n": 1, "x": []any{1}}, "lone": map[string]any{"k": 1}}
	set(ec.Attributes, "map", inner)
	return ec
}

func (g generator) data(depth int) any {
	if depth == 0 {
		return g.single()
	}
	l := make([]any, g.IntN(5))
	for i := range l {
		l[i] = pick[any](g, g.single(), g.single(), g.data(depth-1), map[string]any{"k": g.single(), "l": 1}, map[string]any{"k": g.single()}, map[string]any{})
	}
	return l
}
