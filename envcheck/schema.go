package envcheck

import "io"

// MaxFileBytes bounds a schema and a .env file.
const MaxFileBytes = 1 << 20

// Schema is a parsed .env.schema file. It does not change, and is safe for
// concurrent use.
type Schema struct {
	name      string
	variables []*variable
}

type variable struct{ Variable }

// Variable describes one variable of a [Schema].
type Variable struct {
	Name        string
	Type        string   // "string", "url", "enum", …
	Description string   // the comment above it
	Example     string   // @example
	Docs        []string // addresses of @docs
	Sensitive   bool
	Deprecated  bool
	HasDefault  bool // a value is written in the schema
	Line        int  // in the schema
}

// ParseSchema reads a .env.schema. name is shown in messages, usually the path.
//
// Errors: all mistakes at once as an errors.Join of *SyntaxError, and whatever
// reading r returns.
func ParseSchema(name string, r io.Reader) (*Schema, error) { panic("not yet") }

// ReadSchema is ParseSchema of the file at path.
func ReadSchema(path string) (*Schema, error) { panic("not yet") }

// Variables lists the variables in the order of the schema.
func (s *Schema) Variables() []Variable { panic("not yet") }

// Required reports whether the variable must be set in the environment, such as
// "production".
func (s *Schema) Required(name, environment string) bool { panic("not yet") }

// Check compares env with the schema. environment is what
// @required=forEnv(…) is compared with; empty means production.
func (s *Schema) Check(env map[string]string, environment string) *Report { panic("not yet") }

// Defaults returns the values that the schema adds to env: one for every
// variable that env leaves unset or empty and for which the schema writes
// KEY=value.
func (s *Schema) Defaults(env map[string]string) map[string]string { panic("not yet") }
