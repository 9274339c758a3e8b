package flagd

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a rule, with what it refers to counted each time.
const (
	maxRuleNodes = 10_000 // lists of constants count as one
	maxRuleDepth = 256
)

// compiled is a rule that was understood, or a part of one.
type compiled struct {
	node        node
	size, depth int
	loops       int     // the most loops in one another
	values      float64 // all values, those of lists of constants as well
	raw         any     // the rule as the library takes it
}

// A compiler turns the rules of a file into nodes and collects what is wrong.
type compiler struct {
	*report
	evaluators map[string]any
	done       map[string]*compiled // by evaluator; nil while it is being compiled
	nested     int                  // evaluators that are being compiled
}

// rule compiles what stands at path.
func (c *compiler) rule(path string, v any) compiled {
	switch v := v.(type) {
	case []any:
		return c.list(path, v)
	case map[string]any:
		if len(v) != 1 {
			c.problem(path, "a rule is a mapping with one operator")
			return constantOf(nil)
		}
		for name, args := range v {
			if name == "$ref" {
				return c.reference(path, args)
			}
			return c.operation(path, name, args)
		}
	}
	return constantOf(plain(v))
}

func constantOf(v any) compiled {
	return compiled{node: constant{v}, size: 1, depth: 1, values: 1, raw: v}
}

func (c *compiler) list(path string, elements []any) compiled {
	parts := make([]compiled, len(elements))
	for i, e := range elements {
		parts[i] = c.rule(fmt.Sprintf("%s[%d]", path, i), e)
	}
	whole := together(parts)
	nodes, raw := make(list, len(parts)), make([]any, len(parts))
	fixed := true
	for i, p := range parts {
		nodes[i], raw[i] = p.node, p.raw
		_, isConstant := p.node.(constant)
		fixed = fixed && isConstant
	}
	whole.node, whole.raw = nodes, raw
	if fixed {
		whole.node, whole.size = constant{raw}, 1
	}
	return whole
}

// together is what the parts of a rule make together.
func together(parts []compiled) compiled {
	whole := compiled{size: 1, values: 1}
	for _, p := range parts {
		whole.size = min(whole.size+p.size, maxRuleNodes+1)
		whole.depth = max(whole.depth, p.depth)
		whole.loops = max(whole.loops, p.loops)
		whole.values += p.values
	}
	whole.depth++
	return whole
}

// reference compiles an evaluator when it is first met. As with flagd, one that
// does not exist is an error of those rules only that refer to it.
func (c *compiler) reference(path string, name any) compiled {
	text, isText := name.(string)
	if !isText {
		c.problem(path+".$ref", "must be the name of one of $evaluators")
		return constantOf(nil)
	}
	if done, met := c.done[text]; met {
		if done == nil {
			c.problem(path+".$ref", "refers to the evaluator that it is part of")
			return constantOf(nil)
		}
		return *done
	}
	if _, exists := c.evaluators[text]; !exists {
		c.warn(path+".$ref", "is none of $evaluators: what comes to it ends with PARSE_ERROR")
		return compiled{node: broken{}, size: 1, depth: 1, values: 1, raw: map[string]any{"$ref": text}}
	}
	if c.nested >= maxRuleDepth {
		c.problem(path+".$ref", fmt.Sprintf("is the last of more than %d references in a row", maxRuleDepth))
		return constantOf(nil)
	}
	return c.evaluator(text)
}

// evaluator compiles one of $evaluators, unless that was done.
func (c *compiler) evaluator(name string) compiled {
	if done := c.done[name]; done != nil {
		return *done
	}
	path := "$evaluators." + name
	if _, isMap := c.evaluators[name].(map[string]any); !isMap {
		c.problem(path, "expected a mapping")
	}
	c.done[name] = nil
	c.nested++
	result := c.rule(path, c.evaluators[name])
	c.nested--
	c.bounded(path, result)
	c.done[name] = &result
	return result
}

// bounded reports a rule that is too large.
func (c *compiler) bounded(path string, rule compiled) {
	if rule.size > maxRuleNodes || rule.depth > maxRuleDepth {
		c.problem(path, fmt.Sprintf("is larger than %d values or nested deeper than %d, with what it refers to", maxRuleNodes, maxRuleDepth))
	}
}

// broken is what cannot be evaluated.
type broken struct{}

func (broken) eval(r *run) any { return r.fail() }

// An operator is how one of them is compiled. Arguments are least to most, no
// bound where most is 0.
type operator struct {
	least, most int
	lenient     bool // another number is but doubtful: it gives null
	loop        bool
	build       func(args []compiled) node // nil: left to the library
}

