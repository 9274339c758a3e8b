package envcheck

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// schemaParser reads a schema line by line. A mistake costs its line only.
type schemaParser struct {
	cursor
	schema *Schema

	// The comment block being read, until an item, a blank line or a divider.
	decorators []decorator
	text       []string

	defaultRequired  string // "true", "false" or "infer"
	defaultSensitive func(name string) bool
	rootSeen         map[string]bool
	currentEnvAt     int
}

func parseSchema(name, src string) (*Schema, error) {
	p := &schemaParser{
		cursor:           cursor{file: name, src: src},
		schema:           &Schema{name: name, byName: map[string]*variable{}},
		defaultRequired:  "infer",
		defaultSensitive: func(string) bool { return true },
		rootSeen:         map[string]bool{},
	}
	for !p.done() && !p.full() {
		p.blanks()
		switch p.peek() {
		case '\n':
			p.endBlock()
		case '#':
			p.comment()
		default:
			p.item()
			p.decorators, p.text = nil, nil
		}
		p.nextLine()
	}
	p.endBlock()
	p.checkReferences()
	if name := p.schema.currentEnv; name != "" && p.schema.byName[name] == nil {
		p.failAt(p.currentEnvAt, "@currentEnv refers to a variable that this schema does not define")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.schema, nil
}

// comment reads a comment line into the current block, or ends it at a divider.
func (p *schemaParser) comment() {
	p.eat('#')
	p.blanks()
	switch {
	case strings.Trim(p.src[p.pos:min(p.pos+3, len(p.src))], "-=*#") == "" && p.pos+3 <= p.lineEnd():
		p.endBlock()
	case p.peek() == '@':
		p.decorators = append(p.decorators, p.decoratorLine()...)
	default:
		p.text = append(p.text, strings.TrimRight(p.src[p.pos:p.lineEnd()], " \t"))
	}
}

// commentedOut is a variable that was made a comment, with its decorators.
var commentedOut = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\s*=`)

// endBlock ends a comment block that is not attached to a variable. Before the
// first variable it is a part of the header.
func (p *schemaParser) endBlock() {
	inHeader := len(p.schema.variables) == 0
	disabled := len(p.text) > 0 && commentedOut.MatchString(p.text[len(p.text)-1])
	for _, d := range p.decorators {
		switch {
		case disabled:
		case inHeader:
			p.root(d)
		case isRoot(d.name):
			p.failAt(d.at, "@"+d.name+" belongs into the header, above the first variable")
		default:
			p.failAt(d.at, "this decorator belongs to no variable: a blank line or a divider stands between")
		}
	}
	p.decorators, p.text = nil, nil
}

// item reads NAME=value # comment.
func (p *schemaParser) item() {
	name, at, ok := p.key()
	if !ok {
		return
	}
	v := &variable{Variable: Variable{Name: name, Line: p.lineAt(at), Description: strings.Join(p.text, "\n")}}
	v.valueAt = p.pos
	var implied string
	if v.marked, implied, ok = p.value(); ok {
		p.blanks()
		if p.eat('#') {
			p.blanks()
			if p.peek() == '@' {
				p.decorators = append(p.decorators, p.decoratorLine()...)
			}
		}
	}
	v.HasDefault = v.marked != ""
	p.apply(v, implied)
	p.checkDefault(v)
	p.remember(v, at)
}

func (p *schemaParser) remember(v *variable, at int) {
	if first, ok := p.schema.byName[v.Name]; ok {
		p.failAt(at, "this variable is defined already, in line "+strconv.Itoa(first.Line))
		return
	}
	p.schema.byName[v.Name] = v
	p.schema.variables = append(p.schema.variables, v)
	if len(p.schema.variables) == maxVariables+1 {
		p.failAt(at, "more than "+strconv.Itoa(maxVariables)+" variables")
		p.pos = len(p.src)
	}
}

// maxVariables bounds a schema.
const maxVariables = 4096

// functionValue is a function call as a value; the @env-spec has them, we do
// not.
var functionValue = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*\(`)

