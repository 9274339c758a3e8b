package flaglint

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/flags"
)

// ReadNative reads a definition file of package flags. The error is about the
// file as a whole: it cannot be read. What is wrong in it stands in the
// Definitions.
func ReadNative(name string) (*Definitions, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, flags.MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	return ParseNative(name, data), nil
}

// ParseNative is ReadNative for what was read already.
func ParseNative(name string, data []byte) *Definitions {
	d := &Definitions{File: name}
	set, err := flags.Parse(name, data)
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
		d.Flags = append(d.Flags, Flag{
			Key: key, Line: p.line, Column: p.column,
			Settled: settled(&def), Deciding: p.deciding(lines),
			Created: def.Created, Expires: def.Expires, AtExpiry: atExpiry(def.OnExpiry), Owner: def.Owner,
			Ignored: ignoredLine(lines, p.line),
		})
	}
	return d
}

// settled says what everybody gets of a flag.
func settled(def *flags.Definition) string {
	shares := 0
	for _, v := range def.Variants {
		shares += min(v.Weight, 1)
	}
	switch {
	case def.Enabled && def.RolloutThousandths > 0 && shares > 1:
		return "" // users differ in their variant
	case !def.Enabled:
		return "is not enabled"
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
