package openfeature

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	of "github.com/open-feature/go-sdk/openfeature"
)

// maxDepth bounds how deeply attributes may be nested; one may contain itself.
const maxDepth = 64

// attributes returns what an evaluation context holds beside the targeting key,
// in the types that rules know. The result shares nothing with flat that could
// be changed.
func attributes(flat of.FlattenedContext) (map[string]any, error) {
	out := make(map[string]any, len(flat))
	for name, value := range flat {
		if name == of.TargetingKey {
			continue
		}
		plain, ok := plain(value, 0)
		if !ok {
			return nil, fmt.Errorf("attribute %.64q cannot be written as JSON", name)
		}
		out[name] = plain
	}
	return out, nil
}

// plain returns value in the types that encoding/json decodes into any, and
// Go's integers.
func plain(value any, depth int) (any, bool) {
	switch v := value.(type) {
	case nil, bool, string, float64, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return value, true
	case float32:
		return float64(v), true
	case map[string]any:
		return plainMap(v, depth)
	case []any:
		return plainList(v, depth)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, false
	}
	var out any
	err = json.Unmarshal(text, &out)
	return out, err == nil
}

func plainMap(given map[string]any, depth int) (any, bool) {
	if depth == maxDepth {
		return nil, false
	}
	out := make(map[string]any, len(given))
	for name, value := range given {
		var ok bool
		if out[name], ok = plain(value, depth+1); !ok {
			return nil, false
		}
	}
	return out, true
}

func plainList(given []any, depth int) (any, bool) {
	if depth == maxDepth {
		return nil, false
	}
	out := make([]any, len(given))
	for i, value := range given {
		var ok bool
		if out[i], ok = plain(value, depth+1); !ok {
			return nil, false
		}
	}
	return out, true
}

// clone copies a value of a definition, which is JSON's.
func clone(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := maps.Clone(v)
		for name, inner := range out {
			out[name] = clone(inner)
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i, inner := range out {
			out[i] = clone(inner)
		}
		return out
	}
	return value
}
