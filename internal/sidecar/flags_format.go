package sidecar

import (
	"bytes"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// ParseFlags compiles definitions of flags, native or flagd's, which their
// content tells: flagd's are those whose root has $evaluators or flagd's
// $schema, that are a list, or where a flag has state, defaultVariant, targeting
// or a mapping of variants, which native flags never have.
func ParseFlags(name string, data []byte) (*flags.Set, error) {
	if isFlagd(name, data) {
		return flagd.Parse(name, data)
	}
	return flags.Parse(name, data)
}

// flagdOnly are keys of a flag of flagd's and of no native one.
var flagdOnly = [...]string{"state", "defaultVariant", "targeting"}

func isFlagd(name string, data []byte) bool {
	if !mentionsFlagd(data) {
		return false
	}
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return false // either parser says the same
	}
	var root map[string]any
	_ = doc.Decode(&root, nil) // what can be read tells
	if schema, _ := root["$schema"].(string); strings.Contains(schema, "flagd") {
		return true
	}
	if _, ok := root["$evaluators"]; ok {
		return true
	}
	var all map[string]any
	switch under := root["flags"].(type) {
	case []any:
		return true
	case map[string]any:
		all = under
	}
	for _, given := range all {
		fields, _ := given.(map[string]any)
		for _, key := range flagdOnly {
			if _, ok := fields[key]; ok {
				return true
			}
		}
		if _, ok := fields["variants"].(map[string]any); ok {
			return true
		}
	}
	return false
}

// mentionsFlagd spares most native files a second reading.
func mentionsFlagd(data []byte) bool {
	for _, word := range [...]string{"state", "defaultVariant", "targeting", "variants", "flagd", "$evaluators"} {
		if bytes.Contains(data, []byte(word)) {
			return true
		}
	}
	return false
}
