package flagd

import (
	"errors"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// report collects what is wrong with a file.
type report struct {
	doc      *strictyaml.Doc
	problems strictyaml.Problems
	warnings strictyaml.Problems
}

// maxProblems bounds the problems of one file that are looked for.
const maxProblems = 1000

func (r *report) problem(path, reason string) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, r.doc.Problem(path, reason))
	}
}

func (r *report) warn(path, reason string) {
	if len(r.warnings) < flags.MaxWarnings {
		r.warnings = append(r.warnings, r.doc.Problem(path, reason))
	}
}

// err is what is wrong, each as *flags.DefinitionError.
func (r *report) err() error { return definitionErrors(r.problems.Err()) }

// texts are the warnings, in the order of the file.
func (r *report) texts() []string {
	var sorted strictyaml.Problems
	errors.As(r.warnings.Err(), &sorted)
	texts := make([]string, len(sorted))
	for i, w := range sorted {
		texts[i] = w.Error()
	}
	return texts
}

func definitionErrors(err error) error {
	var problems strictyaml.Problems
	if !errors.As(err, &problems) {
		return err
	}
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = &flags.DefinitionError{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Reason: p.Message}
	}
	return errors.Join(all...)
}
