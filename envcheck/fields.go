package envcheck

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// A field is one struct field that is read from one variable.
type field struct {
	path   string // such as "Database.URL"
	key    string // such as "DATABASE_URL"
	typ    reflect.Type
	tag    reflect.StructTag
	rules  rules
	isList bool
}

// collector walks a struct the way the struct parser does, which keeps to
// itself which variable belongs to which field.
type collector struct {
	environ map[string]string
	fields  []*field
	errs    []error // *ConfigError

	// What the struct parser told, by variable.
	found      map[string]string // values, from the environment, a file or envDefault
	missing    map[string]bool
	unreadable map[string]bool
	unparsable []string // names of fields, without their path
}

func (c *collector) walk(v reflect.Value, prefix, path string) {
	for i := range v.NumField() {
		f, sf := v.Field(i), v.Type().Field(i)
		if !f.CanSet() {
			continue
		}
		own, inner := path+sf.Name, prefix+sf.Tag.Get("envPrefix")
		if f.Kind() == reflect.Struct && f.Type().Name() == "" {
			c.walk(f, inner, own+".")
			continue
		}
		key, _, _ := strings.Cut(sf.Tag.Get("env"), ",")
		if key == "-" {
			continue
		}
		c.add(sf, key, prefix, own)
		switch {
		case f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct:
			c.walk(f.Elem(), inner, own+".")
		case f.Kind() == reflect.Struct:
			c.walk(f, inner, own+".")
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			c.walkSlice(f, inner, own)
		}
	}
}

func (c *collector) add(sf reflect.StructField, key, prefix, path string) {
	tag, hasRules := sf.Tag.Lookup("rule")
	if key == "" {
		if hasRules {
			c.fail(path, tag, "has rules but no env tag")
		}
		return
	}
	f := &field{path: path, key: prefix + key, typ: sf.Type, tag: sf.Tag}
	f.isList = sf.Type.Kind() == reflect.Slice && !unmarshalsText(sf.Type)
	if hasRules {
		var reason string
		if sf.Type.Kind() == reflect.Map {
			reason = "rules do not apply to maps"
		} else {
			f.rules, reason = compileTag(tag, sf.Type)
		}
		if reason != "" {
			c.fail(path, tag, reason)
		}
	}
	c.fields = append(c.fields, f)
}

// walkSlice walks the items of a list of structs: KEY_0_…, KEY_1_…, as many as
// the environment has. The struct parser stops at the first item that is wrong;
// the others are parsed here.
func (c *collector) walkSlice(v reflect.Value, prefix, path string) {
	if prefix != "" && !strings.HasSuffix(prefix, "_") {
		prefix += "_"
	}
	for i := 0; i < v.Len() || c.hasPrefix(fmt.Sprintf("%s%d_", prefix, i)); i++ {
		itemPrefix := fmt.Sprintf("%s%d_", prefix, i)
		var item reflect.Value
		if i < v.Len() {
			item = v.Index(i)
		} else {
			fresh := reflect.New(v.Type().Elem())
			c.parse(fresh, itemPrefix)
			item = fresh.Elem()
		}
		c.walk(item, itemPrefix, fmt.Sprintf("%s[%d].", path, i))
	}
}

func (c *collector) hasPrefix(prefix string) bool {
	for key := range c.environ {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func (c *collector) fail(path, tag, reason string) {
	c.errs = append(c.errs, &ConfigError{Field: path, Value: tag, Reason: reason})
}

// parses reports whether the struct parser takes value for this field alone.
// That is how its errors, which name neither variable nor path, are assigned.
func (f *field) parses(value string) bool {
	var tag strings.Builder
	tag.WriteString(`env:"V"`)
	for _, name := range []string{"envSeparator", "envKeyValSeparator"} {
		if s, ok := f.tag.Lookup(name); ok {
			fmt.Fprintf(&tag, " %s:%q", name, s)
		}
	}
	single := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "V", Type: f.typ, Tag: reflect.StructTag(tag.String())},
	}))
	return env.ParseWithOptions(single.Interface(), env.Options{Environment: map[string]string{"V": value}}) == nil
}

// items are what the rules look at: the items of a list, or the value.
func (f *field) items(value string) []string {
	if !f.isList {
		return []string{value}
	}
	separator := f.tag.Get("envSeparator")
	if separator == "" {
		separator = ","
	}
	return strings.Split(value, separator)
}

// expected describes a value for the field.
func (f *field) expected() string {
	if len(f.rules) > 0 {
		return f.rules.expected()
	}
	if f.typ.Kind() == reflect.String {
		return "a value"
	}
	return describeType(f.typ)
}

func (f *field) problem(kind Kind, rule, expected, value, hint string) *Problem {
	return &Problem{Variable: f.key, Field: f.path, Kind: kind, Rule: rule, Expected: expected,
		Length: lengthBucket(value), Hint: hint}
}