// operation compiles an operator with its arguments.
func (c *compiler) operation(path, name string, given any) compiled {
	op, known := operators[name]
	at := path + "." + name
	switch {
	case !known:
		c.problem(at, "is no operator"+suggestion(name))
		return constantOf(nil)
	case name == "var":
		return c.variable(at, given)
	}
	args, isList := given.([]any)
	if !isList && (name == "!" || name == "!!") {
		arg := c.rule(at, given)
		whole := together([]compiled{arg})
		whole.node, whole.raw = &negation{arg: arg.node, double: name == "!!"}, map[string]any{name: arg.raw}
		return whole
	}
	if !isList {
		c.problem(at, "expected a list of arguments")
		return constantOf(nil)
	}
	fits := len(args) >= op.least && (op.most == 0 || len(args) <= op.most)
	switch {
	case !fits && op.lenient:
		c.warn(at, "takes "+op.arguments()+": gives null")
	case !fits:
		c.problem(at, "takes "+op.arguments())
	}
	parts := make([]compiled, len(args))
	raw := make([]any, len(args))
	for i, arg := range args {
		parts[i] = c.rule(fmt.Sprintf("%s[%d]", at, i), arg)
		raw[i] = parts[i].raw
	}
	whole := together(parts)
	whole.raw = map[string]any{name: raw}
	if check := checks[name]; check != nil {
		whole.raw = check(c, at, args, parts, raw)
	}
	if op.loop {
		whole.loops++
	}
	switch {
	case !fits:
		whole.node = nothing{listOf(parts)}
	case op.build == nil:
		whole.node = newLibrary(whole)
	default:
		whole.node = op.build(parts)
	}
	return whole
}

// nothing gives null, after its arguments were evaluated.
type nothing struct{ args list }

func (n nothing) eval(r *run) any {
	n.args.eval(r)
	return nil
}

func (o operator) arguments() string {
	switch {
	case o.most == 0:
		return fmt.Sprintf("at least %d arguments", o.least)
	case o.least == o.most:
		return fmt.Sprintf("%d arguments", o.least)
	}
	return fmt.Sprintf("%d to %d arguments", o.least, o.most)
}

func suggestion(name string) string {
	for known := range operators {
		if strings.EqualFold(known, name) {
			return fmt.Sprintf("; did you mean %q?", known)
		}
	}
	return ""
}

// variable compiles var: a path, or a list of a path and what stands for
// nothing.
func (c *compiler) variable(at string, given any) compiled {
	raw := normal(given)
	whole := compiled{size: 1, depth: 1, values: 1, raw: map[string]any{"var": raw}}
	var otherwise node
	var steps []step
	switch v := raw.(type) {
	case string:
		steps = c.path(at, v)
	case float64:
		steps = c.path(at, strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		steps, otherwise = c.pathOrElse(at, v)
	case map[string]any:
		whole = c.rule(at, given)
		whole.size, whole.depth, whole.values, whole.raw = whole.size+1, whole.depth+1, whole.values+1, map[string]any{"var": whole.raw}
	}
	if len(steps) == 0 { // the whole context, or a path that is computed
		whole.node = newLibrary(whole)
		return whole
	}
	whole.node = &variable{path: steps, otherwise: otherwise}
	return whole
}

// pathOrElse reads a path and what stands for nothing.
func (c *compiler) pathOrElse(at string, l []any) (steps []step, otherwise node) {
	if len(l) == 0 {
		c.problem(at, "expected a path")
		return nil, nil
	}
	path, isText := l[0].(string)
	if !isText {
		c.problem(at+"[0]", "expected a path")
	}
	for i, v := range l[1:] {
		if isCollection(v) {
			c.problem(fmt.Sprintf("%s[%d]", at, i+1), "expected a single value")
		}
	}
	if len(l) == 2 {
		otherwise = constant{l[1]}
	}
	return c.path(at+"[0]", path), otherwise
}

// path takes a path apart. Empty parts do not count.
func (c *compiler) path(at, path string) []step {
	if under, ok := strings.CutPrefix(path, flagdName+"."); ok && under != "flagKey" && under != "timestamp" {
		c.problem(at, "of $flagd there are flagKey and timestamp")
	}
	var steps []step
	for part := range strings.SplitSeq(path, ".") {
		if part != "" {
			index, _ := number(part)
			steps = append(steps, step{name: part, index: int(index)})
		}
	}
	return steps
}

// normal is v with its numbers as float64, deep down as well.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = normal(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = normal(value)
		}
		return l
	}
	return plain(v)
}

func listOf(parts []compiled) list {
	l := make(list, len(parts))
	for i, p := range parts {
		l[i] = p.node
	}
	return l
}
