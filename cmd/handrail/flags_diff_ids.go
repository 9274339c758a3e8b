package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
)

// eachID calls do with each line of a file that is not blank, and stops at one
// that cannot be an ID.
func eachID(name string, in io.Reader, do func(id string) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), 64<<10)
	n := 0
	tooLong := func() error {
		return fmt.Errorf("%s:%d: is longer than %d bytes: write one ID a line", name, n, flags.MaxTargetingKeyBytes)
	}
	for lines.Scan() {
		line := lines.Bytes()
		n++
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			continue
		}
		if len(line) > flags.MaxTargetingKeyBytes {
			return tooLong()
		}
		if err := do(string(line)); err != nil {
			return err
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		n++
		return tooLong()
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return nil
}

// countIDs asks both sets about each ID of --ids.
func (c *command) countIDs(d *flagsDiff) error {
	in, name := c.stdin, "standard input"
	if d.ids != standardInput {
		file, err := os.Open(d.ids)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		defer func() { _ = file.Close() }()
		in, name = file, d.ids
	}
	out := bufio.NewWriter(c.stdout)
	err := eachID(name, in, func(id string) error {
		d.total++
		for _, f := range d.flags {
			if err := f.count(d, id, out); err != nil {
				return err
			}
		}
		return nil
	})
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = cannotWrite(flushed)
	}
	if _, ok := errors.AsType[*exitError](err); err != nil && !ok {
		err = &exitError{code: exitUsage, err: err}
	}
	return err
}

func cannotWrite(err error) error { return &exitError{code: exitFailed, err: err} }

func (f *flagDiff) count(d *flagsDiff, id string, out io.Writer) error {
	ec := flags.EvaluationContext{TargetingKey: id, Attributes: d.attributes}
	was, is := d.old.EvaluateContext(f.Key, ec), d.new.EvaluateContext(f.Key, ec)
	n, before := f.IDs, f.IDs.Affected
	n.Count(was, is)
	var what string
	var first *[]string
	switch {
	case n.Gain > before.Gain:
		what, first = "gains", &n.Gains
	case n.Lose > before.Lose:
		what, first = "loses", &n.Loses
	case n.Move > before.Move:
		what, first = "moves", &n.Moves
	default:
		return nil
	}
	if len(*first) < d.first {
		*first = append(*first, id)
	}
	if !d.list {
		return nil
	}
	if _, err := fmt.Fprintf(out, "%s\t%s\t%s\n", adminclient.Printable(f.Key), what, adminclient.Printable(id)); err != nil {
		return cannotWrite(err)
	}
	return nil
}
