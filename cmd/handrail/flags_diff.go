package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
)

const maxFirst = 100_000

func (c *command) flagsDiffCommand() *cobra.Command {
	var d flagsDiff
	var format formatFlag
	var attributes string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say who gains and who loses by an edit of flags",
		Long: `diff compares two files of definitions, at this moment: who gains each flag, who
loses it, and who gets another variant. It connects to nothing.

An edit of a flag is monotone when it goes in one direction: nobody who has the
flag gets another variant, and if somebody loses it, nobody gains it. A new flag,
a raise or a cut of the percentage with the same salt and hash, the kill switch,
and entries added to one list are; another salt or hash between 0 and 100 %, an
entry moved, and other weights are not. What a flag answers where it is off, and
what a variant stands for, does not count.

For native flags that is derived from the definitions and so holds for every ID;
shares are what to expect of many. --ids counts over a file of IDs, one a line,
taken as they stand, blank lines left out. What flagd's rules do to whom is known
by --ids alone, and holds for those IDs.

Exit code 0 when every edit is monotone, or with --force; 1 when one is not, or is
not known to be.`,
		Example: `  git show HEAD:flags.yaml | handrail flags diff - flags.yaml
  handrail flags diff flags.yaml flags.new.yaml --ids users.txt
  handrail flags diff flags.yaml flags.new.yaml --ids users.txt --list | grep loses`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := errors.Join(format.check(), d.check(args, format)); err != nil {
				return err
			}
			var err error
			if d.attributes, err = d.contextOf(attributes); err != nil {
				return err
			}
			if d.old, err = c.readDefinitions(args[0]); err != nil {
				return err
			}
			if d.new, err = c.readDefinitions(args[1]); err != nil {
				return err
			}
			return c.diffFlags(&d, format)
		},
	}
	format.add(cmd)
	addContext(cmd, &attributes)
	fs := cmd.Flags()
	fs.StringVar(&d.ids, "ids", "", "`file` of IDs, one a line, - for standard input")
	fs.IntVar(&d.first, "first", 5, "how many IDs to show of each kind")
	fs.BoolVar(&d.list, "list", false, "print a line for each ID that gains, loses or moves: flag, what, ID, with tabs between; the rest goes to standard error")
	fs.BoolVar(&d.force, "force", false, "exit with 0 also when an edit is not monotone")
	return cmd
}

// flagsDiff is one comparison.
type flagsDiff struct {
	ids         string
	first       int
	list, force bool

	old, new   *flags.Set
	attributes map[string]any // of each ID
	total      int            // IDs that were asked about
	flags      []*flagDiff
}

// contextOf reads --context, which is for everyone that --ids names.
func (d *flagsDiff) contextOf(text string) (map[string]any, error) {
	ec, err := evaluationContext(nil, text)
	switch {
	case err != nil:
		return nil, err
	case ec.TargetingKey != "":
		return nil, errors.New("--context: IDs come from --ids, not from targetingKey")
	case text != "" && d.ids == "":
		return nil, errors.New("--context needs --ids")
	}
	return ec.Attributes, nil
}

// flagDiff is what becomes of one flag.
type flagDiff struct {
	flags.Comparison

	// Monotone: by the definitions, else by the IDs. Nil: not known.
	Monotone *bool `json:"monotone"`
	// IDs is nil without --ids.
	IDs *affectedIDs `json:"ids,omitempty"`
}

// affectedIDs counts IDs, and names the first of them.
type affectedIDs struct {
	flags.Affected

	Gains []string `json:"gains,omitempty"`
	Loses []string `json:"loses,omitempty"`
	Moves []string `json:"moves,omitempty"`
}

func (d *flagsDiff) check(args []string, format formatFlag) error {
	inputs := 0
	for _, name := range append([]string{d.ids}, args...) {
		if name == standardInput {
			inputs++
		}
	}
	switch {
	case inputs > 1:
		return errors.New("only one of OLD, NEW and --ids can be standard input")
	case d.first < 0 || d.first > maxFirst:
		return fmt.Errorf("--first must be 0 to %d", maxFirst)
	case d.list && d.ids == "":
		return errors.New("--list needs --ids")
	case d.list && format == formatJSON:
		return errors.New("--list is for --format text; JSON shows as many IDs as --first says")
	}
	return nil
}

func (c *command) diffFlags(d *flagsDiff, format formatFlag) error {
	for _, comparison := range d.new.Compare(d.old) {
		f := &flagDiff{Comparison: comparison}
		if d.ids != "" {
			f.IDs = &affectedIDs{}
		}
		d.flags = append(d.flags, f)
	}
	if d.ids != "" {
		if err := c.countIDs(d); err != nil {
			return err
		}
	}
	for _, f := range d.flags {
		f.judge()
	}
	if format == formatJSON {
		if err := c.printJSON(d.report()); err != nil {
			return err
		}
	} else {
		c.printFlagsDiff(d)
	}
	return d.verdict()
}

// judge settles whether the edit is monotone.
func (f *flagDiff) judge() {
	monotone := f.Effect.Monotone()
	if f.Effect == flags.EffectUnknown {
		if f.IDs == nil {
			return
		}
		n := f.IDs
		monotone = n.Move == 0 && (n.Gain == 0 || n.Lose == 0)
	}
	f.Monotone = &monotone
}

// verdict is the exit code.
func (d *flagsDiff) verdict() error {
	var not, unknown []string
	for _, f := range d.flags {
		switch {
		case f.Monotone == nil:
			unknown = append(unknown, f.Key)
		case !*f.Monotone:
			not = append(not, f.Key)
		}
	}
	var problems []error
	if len(not) > 0 {
		problems = append(problems, fmt.Errorf("not monotone: %s: see what to do above, or say --force", keyList(not)))
	}
	if len(unknown) > 0 {
		problems = append(problems, fmt.Errorf("not known to be monotone: %s: try it out with --ids, or say --force", keyList(unknown)))
	}
	if len(problems) == 0 || d.force {
		return nil
	}
	return &exitError{code: exitFailed, err: errors.Join(problems...)}
}

// keyList names some of many.
func keyList(keys []string) string {
	const most = 10
	text := strings.Join(printable(keys[:min(len(keys), most)]), ", ")
	if len(keys) > most {
		text += fmt.Sprintf(" and %d more", len(keys)-most)
	}
	return text
}
