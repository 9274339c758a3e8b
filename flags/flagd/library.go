package flagd

import (
	"errors"
	"math"
	"strings"
	"sync"

	"github.com/diegoholiveira/jsonlogic/v3"
)

// Bounds of what is left to the library. It walks lists of the context, lists
// in lists if a rule says so, and it runs as a rule what looks like one, even
// in the context, without bound on depth.
const (
	maxContextDepth = 64
	maxContextNodes = 100_000
	maxLibrarySteps = 400_000 // in one evaluation; see [library.cost]
	maxLibraryText  = 64 << 10
	bytesPerNode    = 32 // so much text counts as one more value of the context
)

// errTooLarge is what an operator ends an evaluation with, as the library's own
// do with theirs: by a panic that the library makes an error.
var errTooLarge = errors.New("a rule makes what is too large")

// ours is put before the names of flagd's operators in rules for the library:
// it has one table of operators for the whole process, in which others, such as
// flagd's own packages, set theirs.
const ours = "handrail "

// library evaluates a rule by the JSONLogic library.
type library struct {
	rule  any     // with references resolved, numbers as float64, our operators under our names
	size  float64 // values in rule
	loops float64 // the most loops in one another
}

func newLibrary(rule compiled) *library {
	registerOnce()
	return &library{rule: rule.raw, size: rule.values, loops: float64(rule.loops)}
}

// registerOnce adds flagd's operators to the library's table.
var registerOnce = sync.OnceFunc(func() {
	jsonlogic.AddOperator(ours+"starts_with", func(args, _ any) any { return affixOf(strings.HasPrefix, args) })
	jsonlogic.AddOperator(ours+"ends_with", func(args, _ any) any { return affixOf(strings.HasSuffix, args) })
	jsonlogic.AddOperator(ours+"sem_ver", func(args, _ any) any {
		if l, ok := args.([]any); ok && len(l) == 3 {
			return semVerOf(l[0], l[1], l[2])
		}
		return nil
	})
	jsonlogic.AddOperator(ours+"fractional", func(args, data any) any {
		root, _ := data.(map[string]any)
		properties, _ := root[flagdName].(map[string]any)
		return fractionalOf(args, properties["flagKey"], root[targetingKeyName])
	})
	jsonlogic.AddOperator(ours+"cat", func(args, _ any) any { return joined(args) })
	jsonlogic.AddOperator(ours+"merge", func(args, _ any) any { return merged(args) })
})

// joined is cat. The library's own would let a loop double a text with each
// element.
func joined(args any) any {
	parts, _ := args.([]any)
	var all strings.Builder
	for _, v := range parts {
		part, ok := text(v)
		if !ok || all.Len()+len(part) > maxLibraryText {
			panic(errTooLarge)
		}
		all.WriteString(part)
	}
	if len(parts) > 1 {
		return strings.TrimSpace(all.String())
	}
	return all.String()
}

// merged is merge.
func merged(args any) any {
	parts, _ := args.([]any)
	all := make([]any, 0, len(parts))
	for _, v := range parts {
		l, isList := v.([]any)
		if !isList {
			l = []any{v}
		}
		if len(all)+len(l) > maxContextNodes {
			panic(errTooLarge)
		}
		all = append(all, l...)
	}
	return all
}

func affixOf(found func(s, part string) bool, args any) any {
	l, ok := args.([]any)
	if !ok || len(l) != 2 {
		return nil
	}
	s, ok := l[0].(string)
	part, also := l[1].(string)
	if !ok || !also {
		return nil
	}
	return found(s, part)
}

// cost is how many values the library looks at, at most, where the context has so
// many: the context once, to copy it; the rule, as often as its loops turn; and,
// since a loop puts lists of the context into its rule, one half of the context
// for each element of the other.
func (l *library) cost(context float64) float64 {
	steps := context + l.size*math.Pow(l.size+context, l.loops)
	if l.loops > 0 {
		steps += context * context / 4
	}
	return steps
}

func (l *library) eval(r *run) any {
	c := copier{}
	data, ok := c.copy(r.ec.Attributes, 0).(map[string]any)
	r.steps += l.cost(float64(c.nodes + c.bytes/bytesPerNode))
	if !ok || r.steps > maxLibrarySteps {
		r.tooMuch = true
		return r.fail()
	}
	data[targetingKeyName] = r.attribute(targetingKeyName)
	data[flagdName] = r.attribute(flagdName)
	v, err := jsonlogic.ApplyInterface(l.rule, data)
	if err != nil {
		return r.fail()
	}
	return v
}

// A copier copies values of the context: Go's numbers become float64, deep down
// as well, and the library gets nothing that is shared.
type copier struct{ nodes, bytes int }

// copy gives nil for a map that is too deep, too large, or looks like a rule.
// The list or the map around it is nil as well.
func (c *copier) copy(v any, depth int) any {
	if c.nodes++; c.nodes > maxContextNodes || depth > maxContextDepth {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v)+2)
		for key, value := range v {
			if len(v) == 1 && depth > 0 && isLibraryOperator(key) {
				return nil
			}
			copied := c.copy(value, depth+1)
			if copied == nil && isCollection(value) {
				return nil
			}
			c.bytes += len(key)
			m[key] = copied
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			if l[i] = c.copy(value, depth+1); l[i] == nil && isCollection(value) {
				return nil
			}
		}
		return l
	case string:
		c.bytes += len(v)
		return v
	}
	return plain(v)
}

func isCollection(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// isLibraryOperator reports whether the library may run a map with one entry of
// that name.
func isLibraryOperator(name string) bool {
	switch name {
	case "abs", "set", "?:", "contains_all", "contains_any", "contains_none", "in_sorted":
		return true
	}
	_, known := operators[name]
	return known || strings.HasPrefix(name, ours)
}
