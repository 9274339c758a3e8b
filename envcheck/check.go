package envcheck

import (
	"slices"
	"strings"
)

// Check compares env with the schema; variables that the schema does not name
// are not looked at. environment is what @required=forEnv(…) is compared with,
// unless the schema names a variable for it (@currentEnv) and that has a value.
// Nothing counts as production; prod, dev and stage as the long names.
//
// A variable that env leaves unset or empty takes the value that the schema
// writes for it; the app gets it through [Schema.Defaults].
func (s *Schema) Check(env map[string]string, environment string) *Report {
	d := s.defaults(env)
	if value, ok := d.lookup(s.currentEnv); ok && s.currentEnv != "" {
		environment = value
	} else {
		environment = canonicalEnvironment(environment)
	}
	r := &Report{Schema: s.name, Environment: s.nameEnvironment(environment), Variables: len(s.variables)}
	for _, v := range s.variables {
		value, ok := d.lookup(v.Name)
		switch {
		case !ok && v.required.holds(environment):
			r.Problems = append(r.Problems, v.missing(s.name))
			continue
		case !ok:
			continue
		}
		broken := v.rules.broken(value)
		mistake := suspicion(v.Type, value)
		for _, c := range broken {
			r.Problems = append(r.Problems, v.problem(s.name, Invalid, c.rule, c.expected, value, mistake))
		}
		if mistake != "" && len(broken) == 0 {
			r.Warnings = append(r.Warnings, v.problem(s.name, Suspicious, "clean", "no wrapping around the value", value, mistake))
		}
		if v.Deprecated && env[v.Name] != "" {
			r.Warnings = append(r.Warnings, v.problem(s.name, Deprecated, "deprecated", "it to be unset", value, v.Instead))
		}
	}
	return r
}

// Defaults returns what the schema adds to env: the value of every variable that
// env leaves unset or empty and that the schema writes one for, with its
// references replaced. A default whose references lead nowhere is left out, and
// is a problem in [Schema.Check] where the variable is required.
//
// Whoever starts an app after a Check that is OK sets these in its environment;
// without them the app would see less than what was checked.
func (s *Schema) Defaults(env map[string]string) map[string]string {
	d := s.defaults(env)
	out := map[string]string{}
	for _, v := range s.variables {
		if env[v.Name] != "" || !v.HasDefault {
			continue
		}
		if value, ok := d.lookup(v.Name); ok {
			out[v.Name] = value
		}
	}
	return out
}

// defaults looks variables up in the environment, then in the schema.
type defaults struct {
	schema *Schema
	env    map[string]string
	known  map[string]string // defaults by name; empty: no value
}

func (s *Schema) defaults(env map[string]string) *defaults {
	return &defaults{schema: s, env: env, known: map[string]string{}}
}

// lookup finds a value; empty counts as unset. Each default is worked out once;
// that none refers back to itself was seen when the schema was parsed.
func (d *defaults) lookup(name string) (string, bool) {
	if value := d.env[name]; value != "" {
		return value, true
	}
	if value, ok := d.known[name]; ok {
		return value, value != ""
	}
	v, ok := d.schema.byName[name]
	if !ok || !v.HasDefault {
		return "", false
	}
	value, err := expand(v.marked, d.lookup)
	if err != nil {
		value = ""
	}
	d.known[name] = value
	return value, value != ""
}

func (v *variable) missing(file string) *Problem {
	hint := "set it in the environment"
	rule := "required"
	if v.HasDefault {
		rule = "default"
		hint = "set it, or the variables that its value in the schema refers to"
	}
	if len(v.Docs) > 0 {
		hint += "; see " + v.Docs[0]
	}
	return v.problem(file, Missing, rule, v.rules.expected(), "", hint)
}

func (v *variable) problem(file string, kind Kind, rule, expected, value, hint string) *Problem {
	return &Problem{Variable: v.Name, Kind: kind, Rule: rule, Expected: expected, Length: lengthBucket(value),
		File: file, Line: v.Line, Hint: hint}
}

// suspicion says what a value was probably not meant to have around it.
func suspicion(typ, value string) string {
	first, last := value[0], value[len(value)-1]
	switch {
	case strings.HasSuffix(value, "\r"):
		return "the value ends in a carriage return, as lines of a Windows file do"
	case len(value) > 1 && first == last && (first == '"' || first == '\'') && typ != "json":
		return "the value begins and ends with quotes, which are a part of it"
	}
	return ""
}

// nameEnvironment is how a report names the environment. What a variable of the
// environment says is its value, so only the usual names and those that the
// schema itself mentions are repeated.
func (s *Schema) nameEnvironment(environment string) string {
	environment = canonicalEnvironment(environment)
	switch environment {
	case "production", "staging", "development", "test":
		return environment
	}
	for _, v := range s.variables {
		if slices.Contains(v.required.environments, environment) {
			return environment
		}
	}
	return "another environment"
}
