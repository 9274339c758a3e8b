package envcheck

import (
	"slices"
	"strings"
)

// What decorators there are. Those that only concern code generation and the
// JavaScript runtime of other tools are accepted and change nothing.
func itemDecorators() []string {
	return []string{"required", "optional", "sensitive", "public", "type", "example", "docs", "docsUrl", "deprecated"}
}

func rootDecorators() []string { return []string{"defaultRequired", "defaultSensitive", "currentEnv"} }

func isIgnored(name string) bool {
	return slices.Contains([]string{"icon", "tag", "dynamic", "static", "defaultDynamic", "redactLogs", "preventLeaks", "cache"}, name) ||
		strings.HasPrefix(name, "generate")
}

// isUnsupported are those whose absence would change what a schema means.
func isUnsupported(name string) bool {
	return slices.Contains([]string{"import", "plugin", "setValuesBulk", "disable", "envFlag", "internal"}, name)
}

func isRoot(name string) bool { return slices.Contains(rootDecorators(), name) }

// unknown says why a decorator is not taken; it repeats known names only.
func unknown(name string, known []string) string {
	if isUnsupported(name) {
		return "@" + name + " is not supported"
	}
	return "unknown decorator; there are @" + strings.Join(known, ", @")
}

// root applies a decorator of the header.
func (p *schemaParser) root(d decorator) {
	if isIgnored(d.name) {
		return
	}
	if isRoot(d.name) && p.rootSeen[d.name] {
		p.failAt(d.at, "@"+d.name+" is given twice")
		return
	}
	p.rootSeen[d.name] = true
	switch d.name {
	case "defaultRequired":
		p.defaultRequired = p.oneOf(d, "true", "false", "infer")
	case "defaultSensitive":
		p.rootSensitive(d)
	case "currentEnv":
		name, ok := "", d.value != nil && d.value.kind == plainText
		if ok {
			name, ok = strings.CutPrefix(d.value.text, "$")
		}
		if !ok || name == "" {
			p.failAt(d.at, "@currentEnv must refer to a variable, such as @currentEnv=$APP_ENV")
			return
		}
		p.schema.currentEnv, p.currentEnvAt = name, d.at
	default:
		if slices.Contains(itemDecorators(), d.name) {
			p.failAt(d.at, "@"+d.name+" belongs to a variable, without a blank line or a divider between")
			return
		}
		p.failAt(d.at, unknown(d.name, rootDecorators()))
	}
}

func (p *schemaParser) rootSensitive(d decorator) {
	if d.value != nil && d.value.kind == function && d.value.text == "inferFromPrefix" {
		args := d.value.args
		if len(args) != 1 || !args[0].isText() || args[0].key != "" {
			p.failAt(d.at, "inferFromPrefix needs one prefix, such as inferFromPrefix(PUBLIC_)")
			return
		}
		p.defaultSensitive = func(name string) bool { return !strings.HasPrefix(name, args[0].text) }
		return
	}
	sensitive := p.oneOf(d, "true", "false") == "true"
	p.defaultSensitive = func(string) bool { return sensitive }
}

// oneOf is the value of a decorator that takes a few words; @name alone is the
// first of them.
func (p *schemaParser) oneOf(d decorator, words ...string) string {
	switch {
	case !d.call && d.value == nil:
		return words[0]
	case !d.call && d.value.kind == plainText && slices.Contains(words, d.value.text):
		return d.value.text
	}
	p.failAt(d.at, "@"+d.name+" must be "+strings.Join(words, " or "))
	return words[0]
}

// apply makes a variable of its decorators and the defaults of the header.
func (p *schemaParser) apply(v *variable, implied string) {
	v.required.fixed = p.defaultRequired == "true" || p.defaultRequired == "infer" && v.HasDefault
	v.Sensitive = p.defaultSensitive(v.Name)
	typ := argument{text: implied}
	if implied == "" {
		typ.text = "string"
	}
	seen := map[string]bool{}
	for _, d := range p.decorators {
		group := d.name
		switch d.name {
		case "optional":
			group = "required"
		case "public":
			group = "sensitive"
		}
		if seen[group] && d.name != "docs" && !isIgnored(d.name) {
			p.failAt(d.at, "this decorator is given twice, or contradicts another one")
			continue
		}
		seen[group] = true
		switch d.name {
		case "required", "optional":
			v.required = p.condition(d)
		case "sensitive", "public":
			v.Sensitive = p.sensitive(d)
		case "type":
			if d.value == nil || d.value.kind != function && !d.value.isText() {
				p.failAt(d.at, "@type needs a type; there are "+strings.Join(typeNames(), ", "))
				continue
			}
			typ = *d.value
		default:
			p.describe(v, d)
		}
	}
	p.compile(v, typ)
}

