package flagd

import (
	"bytes"

	"github.com/handrail-go/handrail/flags"
)

// A node is a compiled rule. It does not change; a run does.
type node interface{ eval(r *run) any }

// run is one evaluation.
type run struct {
	ec      flags.EvaluationContext
	flagKey any // a string
	now     int64
	failed  bool    // the rule cannot be evaluated: PARSE_ERROR
	tooMuch bool    // nor should it be tried: INVALID_CONTEXT
	steps   float64 // of the library, so far, at most
}

func (r *run) fail() any {
	r.failed = true
	return nil
}

// attribute is what the root of the context has under a name.
func (r *run) attribute(name string) any {
	switch {
	case name == flagdName:
		return map[string]any{"flagKey": r.flagKey, "timestamp": float64(r.now)}
	case name == targetingKeyName && r.ec.TargetingKey != "":
		return r.ec.TargetingKey
	}
	return plain(r.ec.Attributes[name])
}

const (
	flagdName        = "$flagd"
	targetingKeyName = "targetingKey"
)

type constant struct{ value any }

func (c constant) eval(*run) any { return c.value }

// list evaluates to a list.
type list []node

func (l list) eval(r *run) any {
	values := make([]any, len(l))
	for i, n := range l {
		values[i] = n.eval(r)
	}
	return values
}

// A variable is a path into the context.
type variable struct {
	path      []step // not empty
	otherwise node   // nil: nothing
}

// A step leads into a map by name or into a list by index.
type step struct {
	name  string
	index int
}

func (v *variable) eval(r *run) any {
	var value any
	switch first := v.path[0].name; {
	case first == flagdName && len(v.path) == 2 && v.path[1].name == "flagKey":
		return r.flagKey
	case first == flagdName && len(v.path) == 2 && v.path[1].name == "timestamp":
		return float64(r.now)
	default:
		value = r.attribute(first)
	}
	for _, s := range v.path[1:] {
		switch at := value.(type) {
		case map[string]any:
			value = plain(at[s.name])
		case []any:
			value = nil
			if s.index >= 0 && s.index < len(at) {
				value = plain(at[s.index])
			}
		default:
			value = nil
		}
	}
	if value == nil && v.otherwise != nil {
		return v.otherwise.eval(r)
	}
	return value
}

// conditional is if: condition, result, condition, result, otherwise.
type conditional []node

func (c conditional) eval(r *run) any {
	i := 0
	for ; i+1 < len(c); i += 2 {
		if truthy(c[i].eval(r)) {
			return c.result(r, i+1)
		}
	}
	if i < len(c) {
		return c.result(r, i)
	}
	return nil
}

// result is that of a branch. The library would run a map with one entry as a
// rule; rules do not come out of the context here.
func (c conditional) result(r *run, i int) any {
	v := c[i].eval(r)
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		return r.fail()
	}
	return v
}

// junction is and (until false) and or (until true).
type junction struct {
	until bool
	args  []node
}

func (j *junction) eval(r *run) any {
	var last any
	for _, n := range j.args {
		if last = n.eval(r); truthy(last) == j.until {
			break
		}
	}
	return last
}

// negation is !, and !! where double. Of a list, the first element counts.
type negation struct {
	arg    node
	double bool
}

func (n *negation) eval(r *run) any {
	v := n.arg.eval(r)
	if l, ok := v.([]any); ok && len(l) > 0 {
		v = plain(l[0])
	}
	return truthy(v) == n.double
}

// relation compares two values, or three of which the second lies between.
type relation struct {
	holds   func(a, b any) bool
	a, b, c node // c may be nil
	not     bool
}

func (c *relation) eval(r *run) any {
	a, b := c.a.eval(r), c.b.eval(r)
	holds := c.holds(a, b)
	if c.c != nil {
		third := c.c.eval(r)
		holds = holds && c.holds(b, third)
	}
	return holds != c.not
}

// member is in.
type member struct {
	a, b  node
	names map[string]bool // b, where it is a constant list of strings
}

func (m *member) eval(r *run) any {
	a := m.a.eval(r)
	if name, ok := a.(string); ok && m.names != nil {
		return m.names[name]
	}
	found, ok := within(a, m.b.eval(r))
	if !ok {
		return r.fail()
	}
	return found
}

// arithmetic is an operator over numbers, from left to right.
type arithmetic struct {
	combine func(a, b float64) float64
	args    []node
	minus   bool // of one alone
}

func (a *arithmetic) eval(r *run) any {
	var result float64
	for i, n := range a.args {
		x, ok := number(n.eval(r))
		switch {
		case !ok:
			return r.fail()
		case i == 0:
			result = x
		default:
			result = a.combine(result, x)
		}
	}
	if a.minus && len(a.args) == 1 {
		result = -result
	}
	return result
}

func larger(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

func smaller(a, b float64) float64 {
	if a > b {
		return b
	}
	return a
}

func plus(a, b float64) float64    { return a + b }
func minus(a, b float64) float64   { return a - b }
func times(a, b float64) float64   { return a * b }
func divided(a, b float64) float64 { return a / b }

// maxTextBytes bounds what cat makes.
const maxTextBytes = 1 << 20

// concatenation is cat. White space around the whole is cut off, unless there
// is but one argument.
type concatenation []node

func (c concatenation) eval(r *run) any {
	var stack [128]byte
	joined, ok := c.appendTo(stack[:0], r)
	if !ok {
		return r.fail()
	}
	return string(joined)
}

func (c concatenation) appendTo(dst []byte, r *run) ([]byte, bool) {
	for _, n := range c {
		part, ok := r.text(n)
		if !ok || len(dst)+len(part) > maxTextBytes {
			return nil, false
		}
		dst = append(dst, part...)
	}
	if len(c) > 1 {
		return bytes.TrimSpace(dst), true
	}
	return dst, true
}

// text is what cat takes n for. The targeting key need not be put into an
// interface.
func (r *run) text(n node) (string, bool) {
	v, ok := n.(*variable)
	if ok && len(v.path) == 1 && v.path[0].name == targetingKeyName && r.ec.TargetingKey != "" {
		return r.ec.TargetingKey, true
	}
	return text(n.eval(r))
}

// affix is starts_with and ends_with. What is no text has no beginning: null.
type affix struct {
	found   func(s, part string) bool
	s, part node
}

func (a *affix) eval(r *run) any {
	s, ok := a.s.eval(r).(string)
	part, also := a.part.eval(r).(string)
	if !ok || !also {
		return nil
	}
	return a.found(s, part)
}
