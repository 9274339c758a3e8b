package flags

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Settings is d as it may stand in a definition file: a JSON object of its
// settings in a fixed order, without those that have their default.
//
//	{"rolloutPercentage":5.125,"allowList":["user-1"]}
func (d Definition) Settings() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, s := range settingsOf(d) {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(s.name))
		b.WriteByte(':')
		b.Write(s.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Native reports whether a flag decides by its [Definition] alone, and not by
// rules of another format. An unknown one does not.
func (s *Set) Native(key string) bool {
	f, ok := s.byKey[key]
	return ok && f.custom == nil
}

// A setting is a line of a flag, its value in JSON. A nil value is none: the
// setting is to be taken out.
type setting struct {
	name  string
	value json.RawMessage
}

// settingNames are those of a flag in a file, in the order of the documentation.
func settingNames() []string {
	t := reflect.TypeFor[fileFlag]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("yaml")
	}
	return names
}

// settingFields are the fields of f by their names in a file.
func settingFields(f *fileFlag) map[string]reflect.Value {
	v := reflect.ValueOf(f).Elem()
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return fields
}

// settingsOf are those of d that are no default, in the order of settingNames.
func settingsOf(d Definition) []setting {
	var variants []map[string]any
	for _, v := range d.Variants {
		variants = append(variants, map[string]any{"name": v.Name, "weight": v.Weight, "value": v.Value})
	}
	values := map[string]any{
		"description": given(d.Description, ""), "owner": given(d.Owner, ""), "enabled": given(d.Enabled, true),
		"rolloutPercentage": given(percentText(d.RolloutThousandths), "0"),
		"allowList":         listed(d.AllowList), "denyList": listed(d.DenyList),
		"salt": given(d.Salt, d.Key), "hash": given(string(d.Hash), hashNames[0]),
		"created": dayText(d.Created), "expires": dayText(d.Expires),
		"onExpiry": given(string(d.OnExpiry), onExpiryNames[0]), "inject": given(d.Inject, true), "public": given(d.Public, false),
		"metadata": listed(d.Metadata), "variants": listed(variants),
		"offVariant": given(d.OffVariant, ""),
	}
	if len(d.Variants) > 0 {
		values["variantSalt"] = given(d.VariantSalt, d.Salt+"/variants")
	}
	var out []setting
	for _, name := range settingNames() {
		if v := values[name]; v != nil {
			out = append(out, setting{name, jsonText(v)})
		}
	}
	return out
}

// given is v, or nil when it is the default.
func given[T comparable](v, otherwise T) any {
	if v == otherwise {
		return nil
	}
	return v
}

// listed is v, or nil when nothing is in it.
func listed(v any) any {
	if reflect.ValueOf(v).Len() == 0 {
		return nil
	}
	return v
}

// percentText is thousandths of a percent as a file has them.
func percentText(thousandths int) json.Number {
	return json.Number(strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64))
}

func dayText(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Format(time.DateOnly)
}

// jsonText is v in JSON, with no character escaped for the sake of HTML.
func jsonText(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return json.RawMessage("null") // a definition holds nothing that JSON cannot
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// settings are those that must be written, or taken out, to make the definition
// old that of want. What has the same effect already is left as it is written.
func (c *Change) settings(old, want Definition, named map[string]json.RawMessage) []setting {
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, s := range settingsOf(old) {
		before[s.name] = s.value
	}
	for _, s := range settingsOf(want) {
		after[s.name] = s.value
	}
	var out []setting
	for _, name := range settingNames() {
		if bytes.Equal(before[name], after[name]) {
			continue
		}
		value, isNamed := named[name]
		switch {
		case name == "allowList" || name == "denyList":
			// Sorted by now, each once.
			if value = after[name]; value == nil && !c.Replace && (!isNamed || named[name] != nil) {
				value = json.RawMessage("[]")
			}
		case value == nil:
			value = after[name]
		}
		out = append(out, setting{name, value})
	}
	return out
}

// settingsToAdd are those of a new flag.
func settingsToAdd(want Definition, named map[string]json.RawMessage) []setting {
	after := map[string]json.RawMessage{}
	for _, s := range settingsOf(want) {
		after[s.name] = s.value
	}
	var out []setting
	for _, name := range settingNames() {
		value := named[name]
		if value == nil || after[name] != nil && (name == "allowList" || name == "denyList") {
			value = after[name]
		}
		if value != nil {
			out = append(out, setting{name, value})
		}
	}
	return out
}