// value takes the value of an item, references marked. implied is the type that
// an unquoted value implies.
func (p *schemaParser) value() (marked, implied string, ok bool) {
	rest := p.src[p.pos:p.lineEnd()]
	for _, q := range []struct {
		quote           string
		escaping, lines bool
	}{{`"""`, true, true}, {"```", true, true}, {`"`, true, true}, {"'", false, true}, {"`", true, false}} {
		if !strings.HasPrefix(rest, q.quote) {
			continue
		}
		body, ok := p.quoted(q.quote, true, q.lines)
		if !ok || !p.onlyComment() {
			return "", "", false
		}
		body = strings.ReplaceAll(body, `\`+q.quote, q.quote)
		if q.escaping {
			body = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\$`, "$", "$", refMark).Replace(body)
		}
		return body, "", true
	}
	at := p.pos
	rest, _, _ = strings.Cut(rest, "#")
	p.pos += len(rest)
	rest = strings.TrimRight(rest, " \t")
	switch {
	case rest == "" || rest == "undefined":
		return "", "", true
	case functionValue.MatchString(rest):
		p.failAt(at, functionReason(rest))
		return "", "", false
	case (rest[0] == '[' || rest[0] == '{') && !json.Valid([]byte(rest)):
		p.failAt(at, "arrays and objects are not supported as values; quote the text")
		return "", "", false
	}
	return strings.NewReplacer(`\$`, "$", "$", refMark).Replace(rest), impliedByValue(rest), true
}

// functionReason says why a function is refused. It names those of the
// specification only: another name may be a piece of a password.
func functionReason(value string) string {
	name, _, _ := strings.Cut(value, "(")
	switch name {
	case "exec", "execSync", "shell":
		return name + "() would execute a command: refused, a schema executes nothing; set the variable in the environment instead"
	case "ref", "concat", "fallback":
		return name + "() is not supported; write $NAME, ${NAME} or ${NAME:-default}"
	}
	return "functions are refused, a schema executes nothing; quote the value if it is text"
}

// impliedByValue is the type of a variable without @type.
func impliedByValue(text string) string {
	if text == "true" || text == "false" {
		return "boolean"
	}
	f, err := strconv.ParseFloat(text, 64)
	const maxSafe = 1<<53 - 1 // beyond it a double loses digits
	if err == nil && math.Abs(f) <= maxSafe && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return "number"
	}
	return ""
}

// checkDefault refuses a default that breaks its own rules, or whose references
// are malformed, where the schema is written rather than where it is used.
func (p *schemaParser) checkDefault(v *variable) {
	if !v.HasDefault {
		return
	}
	if !strings.Contains(v.marked, refMark) {
		for _, c := range v.rules.broken(v.marked) {
			p.failAt(v.valueAt, fmt.Sprintf("the value breaks the variable's own rule %s: expected %s", c.rule, c.expected))
		}
		return
	}
	_, err := expand(v.marked, func(string) (string, bool) { return "", true })
	if err != nil {
		p.failAt(v.valueAt, err.Error())
	}
}

// maxReferences bounds a chain of values that refer to one another.
const maxReferences = 64

// checkReferences refuses values that refer back to themselves, and endless
// chains.
func (p *schemaParser) checkReferences() {
	heights := map[string]int{} // of the chain below a variable; -1: being worked out
	var height func(v *variable) int
	height = func(v *variable) int {
		if h, ok := heights[v.Name]; ok {
			if h < 0 {
				return maxReferences + 1
			}
			return h
		}
		heights[v.Name] = -1
		h := 0
		for _, name := range references(v.marked) {
			if next, ok := p.schema.byName[name]; ok {
				h = max(h, 1+height(next))
			}
		}
		heights[v.Name] = min(h, maxReferences+1)
		return heights[v.Name]
	}
	for _, v := range p.schema.variables {
		if height(v) > maxReferences && !p.full() {
			p.failAt(v.valueAt, "the value refers back to itself, or to a chain of more than "+strconv.Itoa(maxReferences)+" others")
		}
	}
}
