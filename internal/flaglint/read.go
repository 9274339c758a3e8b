package flaglint

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/filewatch"
)

// A Parser compiles definitions, as flags.Parse does.
type Parser func(name string, data []byte) (*flags.Set, error)

// Read reads a definition file. The error is about the file as a whole: it
// cannot be read. What is wrong in it stands in the Definitions.
func Read(name string, parse Parser) (*Definitions, error) {
	data, err := filewatch.Read(name, flags.MaxFileBytes)
	if err != nil {
		return nil, &flags.DefinitionError{File: name, Reason: "cannot be read: " + reason(err)}
	}
	return Parse(name, data, parse), nil
}

// Parse is Read for what was read already.
func Parse(name string, data []byte, parse Parser) *Definitions {
	d := &Definitions{File: name}
	set, err := parse(name, data)
	if err != nil {
		d.Errors = problemsOf(err)
		return d
	}
	for _, warning := range set.Warnings() {
		d.Warnings = append(d.Warnings, warningOf(name, warning))
	}
	places, err := placesOf(name, data)
	if err != nil {
		d.Errors = problemsOf(err)
		return d
	}
	lines := bytes.Split(data, []byte{'\n'})
	for _, key := range set.Keys() {
		def, _ := set.Lookup(key)
		p := places[key]
		if p == nil {
			p = &flagPlace{} // in a form whose places are not known
		}
		f := Flag{
			Key: key, Line: p.line, Column: p.column, Deciding: p.deciding(lines),
			Created: def.Created, Expires: def.Expires, AtExpiry: atExpiry(def.OnExpiry), Owner: def.Owner,
			Ignored: ignoredLine(lines, p.line),
		}
		if p.native() {
			f.Settled = settled(&def)
		} else {
			f.Settled = settledForeign(set, key)
		}
		d.Flags = append(d.Flags, f)
	}
	return d
}

// settled says what everybody gets of a flag of package flags.
func settled(def *flags.Definition) string {
	shares := 0
	for _, v := range def.Variants {
		shares += min(v.Weight, 1)
	}
	switch {
	case !def.Enabled:
		return "is not enabled"
	case def.RolloutThousandths == flags.FullRollout && shares > 1:
		return "" // users differ in their variant
	case def.RolloutThousandths == flags.FullRollout && len(def.DenyList) > 0:
		return "is at 100 %, but for its denyList"
	case def.RolloutThousandths == flags.FullRollout:
		return "is at 100 %"
	case def.RolloutThousandths == 0 && len(def.AllowList) > 0:
		return "is at 0 %, but for its allowList"
	case def.RolloutThousandths == 0:
		return "is at 0 %"
	}
	return ""
}

// settledForeign says what everybody gets of a flag of another format, whose
// rules are known to itself only.
func settledForeign(set *flags.Set, key string) string {
	switch d := set.EvaluateContext(key, flags.EvaluationContext{}); d.Reason {
	case flags.ReasonDisabled:
		return "is not enabled"
	case flags.ReasonStatic:
		return "gives everybody " + strconv.Quote(d.Variant)
	}
	return ""
}

func atExpiry(e flags.OnExpiry) string {
	if e == flags.ExpiryKeep {
		return ""
	}
	return "is " + string(e) + " since"
}

func problemsOf(err error) []Problem {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	problems := make([]Problem, 0, len(list))
	for _, err := range list {
		p := Problem{Message: err.Error()}
		if e, ok := errors.AsType[*flags.DefinitionError](err); ok {
			p = Problem{Line: e.Line, Column: e.Column, Message: e.Reason}
			if e.Path != "" {
				p.Message = e.Path + ": " + e.Reason
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// warningOf takes the place off "flags.yaml:3:5: text".
func warningOf(name, warning string) Problem {
	rest, ok := strings.CutPrefix(warning, name+":")
	line, rest, ok1 := strings.Cut(rest, ":")
	column, message, ok2 := strings.Cut(rest, ": ")
	l, err1 := strconv.Atoi(line)
	c, err2 := strconv.Atoi(column)
	if !ok || !ok1 || !ok2 || err1 != nil || err2 != nil {
		return Problem{Message: warning}
	}
	return Problem{Line: l, Column: c, Message: message}
}
