package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
)

// diffReport is what diff prints for programs.
type diffReport struct {
	Old      string      `json:"old"` // versions
	New      string      `json:"new"`
	Monotone *bool       `json:"monotone"` // every edit is; null: not known
	IDs      *int        `json:"ids,omitempty"`
	Flags    []*flagDiff `json:"flags"`
}

func (d *flagsDiff) report() diffReport {
	r := diffReport{Old: d.old.Version(), New: d.new.Version(), Flags: d.flags}
	if r.Flags == nil {
		r.Flags = []*flagDiff{}
	}
	if d.ids != "" {
		r.IDs = &d.total
	}
	all, known := true, true
	for _, f := range d.flags {
		if f.Monotone == nil {
			known = false
			continue
		}
		all = all && *f.Monotone
	}
	if known || !all {
		r.Monotone = &all
	}
	return r
}

func printable(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = adminclient.Printable(text)
	}
	return out
}

func (c *command) printFlagsDiff(d *flagsDiff) {
	out := c.stdout
	if d.list {
		out = c.stderr
	}
	if len(d.flags) == 0 {
		fmt.Fprintln(out, "no flag differs")
		return
	}
	for i, f := range d.flags {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s: %s, %s\n", adminclient.Printable(f.Key), f.Kind, f.summary())
		for _, field := range f.Fields {
			fmt.Fprintf(out, "  %s: %s → %s\n", adminclient.Printable(field.Field), adminclient.Printable(field.Before), adminclient.Printable(field.After))
		}
		for _, reason := range f.Reasons {
			fmt.Fprintf(out, "  %s\n", adminclient.Printable(reason))
		}
		f.printAffected(out, d)
	}
}

// summary says what kind of an edit it is.
func (f *flagDiff) summary() string {
	switch {
	case f.Monotone == nil:
		return "and not known to be monotone"
	case f.Effect == flags.EffectUnknown && *f.Monotone:
		return "monotone as far as these IDs tell"
	case f.Effect == flags.EffectUnknown:
		return "not monotone"
	}
	return map[flags.Effect]string{
		flags.EffectNone:  "on for the same as before",
		flags.EffectGains: "only gains",
		flags.EffectLoses: "only losses",
		flags.EffectMixed: "not monotone",
	}[f.Effect]
}

func (f *flagDiff) printAffected(out io.Writer, d *flagsDiff) {
	n := f.IDs
	if n == nil {
		return
	}
	fmt.Fprintf(out, "  Of %d IDs %d gain it, %d lose it, %d get another variant.\n", d.total, n.Gain, n.Lose, n.Move)
	if d.list {
		return // all of them stand on standard output
	}
	for _, part := range []struct {
		verb  string
		count int
		first []string
	}{{"gain it", n.Gain, n.Gains}, {"lose it", n.Lose, n.Loses}, {"get another variant", n.Move, n.Moves}} {
		if len(part.first) == 0 {
			continue
		}
		more := ""
		if part.count > len(part.first) {
			more = ", …"
		}
		fmt.Fprintf(out, "    %s: %s%s\n", part.verb, strings.Join(printable(part.first), ", "), more)
	}
}
