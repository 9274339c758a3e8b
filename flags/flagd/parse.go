package flagd

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// Parse compiles flagd's definitions in JSON or YAML: an object of flags, with
// $evaluators and metadata beside them, or a list of flags that name their key.
// Name stands in errors; one that ends in .json makes YAML an error. The result
// is for [flags.Config].Parse.
//
// A file that does not conform to flagd's JSON Schema is an error, except for
// what flagd's own test suite has otherwise: that and keys that mean nothing
// are warnings. All problems are returned at once, joined; each matches
// *flags.DefinitionError.
//
// Bounds are those of package flags, and a rule, with what it refers to, has at
// most 10,000 values, where a list of constants counts as one.
func Parse(name string, data []byte) (*flags.Set, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, definitionErrors(err)
	}
	var root map[string]any
	if err := doc.Decode(&root, nil); err != nil {
		return nil, definitionErrors(err)
	}
	p := parser{report: &report{doc: doc}}
	p.rules = compiler{report: p.report, done: map[string]*compiled{}}
	list := p.root(root)
	if err := p.err(); err != nil {
		return nil, err
	}
	p.tellRules(list)
	return flags.NewSet(flags.VersionOf(data), p.texts(), list)
}

// parser turns what the file says into flags.
type parser struct {
	*report
	rules    compiler
	metadata map[string]any
	parsed   []parsedFlag // as many as flags, in their order
}

// parsedFlag is a flag and its rule as the file has it.
type parsedFlag struct {
	*flag

	targeting any
}

// tellRules fills in what flags decide by, once nothing is wrong with that.
func (p *parser) tellRules(list []flags.Custom) {
	d := digester{evaluators: p.rules.evaluators, done: map[string]digest{}}
	for i, f := range p.parsed {
		list[i].Rules = d.flag(f.flag, f.targeting)
	}
}

func (p *parser) root(root map[string]any) []flags.Custom {
	p.known("", root, "flags", "$evaluators", "metadata", "$schema")
	p.metadata = p.metadataOf("metadata", root["metadata"])
	if given, ok := root["$evaluators"]; ok {
		evaluators, isMap := given.(map[string]any)
		if !isMap {
			p.problem("$evaluators", "expected a mapping")
		}
		p.rules.evaluators = evaluators
		for _, name := range slices.Sorted(maps.Keys(evaluators)) {
			p.rules.evaluator(name)
		}
	}
	var list []flags.Custom
	switch all := root["flags"].(type) {
	case map[string]any:
		if len(all) > flags.MaxFlags {
			break
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			list = append(list, p.flag("flags."+key, key, all[key]))
		}
		return list
	case []any:
		if len(all) > flags.MaxFlags {
			break
		}
		return p.list(all)
	default:
		p.problem("flags", "is required: a mapping of flags, or a list")
		return nil
	}
	p.problem("flags", fmt.Sprintf("holds more than %d flags", flags.MaxFlags))
	return nil
}

// list reads flags that name their key.
func (p *parser) list(all []any) []flags.Custom {
	seen := map[string]bool{}
	var list []flags.Custom
	for i, given := range all {
		path := fmt.Sprintf("flags[%d]", i)
		fields, _ := given.(map[string]any)
		key, _ := fields["key"].(string)
		if seen[key] {
			p.problem(path+".key", "is the key of an earlier flag")
		}
		seen[key] = true
		list = append(list, p.flag(path, key, given))
	}
	return list
}

func (p *parser) flag(path, key string, given any) flags.Custom {
	fields, isMap := given.(map[string]any)
	if !isMap {
		p.problem(path, "expected a mapping")
		return flags.Custom{}
	}
	if key == "" || len(key) > flags.MaxKeyBytes || !utf8.ValidString(key) {
		p.problem(path, fmt.Sprintf("a flag's key is 1 to %d bytes", flags.MaxKeyBytes))
	}
	p.known(path, fields, "state", "variants", "defaultVariant", "targeting", "metadata", "key", "source")
	f := &flag{key: key, variants: map[string]*answer{}}
	def := flags.Definition{Key: key, Enabled: true, Inject: true, OnExpiry: flags.ExpiryKeep}
	switch fields["state"] {
	case "ENABLED":
	case "DISABLED":
		def.Enabled, f.disabled = false, true
	default:
		p.problem(path+".state", "must be ENABLED or DISABLED")
	}
	def.Metadata = p.merged(path+".metadata", fields["metadata"])
	f.metadata = def.Metadata
	p.describe(path+".metadata", &def)
	def.Variants = p.variants(path+".variants", fields["variants"], f)
	p.defaultVariant(path, fields, f)
	p.targeting(path, fields, f)
	p.parsed = append(p.parsed, parsedFlag{f, fields["targeting"]})
	return flags.Custom{Definition: def, Evaluate: f.evaluate}
}

