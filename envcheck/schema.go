package envcheck

import (
	"fmt"
	"io"
	"slices"
)

// MaxFileBytes bounds a schema and a .env file.
const MaxFileBytes = 1 << 20

// Schema is a parsed .env.schema file. It does not change, and is safe for
// concurrent use.
type Schema struct {
	name       string
	variables  []*variable
	byName     map[string]*variable
	currentEnv string // the variable that names the environment, or empty
}

// variable is a [Variable] and what checking it takes.
type variable struct {
	Variable
	required condition
	rules    rules
	marked   string // the default, its references marked
	valueAt  int    // its offset in the schema
}

// Variable describes one variable of a [Schema].
type Variable struct {
	Name        string
	Type        string   // "string", "url", "enum", …
	Expected    string   // what a value must be, such as "a port from 1 to 65535"
	Description string   // the comment above it
	Example     string   // @example
	Docs        []string // addresses of @docs
	Sensitive   bool
	Deprecated  bool
	Instead     string // the text of @deprecated="…"
	HasDefault  bool   // a value is written in the schema
	Line        int    // in the schema
}

// ParseSchema reads a .env.schema of at most MaxFileBytes. name is shown in
// messages, usually the path.
//
// Source: the @env-spec reference and the decorators and data types of varlock
// (dmno-dev/varlock, packages/env-spec-parser and its website's reference), as of
// 2026. In force are:
//
//	header (up to the first blank line or # --- before the first variable)
//	  @defaultRequired=true|false|infer    infer, the default: required when a value is written here
//	  @defaultSensitive=true|false|inferFromPrefix(PUBLIC_)    default true
//	  @currentEnv=$APP_ENV                 the variable that names the environment
//	variable
//	  @required @optional                  also =true, =false, =forEnv(production, staging)
//	  @sensitive @public @deprecated @example @docs @docsUrl
//	  @type=string(minLength maxLength isLength startsWith endsWith matches)
//	        number(min max isInt) integer(min max) boolean url(allowedProtocols noTrailingSlash matches)
//	        port(min max) enum(a, b) email ip(version) semver duration(min max) json uuid
//
// Without @type, an unquoted true, false or number as the value implies boolean
// or number, otherwise it is string. Values are text or references ($NAME,
// ${NAME:-text}) to the environment and to other variables of the schema.
//
// Deviations, each a mistake rather than a guess: functions as values (some
// would execute a command), @import, @plugin, @setValuesBulk and @disable,
// options that would change a value (toUpperCase, prependHttps, …), text behind
// a decorator without #, decorators that belong to no variable, patterns beyond
// RE2. Port 0 needs min=0. integer and json are additions. Decorators that only
// concern code generation and JavaScript are accepted and ignored.
//
// Errors: all mistakes at once as an errors.Join of *SyntaxError, and whatever
// reading r returns. They quote nothing of the file.
func ParseSchema(name string, r io.Reader) (*Schema, error) {
	src, err := readBounded(name, r)
	if err != nil {
		return nil, err
	}
	return parseSchema(name, src)
}

// ReadSchema is [ParseSchema] of the file at path. The error wraps what opening
// it gave, such as fs.ErrNotExist.
func ReadSchema(path string) (*Schema, error) {
	src, err := readPath(path)
	if err != nil {
		return nil, err
	}
	return parseSchema(path, src)
}

// Variables lists the variables in the order of the schema.
func (s *Schema) Variables() []Variable {
	out := make([]Variable, len(s.variables))
	for i, v := range s.variables {
		out[i] = v.Variable
		out[i].Docs = slices.Clone(v.Docs)
	}
	return out
}

// Required reports whether the named variable must have a value in an
// environment such as "production".
func (s *Schema) Required(name, environment string) bool {
	v, ok := s.byName[name]
	return ok && v.required.holds(environment)
}

// String names the schema and none of the values in it.
func (s *Schema) String() string {
	return fmt.Sprintf("%s (%s)", s.name, count(len(s.variables), "variable"))
}

// GoString is String: %#v shows no values either.
func (s *Schema) GoString() string { return s.String() }

// condition is a boolean that may depend on the environment.
type condition struct {
	environments []string // set for forEnv(…)
	negate       bool
	fixed        bool // without environments
}

func (c condition) holds(environment string) bool {
	if len(c.environments) == 0 {
		return c.fixed
	}
	return slices.Contains(c.environments, canonicalEnvironment(environment)) != c.negate
}

// canonicalEnvironment makes the usual short names equal to the long ones, so
// that forEnv(prod) is not silently void where the environment is production.
// Nothing is production.
func canonicalEnvironment(name string) string {
	switch name {
	case "", "prod":
		return "production"
	case "dev":
		return "development"
	case "stage":
		return "staging"
	}
	return name
}
