package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An Expander replaces references such as ${VAR} in a scalar. Its errors are
// shown, so they name the variable and hold no value.
type Expander func(text string) (string, error)

// Decode fills the struct or map that into points to. Fields are named by
// their yaml tag; those without one are left alone. Fields may be strings,
// booleans, integers, float64, time.Duration, slices, string-keyed maps,
// structs, pointers to these, any (nil, bool, string, int64, float64, []any,
// map[string]any), and encoding.TextUnmarshaler (whose errors are
// shown, so they hold no value). A key that is absent leaves its field alone.
// Expand may be nil. All problems are returned at once, as Problems.
func (d *Doc) Decode(into any, expand Expander) error {
	dec := &decoder{doc: d, expand: expand}
	dec.value(d.root, reflect.ValueOf(into).Elem(), "", 0)
	return dec.problems.Err()
}

// Unsupported is the type of a field whose key is known but cannot be used in
// this version: any value is a problem that says so.
type Unsupported struct{}

var unsupportedType = reflect.TypeFor[Unsupported]()

type decoder struct {
	doc      *Doc
	expand   Expander
	problems Problems
	nodes    int
}

func (d *decoder) report(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, &Problem{
		File: d.doc.name, Line: n.Line, Column: n.Column, Path: path,
		Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	at := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch d.nodes++; {
	case d.nodes == maxNodes:
		d.report(at, path, "the file has too many values")
		return
	case d.nodes > maxNodes:
		return
	case depth > maxDepth:
		d.report(at, path, "is nested too deeply")
		return
	}
	if v.Type() == unsupportedType {
		d.report(at, path, "is not supported by this version")
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		before := len(d.problems)
		d.value(n, p.Elem(), path, depth)
		if len(d.problems) == before {
			v.Set(p)
		}
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if text, ok := d.scalar(n, path, "a value"); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.report(n, path, "%s", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structValue(n, v, path, depth)
	case reflect.Map:
		d.mapValue(n, v, path, depth)
	case reflect.Slice:
		d.sliceValue(n, v, path, depth)
	case reflect.Interface:
		d.anyValue(n, v, path, depth)
	default:
		d.scalarValue(n, v, path)
	}
}

// entries calls fn for each key of a mapping, reporting what is no mapping,
// keys that are no strings, and duplicates.
func (d *decoder) entries(n *yaml.Node, path string, fn func(key, value *yaml.Node)) bool {
	if isNull(n) {
		return true // "flags:" with everything below it commented out
	}
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "expected a mapping, got %s", describe(n))
		return false
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.report(key, path, "expected a plain key; merge keys and complex keys are not supported")
		case seen[key.Value] > 0:
			d.report(key, join(path, key.Value), "is already defined in line %d", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			fn(key, value)
		}
	}
	return true
}

// A Defaulter is a struct in a list or map that fills in what its keys leave
// out. SetDefaults is called before the keys are read.
type Defaulter interface{ SetDefaults() }

func (d *decoder) structValue(n *yaml.Node, v reflect.Value, path string, depth int) {
	if s, ok := reflect.TypeAssert[Defaulter](v.Addr()); ok {
		s.SetDefaults()
	}
	fields := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = v.Field(i)
			names = append(names, name)
		}
	}
	d.entries(n, path, func(key, value *yaml.Node) {
		field, ok := fields[key.Value]
		if !ok {
			d.report(key, path, "unknown key %q%s", key.Value, suggest(key.Value, names))
			d.problems[len(d.problems)-1].Key = key.Value
			return
		}
		d.value(value, field, join(path, key.Value), depth+1)
	})
}

func (d *decoder) mapValue(n *yaml.Node, v reflect.Value, path string, depth int) {
	m := reflect.MakeMap(v.Type())
	if d.entries(n, path, func(key, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, join(path, key.Value), depth+1)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	}) {
		v.Set(m)
	}
}

func (d *decoder) sliceValue(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.report(n, path, "expected a list, got %s", describe(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, s.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
	v.Set(s)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return "a single value"
}

// suggest names the key that was probably meant, or lists a short choice.
func suggest(got string, names []string) string {
	best, distance := "", 3
	for _, name := range names {
		if n := editDistance(strings.ToLower(got), strings.ToLower(name)); n < distance {
			best, distance = name, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	slices.Sort(names)
	return "; known keys: " + strings.Join(names, ", ")
}

// editDistance is the Levenshtein distance, cut off for long words.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var durationType = reflect.TypeFor[time.Duration]()