// variants reads those of a flag, by name.
func (p *parser) variants(path string, given any, f *flag) []flags.Variant {
	all, isMap := given.(map[string]any)
	if !isMap || len(all) == 0 || len(all) > flags.MaxVariants {
		p.problem(path, fmt.Sprintf("expected a mapping of 1 to %d variants", flags.MaxVariants))
		return nil
	}
	var list []flags.Variant
	kind := ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := all[name]
		if name == "" || len(name) > flags.MaxKeyBytes {
			p.problem(path+"."+name, fmt.Sprintf("a variant's name is 1 to %d bytes", flags.MaxKeyBytes))
		}
		switch k := kindOf(value); {
		case k == "":
			p.problem(path+"."+name, "expected true, false, a text, a number or a mapping")
		case kind == "":
			kind = k
		case k != kind:
			p.problem(path+"."+name, "must be "+kind+", as other variants are")
		}
		list = append(list, flags.Variant{Name: name, Value: value})
		f.variants[name] = &answer{name: name, value: value, on: value != false}
	}
	return list
}

func kindOf(value any) string {
	switch value.(type) {
	case bool:
		return "true or false"
	case string:
		return "a text"
	case int64, float64:
		return "a number"
	case map[string]any:
		return "a mapping"
	}
	return ""
}

// defaultVariant may be null or absent: the caller's own default counts then.
func (p *parser) defaultVariant(path string, fields map[string]any, f *flag) {
	switch name := fields["defaultVariant"].(type) {
	case nil:
	case string:
		f.otherwise = f.variants[name]
		if f.otherwise == nil && name != "" {
			p.problem(path+".defaultVariant", "is none of the variants")
		}
	default:
		p.problem(path+".defaultVariant", "expected the name of a variant, or null")
	}
}

func (p *parser) targeting(path string, fields map[string]any, f *flag) {
	given, ok := fields["targeting"]
	if !ok {
		return
	}
	path += ".targeting"
	rule, isMap := given.(map[string]any)
	switch {
	case !isMap:
		p.problem(path, "expected a mapping")
	case len(rule) > 0:
		before := len(p.problems)
		compiled := p.rules.rule(path, rule)
		p.rules.bounded(path, compiled)
		if len(p.problems) == before {
			p.results(path, rule, f)
		}
		f.targeting = compiled.node
	}
}

// results looks for variants that a rule gives but that do not exist. Rules
// were found small and without circles before.
func (p *parser) results(path string, v any, f *flag) {
	switch v := v.(type) {
	case string:
		if f.variants[v] == nil {
			p.warn(path, "is none of the variants")
		}
	case map[string]any:
		for name, given := range v {
			if name == "$ref" {
				if rule, ok := p.rules.evaluators[fmt.Sprint(given)].(map[string]any); ok {
					p.results(path, rule, f)
				}
				return
			}
			args, _ := given.([]any)
			for i, arg := range args {
				at := fmt.Sprintf("%s.%s[%d]", path, name, i)
				share, isShare := arg.([]any)
				switch {
				case name == "if" && (i%2 == 1 || i == len(args)-1):
					p.results(at, arg, f)
				case name == "fractional" && isShare && len(share) > 0:
					if variant, ok := share[0].(string); ok && f.variants[variant] == nil {
						p.problem(at+"[0]", "is none of the variants")
					}
				}
			}
		}
	}
}

// known warns of keys that mean nothing.
func (p *parser) known(path string, fields map[string]any, names ...string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(names, name) {
			at := name
			if path != "" {
				at = path + "." + name
			}
			p.warn(at, "is no key of flagd's and has no effect")
		}
	}
}