// describe applies the decorators that change no check.
func (p *schemaParser) describe(v *variable, d decorator) {
	switch {
	case isIgnored(d.name):
	case d.name == "example" || d.name == "docsUrl":
		if d.value == nil || !d.value.isText() {
			p.failAt(d.at, "@"+d.name+" needs a text")
		} else if d.name == "example" {
			v.Example = d.value.text
		} else {
			v.Docs = append(v.Docs, d.value.text)
		}
	case d.name == "docs":
		if !d.call || len(d.args) < 1 || len(d.args) > 2 || !d.args[len(d.args)-1].isText() {
			p.failAt(d.at, "@docs needs an address, such as @docs(https://example.com) or @docs(\"Title\", https://example.com)")
			return
		}
		v.Docs = append(v.Docs, d.args[len(d.args)-1].text)
	case d.name == "deprecated":
		v.Deprecated = true
		switch {
		case d.value != nil && d.value.kind == quotedText:
			v.Instead = d.value.text
		default:
			v.Deprecated = p.oneOf(d, "true", "false") == "true"
		}
	case isRoot(d.name):
		p.failAt(d.at, "@"+d.name+" belongs into the header: end it with a blank line or # ---")
	default:
		p.failAt(d.at, unknown(d.name, itemDecorators()))
	}
}

// condition reads @required and @optional.
func (p *schemaParser) condition(d decorator) condition {
	negate := d.name == "optional"
	if d.value == nil || d.value.kind != function {
		return condition{fixed: (p.oneOf(d, "true", "false") == "true") != negate}
	}
	c := condition{negate: negate}
	for _, a := range d.value.args {
		if a.isText() && a.key == "" && a.text != "" && !strings.Contains(a.text, "$") {
			c.environments = append(c.environments, canonicalEnvironment(a.text))
		}
	}
	if d.value.text != "forEnv" || len(c.environments) == 0 || len(c.environments) != len(d.value.args) {
		p.failAt(d.value.at, "@"+d.name+" takes true, false or forEnv(production, …)")
	}
	return c
}

// sensitive reads @sensitive, @public and @sensitive={enabled=…}; the other
// settings of the object concern the runtime of other tools.
func (p *schemaParser) sensitive(d decorator) bool {
	if d.value != nil && d.value.kind == object {
		for _, a := range d.value.args {
			if a.key == "enabled" {
				enabled := p.oneOf(decorator{name: d.name, at: a.at, value: &a}, "true", "false")
				return (enabled == "true") == (d.name == "sensitive")
			}
		}
		return d.name == "sensitive"
	}
	return (p.oneOf(d, "true", "false") == "true") == (d.name == "sensitive")
}

// compile turns a type into rules.
func (p *schemaParser) compile(v *variable, typ argument) {
	v.Type = typ.text
	var members []string
	var opts []option
	var places []int // of the options
	for _, a := range typ.args {
		o := option{name: a.key, value: a.text}
		switch {
		case a.kind == list:
			o.list = []string{}
			for _, item := range a.args {
				o.list = append(o.list, item.text)
			}
		case a.kind == function && a.text == "regex" && a.key == "matches":
			o.value = regexArgument(a.args)
		case !a.isText() || a.kind == plainText && strings.HasPrefix(a.text, "$"):
			p.failAt(a.at, "must be a text: functions and references are not supported here")
			continue
		}
		if a.key == "" {
			members = append(members, a.text)
			continue
		}
		opts = append(opts, o)
		places = append(places, a.at)
	}
	rules, errs := compileRules(typ.text, members, opts)
	for _, e := range errs {
		at := typ.at
		if e.index >= 0 {
			at = places[e.index]
		}
		p.failAt(at, e.reason)
	}
	v.rules = rules
	v.Expected = rules.expected()
}

// regexArgument writes regex("pattern", "flags") as /pattern/flags. Anything
// else gives "", which is no pattern.
func regexArgument(args []argument) string {
	switch {
	case len(args) == 1 && args[0].isText():
		return args[0].text
	case len(args) == 2 && args[0].isText() && args[1].isText():
		return "/" + strings.ReplaceAll(args[0].text, "/", `\/`) + "/" + args[1].text
	}
	return ""
}
