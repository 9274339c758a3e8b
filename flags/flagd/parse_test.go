package flagd_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

func parse(t testing.TB, data string) *flags.Set {
	t.Helper()
	set, err := flagd.Parse("flags.json", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// boolean is a file with one flag, f, and a rule; $evaluators may follow.
func boolean(targeting string) string {
	return `{"flags": {"f": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
"targeting": ` + targeting + `}}}`
}

func TestParseTellsEveryProblemWithItsPlace(t *testing.T) {
	const file = `{
  "flags": {
    "a": {"state": "on", "variants": {"x": 1, "y": "2"}, "defaultVariant": "z"},
    "b": {"state": "ENABLED", "variants": {}, "defaultVariant": 7},
    "c": {"variants": {"l": [1]}, "targeting": {"==": [1]}},
    "d": 5
  },
  "$evaluators": {"e": {"$ref": "e"}},
  "metadata": {"m": {}}
}`
	_, err := flagd.Parse("f.json", []byte(file))
	want := strings.Join([]string{
		`f.json:3:20: flags.a.state: must be ENABLED or DISABLED`,
		`f.json:3:52: flags.a.variants.y: must be a number, as other variants are`,
		`f.json:3:76: flags.a.defaultVariant: is none of the variants`,
		`f.json:4:43: flags.b.variants: expected a mapping of 1 to 100 variants`,
		`f.json:4:65: flags.b.defaultVariant: expected the name of a variant, or null`,
		`f.json:5:10: flags.c.state: must be ENABLED or DISABLED`,
		`f.json:5:29: flags.c.variants.l: expected true, false, a text, a number or a mapping`,
		`f.json:5:55: flags.c.targeting.==: takes 2 arguments`,
		`f.json:6:10: flags.d: expected a mapping`,
		`f.json:8:33: $evaluators.e.$ref: refers to the evaluator that it is part of`,
		`f.json:9:21: metadata.m: must be a text, a number, true or false`,
	}, "\n")
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if d, ok := errors.AsType[*flags.DefinitionError](err); !ok || d.Line != 3 || d.Path != "flags.a.state" {
		t.Errorf("as a DefinitionError: %+v", d)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ rule, file, want string }{
		{"what is no JSON", `{`, "is not valid JSON"},
		{"a root without flags", `{"a": {"state": "ENABLED"}}`, "flags: is required"},
		{"flags that are neither mapping nor list", `{"flags": 1}`, "flags: is required"},
		{"evaluators that are no mapping", `{"flags": {}, "$evaluators": []}`, "$evaluators: expected a mapping"},
		{"an evaluator that is no rule", `{"flags": {}, "$evaluators": {"e": 1}}`, "$evaluators.e: expected a mapping"},
		{"a circle of evaluators", `{"flags": {}, "$evaluators": {"a": {"!": {"$ref": "b"}}, "b": {"!": {"$ref": "a"}}}}`, "refers to the evaluator that it is part of"},
		{"a reference that is no name", boolean(`{"$ref": 1}`), "$ref: must be the name of one of $evaluators"},
		{"a list with a key twice", `{"flags": [{"key": "a", "state": "ENABLED", "variants": {"x": 1}}, {"key": "a", "state": "ENABLED", "variants": {"x": 1}}]}`, "flags[1].key: is the key of an earlier flag"},
		{"a list without keys", `{"flags": [{"state": "ENABLED", "variants": {"x": 1}}]}`, "flags[0]: a flag's key is 1 to 256 bytes"},
		{"a null targeting", boolean(`null`), "targeting: expected a mapping"},
		{"two operators in a rule", boolean(`{"==": [1, 1], "!=": [1, 2]}`), "targeting: a rule is a mapping with one operator"},
		{"an empty rule inside", boolean(`{"if": [{}, "on", "off"]}`), "targeting.if[0]: a rule is a mapping with one operator"},
		{"an unknown operator", boolean(`{"nope": [1]}`), "targeting.nope: is no operator"},
		{"a misspelt operator", boolean(`{"IF": [1]}`), `did you mean "if"?`},
		{"an unknown operator in what is left to the library", boolean(`{"some": [[1], {"nope": 1}]}`), "some[1].nope: is no operator"},
		{"arguments that are no list", boolean(`{"==": 1}`), "==: expected a list of arguments"},
		{"too many arguments", boolean(`{">": [1, 2, 3]}`), ">: takes 2 arguments"},
		{"too few arguments", boolean(`{"<": [1]}`), "<: takes 2 to 3 arguments"},
		{"no arguments", boolean(`{"cat": []}`), "cat: takes at least 1 arguments"},
		{"an unknown property of $flagd", boolean(`{"var": "$flagd.nope"}`), "of $flagd there are flagKey and timestamp"},
		{"a path that is none", boolean(`{"var": [1]}`), "var[0]: expected a path"},
		{"an empty path list", boolean(`{"var": []}`), "var: expected a path"},
		{"a default that is a rule", boolean(`{"var": ["a", {"var": "b"}]}`), "var[1]: expected a single value"},
		{"a constant to hash", boolean(`{"fractional": ["x", ["on", 1], ["off", 1]]}`), "fractional[0]: expected a rule for what is hashed"},
		{"no shares", boolean(`{"fractional": [{"var": "a"}]}`), "fractional: has no shares"},
		{"a share that is none", boolean(`{"fractional": [["on", 1], "off"]}`), "fractional[1]: expected a share"},
		{"a share of three", boolean(`{"fractional": [["on", 1, 2], ["off", 1]]}`), "fractional[0]: expected a share"},
		{"a share of no name", boolean(`{"fractional": [[null, 1], ["off", 1]]}`), "fractional[0][0]: expected the name"},
		{"a weight that is text", boolean(`{"fractional": [["on", "1"], ["off", 1]]}`), "fractional[0][1]: expected an integer"},
		{"a weight that is no integer", boolean(`{"fractional": [["on", 0.5], ["off", 1]]}`), "fractional[0][1]: must be an integer"},
		{"a weight beyond 31 bits", boolean(`{"fractional": [["on", 2147483648], ["off", 1]]}`), "fractional[0][1]: must be at most 2147483647"},
		{"weights beyond 31 bits together", boolean(`{"fractional": [["on", 2147483647], ["off", 1]]}`), "fractional: its weights must add up to at most 2147483647"},
		{"a share of a variant that does not exist", boolean(`{"fractional": [["on", 1], ["of", 1]]}`), "fractional[1][0]: is none of the variants"},
		{"the same in a branch", boolean(`{"if": [true, {"fractional": [["on", 1], ["of", 1]]}, "off"]}`), "if[1].fractional[1][0]: is none of the variants"},
		{"an affix that is no text", boolean(`{"starts_with": [{"var": "a"}, 0]}`), "starts_with[1]: expected a text or a rule"},
		{"a version that is none", boolean(`{"sem_ver": [{"var": "v"}, "=", "2.0.0.0"]}`), `sem_ver[2]: expected a semantic version`},
		{"a version that is a number", boolean(`{"sem_ver": [1, "=", "2.0.0"]}`), `sem_ver[0]: expected a semantic version`},
		{"an operator of versions that is no text", boolean(`{"sem_ver": [{"var": "v"}, 1, "2.0.0"]}`), "sem_ver[1]: must be one of"},
		{"missing without paths", boolean(`{"missing": [1]}`), "missing[0]: expected a path"},
		{"missing_some without a number", boolean(`{"missing_some": ["1", ["a"]]}`), "missing_some[0]: expected a number"},
		{"missing_some without a list", boolean(`{"missing_some": [1, "a"]}`), "missing_some[1]: expected a list of paths"},
		{"a key defined twice", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}}, "a": {"state": "ENABLED", "variants": {"x": 1}}}}`, "is already defined in line 1"},
		{"variants beside lists", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": null}}}}`, "variants.x: expected true, false"},
		{"an empty name of a variant", `{"flags": {"a": {"state": "ENABLED", "variants": {"": 1}}}}`, "a variant's name is 1 to 256 bytes"},
		{"metadata that is a list", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "metadata": []}}}`, "metadata: expected a mapping"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			set, err := flagd.Parse("flags.json", []byte(tt.file))
			if err == nil || set != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, ok := errors.AsType[*flags.DefinitionError](err); !ok {
				t.Errorf("%T is no DefinitionError", err)
			}
		})
	}
}

func TestParseWarns(t *testing.T) {
	tests := []struct{ rule, file, want string }{
		{"of a key at the root", `{"flags": {}, "flag": {}}`, "flags.json:1:23: flag: is no key of flagd's and has no effect"},
		{"of a key of a flag", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "defaultVarient": "x"}}}`, "flags.a.defaultVarient: is no key of flagd's"},
		{"of a reference to nothing", boolean(`{"if": [{"$ref": "nope"}, "on", "off"]}`), "targeting.if[0].$ref: is none of $evaluators"},
		{"of affixes with one argument", boolean(`{"starts_with": ["a"]}`), "starts_with: takes 2 arguments: gives null"},
		{"of versions with two arguments", boolean(`{"sem_ver": ["1.2.3", "="]}`), "sem_ver: takes 3 arguments: gives null"},
		{"of an unknown operator of versions", boolean(`{"sem_ver": [{"var": "v"}, "===", "1.2.3"]}`), "sem_ver[1]: is none of = != < <= > >= ~ ^: gives null"},
		{"of negative weights", boolean(`{"fractional": [["on", -1], ["off", 1]]}`), "fractional[0][1]: counts as 0"},
		{"of weights that are all 0", boolean(`{"fractional": [["on", 0], ["off", 0]]}`), "fractional: all its weights are 0: gives null"},
		{"of a result that is no variant", boolean(`{"if": [true, "on", "of"]}`), "if[2]: is none of the variants"},
		{"of an expiry that is no day", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "metadata": {"expires": "soon"}}}}`, "flags.a.metadata.expires: is not a day such as 2027-01-31"},
		{"of an unknown onExpiry", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "metadata": {"onExpiry": "explode"}}}}`, "metadata.onExpiry: is not keep, on or off"},
		{"of a public that is text", `{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "metadata": {"public": "yes"}}}}`, "metadata.public: is not true or false"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			warnings := parse(t, tt.file).Warnings()
			if len(warnings) != 1 || !strings.Contains(warnings[0], tt.want) {
				t.Errorf("got %q, want %q", warnings, tt.want)
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	const simple = `{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}`
	tests := []struct{ rule, file string }{
		{"a schema", `{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {"f": ` + simple + `}}`},
		{"a list", `{"flags": [` + strings.Replace(simple, "{", `{"key": "f", `, 1) + `]}`},
		{"YAML", "flags:\n  f:\n    state: ENABLED\n    variants: {on: true, off: false}\n    defaultVariant: on\n"},
		{"an empty targeting", `{"flags": {"f": ` + strings.Replace(simple, "{", `{"targeting": {}, `, 1) + `}}`},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			name := "flags.json"
			if tt.file[0] != '{' {
				name = "flags.yaml"
			}
			set, err := flagd.Parse(name, []byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if d := set.Evaluate("f", ""); !d.On || d.Reason != flags.ReasonStatic || d.Variant != "on" {
				t.Errorf("got %+v", d)
			}
			if w := set.Warnings(); len(w) > 0 {
				t.Errorf("warnings: %q", w)
			}
			if set.Version() != flags.VersionOf([]byte(tt.file)) {
				t.Errorf("version %s", set.Version())
			}
		})
	}
}

