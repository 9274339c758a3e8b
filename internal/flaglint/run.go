package flaglint

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Config is what [Run] needs.
type Config struct {
	// Definitions are those of one or several files: a key counts as defined
	// when one of them has it. Required.
	Definitions []*Definitions

	// Code are the folders to read. None: nothing is said about use.
	Code []string

	// Calls are functions of the code that take a key, besides those that are
	// known: NAME or RECEIVER.NAME, and behind a colon the place of the key
	// among the arguments, from 1. Without a place it is the first argument, or
	// the second behind a context.
	Calls []string

	// Exclude are patterns, as path.Match has them, of files and folders below
	// Code that are not read.
	Exclude []string

	// StaleAfter is how long a flag may give everybody the same. Required.
	StaleAfter time.Duration

	// ExpiresWithin is how long before its end a flag is told of. Zero: never.
	ExpiresWithin time.Duration

	// Now is the time by which dates are judged. Required.
	Now time.Time

	// Progress is told how many files of a folder were read, by several
	// goroutines. Nil: nobody is told.
	Progress func(done, of int)
}

// Check reports what is wrong with the fields that a user fills in, all of it.
func (c *Config) Check() error {
	var errs []error
	known := calls{}
	for _, call := range c.Calls {
		errs = append(errs, known.addOwn(call))
	}
	for _, pattern := range c.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("%q is no pattern", pattern))
		}
	}
	if c.StaleAfter <= 0 {
		errs = append(errs, errors.New("the time after which a flag is stale must be above 0"))
	}
	if c.ExpiresWithin < 0 {
		errs = append(errs, errors.New("the time before the end of a flag must not be below 0"))
	}
	return errors.Join(errs...)
}

// Run looks for everything at once. The error says why it could not look.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	r := &Report{Findings: []Finding{}}
	r.definitionProblems(c.Definitions)
	if r.Invalid {
		r.finish()
		return r, nil
	}
	for _, d := range c.Definitions {
		r.Stats.Flags += len(d.Flags)
		var settled []*Flag
		for i := range d.Flags {
			f := &d.Flags[i]
			if !f.Ignored && !r.dates(d, f, &c) && f.Settled != "" {
				settled = append(settled, f)
			}
		}
		r.stale(ctx, d, settled, &c)
	}
	if len(c.Code) > 0 {
		if err := r.code(ctx, &c); err != nil {
			return nil, err
		}
	}
	r.finish()
	return r, ctx.Err()
}

// code reads the folders and holds them against the definitions.
func (r *Report) code(ctx context.Context, c *Config) error {
	functions := knownCalls()
	for _, call := range c.Calls {
		if err := functions.addOwn(call); err != nil {
			return err
		}
	}
	defined := map[string]int{}
	where := ""
	for _, d := range c.Definitions {
		for _, f := range d.Flags {
			if _, ok := defined[f.Key]; !ok {
				defined[f.Key] = len(defined)
			}
		}
		if where != "" {
			where += ", "
		}
		where += filepath.ToSlash(d.File)
	}
	var all []*seen
	for _, name := range c.Code {
		f, err := openFolder(ctx, name, c.Exclude)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, scan(ctx, f, functions, defined, c.Progress)...)
		if err := f.root.Close(); err != nil {
			return err
		}
	}
	used := map[string]bool{}
	for key, i := range defined {
		for _, s := range all {
			used[key] = used[key] || s.used[i]
		}
	}
	for _, s := range all {
		r.Stats.Files += s.files
		r.Stats.Bytes += s.bytes
		r.Stats.Skipped += s.skipped
		for file, err := range s.unread {
			r.add(Finding{Rule: RuleUnread, File: file, Message: "cannot be read: " + reason(err), Remedy: "Make it readable, or exclude it."})
		}
	}
	if r.Stats.Files == 0 && ctx.Err() == nil {
		return fmt.Errorf("%s: no code that can be read", strings.Join(c.Code, ", "))
	}
	computed := r.requests(all, defined, where)
	for _, d := range c.Definitions {
		r.unused(d, used, computed)
	}
	return nil
}
