package sidecar

import (
	"errors"
	"slices"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/filewatch"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// ErrNoFlagFile is returned by LoadFlagFile when the configuration names no file.
var ErrNoFlagFile = errors.New("names no file of flags")

// LoadFlagFile returns the file that flags come from, by the same precedence as
// Load. As with LoadAdmin, what else is wrong with the configuration does not
// matter here.
func LoadFlagFile(o Options) (string, error) {
	l := &loader{
		Loaded:  Loaded{Config: defaults(o.Getenv), options: o, Dir: "."},
		origins: map[string]string{},
		unread:  map[string]bool{},
	}
	if err := l.readFile(); err != nil {
		return "", err
	}
	l.resolvePaths()
	l.problems = slices.DeleteFunc(l.problems, func(p *strictyaml.Problem) bool { return p.Path != "flags.source" })
	switch {
	case len(l.problems) > 0:
		return "", l.sorted()
	case l.Flags.sourceKind() != sourceFile:
		return "", ErrNoFlagFile
	}
	return l.Flags.Source, nil
}

// ReadFlagFile reads definitions of flags in any format that we know.
func ReadFlagFile(name string) (*flags.Set, error) {
	data, err := filewatch.Read(name, flags.MaxFileBytes)
	if err != nil {
		return nil, &flags.DefinitionError{File: name, Reason: "cannot be read: " + cause(err)}
	}
	return ParseFlags(name, data)
}
