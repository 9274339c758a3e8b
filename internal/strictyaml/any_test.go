package strictyaml_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

func decodeAny(name, text string) (any, error) {
	doc, err := strictyaml.Parse(name, []byte(text))
	if err != nil {
		return nil, err
	}
	var into struct {
		V any `yaml:"v"`
	}
	err = doc.Decode(&into, nil)
	return into.V, err
}

func TestAnyHasTheKindsOfJSON(t *testing.T) {
	for _, tc := range []struct {
		rule, text string
		want       any
	}{
		{"nothing", "v:", nil},
		{"null", "v: null", nil},
		{"bool", "v: true", true},
		{"text that looks like a bool elsewhere", "v: yes", "yes"},
		{"integer", "v: -7", int64(-7)},
		{"the largest", "v: 9223372036854775807", int64(9223372036854775807)},
		{"beyond the largest", "v: 9223372036854775808", 9223372036854775808.0},
		{"float", "v: 1.50", 1.5},
		{"exponent", "v: 1e2", 100.0},
		{"quoted number", `v: "7"`, "7"},
		{"day", "v: 2026-01-31", "2026-01-31"},
		{"time", "v: 2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"},
		{"tagged number", "v: !!str 7", "7"},
		{"list", "v: [1, a, [true]]", []any{int64(1), "a", []any{true}}},
		{"mapping", "v: {a: {b: null}}", map[string]any{"a": map[string]any{"b": nil}}},
		{"alias", "v: [&x {a: 1}, *x]", []any{map[string]any{"a": int64(1)}, map[string]any{"a": int64(1)}}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := decodeAny("a.yaml", tc.text)
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

func TestAnyRefusesWhatJSONHasNot(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"v: .inf", "a.yaml:1:4: v: expected a decimal number"},
		{"v: [0x1f]", "a.yaml:1:5: v[0]: expected a decimal number"},
		{"v: 1_000", "a.yaml:1:4: v: expected a decimal number"},
		{"v: 1e400", "a.yaml:1:4: v: expected a decimal number"},
		{"v: {a: 1, a: 2}", "v.a: is already defined in line 1"},
	} {
		if _, err := decodeAny("a.yaml", tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.text, err, tc.want)
		}
	}
}

// FuzzAny holds that JSON is read as encoding/json does, but for integers, and
// that the same text is the same value when it is read as YAML.
func FuzzAny(f *testing.F) {
	for _, seed := range []string{
		"1", "-0", "1.0", "1e2", `"a\u00e9\n"`, "null", "[]", `{"a":[1,{"b":"2026-01-01"}]}`, "9223372036854775808", `"\/"`, `{"":0}`, `[true,"no",-0.0]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		text := `{"v": ` + value + `}`
		got, err := decodeAny("a.json", text)
		if err != nil {
			return // a key twice, or too large
		}
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(numbers(want), got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		// With a comment before it, it is YAML.
		if yaml, err := decodeAny("a.yaml", "# YAML\n"+text); err == nil && !cmp.Equal(yaml, got) {
			t.Errorf("%s: as YAML %s", text, cmp.Diff(got, yaml))
		}
	})
}

// numbers turns json.Number into int64, or else float64.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return value
}