func TestMetadataFillsTheDefinition(t *testing.T) {
	set := parse(t, `{"metadata": {"owner": "all", "version": "1.0", "n": 1}, "flags": {
		"f": {"state": "DISABLED", "variants": {"b": 2.5, "a": 1}, "metadata": {"owner": "payments", "description": "d", "created": "2026-11-01",
			"expires": "2027-01-31", "onExpiry": "off", "inject": false, "public": true}},
		"g": {"state": "ENABLED", "variants": {"a": {"x": 1}}}}}`)
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	f, _ := set.Lookup("f")
	want := flags.Definition{
		Key: "f", Owner: "payments", Description: "d", Created: day("2026-11-01"), Expires: day("2027-01-31"), OnExpiry: flags.ExpiryOff, Public: true,
		Metadata: map[string]any{"owner": "payments", "version": "1.0", "n": int64(1), "description": "d", "created": "2026-11-01",
			"expires": "2027-01-31", "onExpiry": "off", "inject": false, "public": true},
		Variants: []flags.Variant{{Name: "a", Value: int64(1)}, {Name: "b", Value: 2.5}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	g, _ := set.Lookup("g")
	if g.Owner != "all" || !g.Inject || g.Public || !g.Enabled || g.OnExpiry != flags.ExpiryKeep {
		t.Errorf("got %+v", g)
	}
	if d := set.Evaluate("g", ""); !reflect.DeepEqual(d.Metadata, map[string]any{"owner": "all", "version": "1.0", "n": int64(1)}) {
		t.Errorf("got metadata %v", d.Metadata)
	}
}

func TestParseBoundsRules(t *testing.T) {
	nested := `{"var": "a"}`
	for range 30 {
		nested = `{"!": [` + nested + `]}`
	}
	chain, wide := []string{`"e0": ` + nested}, []string{`"e0": {"or": [1, 2]}`}
	for i := range 300 {
		chain = append(chain, fmt.Sprintf(`"e%d": {"!": [{"$ref": "e%d"}]}`, i+1, i))
	}
	for i := range 60 {
		ref := fmt.Sprintf(`{"$ref": "e%d"}`, i)
		wide = append(wide, fmt.Sprintf(`"e%d": {"some": [%s, %s]}`, i+1, ref, ref))
	}
	tests := []struct{ rule, file, want string }{
		{"depth through references", `{"flags": {}, "$evaluators": {` + strings.Join(chain, ",") + `}}`, "nested deeper than 256"},
		{"size through references", `{"flags": {}, "$evaluators": {` + strings.Join(wide, ",") + `}}`, "is larger than 10000 values"},
		{"depth of the file", boolean(strings.Repeat(`{"!": [`, 40) + "1" + strings.Repeat(`]}`, 40)), "is nested too deeply"},
		{"too many variants", `{"flags": {"f": {"state": "ENABLED", "variants": {` + many(101, `"v%d": 1`) + `}}}}`, "expected a mapping of 1 to 100 variants"},
		{"too much metadata", `{"flags": {"f": {"state": "ENABLED", "variants": {"a": 1}, "metadata": {` + many(58, `"v%d": 1`) + `}}}}`, "has more than 57 entries"},
		{"too many flags", `{"flags": {` + many(10001, `"f%d": {"state": "ENABLED", "variants": {"a": 1}}`) + `}}`, "holds more than 10000 flags"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := flagd.Parse("flags.json", []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func many(n int, format string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(all, ",")
}
