package envcheck

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says what is wrong with a variable.
type Kind string

// The kinds of a [Problem]. The last two are warnings only.
const (
	Missing    Kind = "missing"    // required, and unset or empty
	Invalid    Kind = "invalid"    // set, and against a rule
	Unreadable Kind = "unreadable" // names a file that cannot be read
	Suspicious Kind = "suspicious" // looks mistaken: quotes or a carriage return were left in
	Deprecated Kind = "deprecated" // set, but marked @deprecated
)

// Problem is one thing wrong with one variable. It never holds the variable's
// value or a part of it.
type Problem struct {
	// Variable is the name, such as "DATABASE_URL".
	Variable string `json:"variable"`
	// Field is the path of the Go field, such as "Database.URL"; empty for a schema.
	Field string `json:"field,omitempty"`
	Kind  Kind   `json:"kind"`
	// Rule is the rule that was broken, such as "required", "url" or "minLength".
	Rule string `json:"rule"`
	// Expected completes "expected …": "a URL", "at least 32 characters".
	Expected string `json:"expected"`
	// Length is the bucket that the value's length in characters falls into:
	// "unset", "1-7", "8-15", "16-31", "32-63", "64-127", "128-255" or "256+".
	Length string `json:"length"`
	// File and Line are where the schema defines the variable; empty and 0 for
	// a struct.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Hint says what to do about it; may be empty.
	Hint string `json:"hint,omitempty"`
}

// Error is the problem in one line, such as
// ".env.schema:12: DATABASE_URL: missing: expected a URL".
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":" + strconv.Itoa(p.Line) + ": ")
	}
	name := p.Variable
	if name == "" {
		name = "field " + p.Field
	}
	b.WriteString(name + ": " + string(p.Kind) + ": expected " + p.Expected)
	if p.Length != unset {
		b.WriteString("; length " + p.Length)
	}
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Error is every problem of an environment.
//
// errors.As finds *Error; through it, errors.As finds the first *Problem.
type Error struct {
	Problems []*Problem // never empty
}

// Error lists the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, "envcheck: "+count(len(e.Problems), "problem"))
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n  ")
}

// Unwrap gives the problems to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// ConfigError is a mistake in the Go struct given to [Load] or [Parse]: a fault
// of the program, not of the environment.
type ConfigError struct {
	Field  string // path of the field, such as "Database.URL"
	Value  string // the tag as it is written
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("envcheck: field %s: %q: %s", e.Field, e.Value, e.Reason)
}

// SyntaxError is one mistake in a .env.schema or a .env file. It never quotes
// what the file says.
type SyntaxError struct {
	File   string
	Line   int // from 1
	Column int // from 1, in bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

// unset is the length bucket of a variable that is not set, or set to nothing.
const unset = "unset"

// lengthBucket is all that is ever told about a value.
func lengthBucket(value string) string {
	n := utf8.RuneCountInString(value)
	if n == 0 {
		return unset
	}
	low := 1
	for _, next := range []int{8, 16, 32, 64, 128, 256} {
		if n < next {
			return strconv.Itoa(low) + "-" + strconv.Itoa(next-1)
		}
		low = next
	}
	return "256+"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
