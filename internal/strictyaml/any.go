package strictyaml

import (
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// anyValue decodes what may be of any kind, as JSON has them. An integer that
// int64 cannot hold is a float64; a day or a time is its text.
func (d *decoder) anyValue(n *yaml.Node, v reflect.Value, path string, depth int) {
	var into reflect.Value
	switch n.Kind {
	case yaml.MappingNode:
		into = reflect.New(reflect.TypeFor[map[string]any]()).Elem()
		d.mapValue(n, into, path, depth)
	case yaml.SequenceNode:
		into = reflect.New(reflect.TypeFor[[]any]()).Elem()
		d.sliceValue(n, into, path, depth)
	default:
		if isNull(n) {
			return
		}
		text, ok := d.scalar(n, path, "a value")
		if !ok {
			return
		}
		tag := n.ShortTag()
		if tag == "!!str" && n.Style == 0 && number.MatchString(text) {
			tag = "!!float" // one that YAML's reader takes for text, being too large
		}
		value, ok := scalarAny(tag, text, text != n.Value)
		if !ok {
			d.report(n, path, "expected a decimal number, or quotes around what is meant as text")
			return
		}
		into = reflect.ValueOf(value)
	}
	v.Set(into)
}

// scalarAny gives a scalar its kind by its tag. What was expanded is text.
func scalarAny(tag, text string, expanded bool) (any, bool) {
	switch {
	case expanded:
	case tag == "!!bool":
		return text == "true", text == "true" || text == "false"
	case tag == "!!int" && integer.MatchString(text):
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, true
		}
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	case tag == "!!int", tag == "!!float":
		if !number.MatchString(text) {
			return nil, false // such as 0x1f, .inf, 1_000
		}
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	}
	return text, true
}
