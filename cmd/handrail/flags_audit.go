package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

func (c *command) flagsAuditCommand() *cobra.Command {
	var f adminFlags
	var format formatFlag
	var limit int
	var before int64
	var verify bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Tell who changed which flag, and when",
		Long: `audit prints the newest lines of the audit log of a running sidecar: changes that
were made through it, and changes that others made where it has its definitions
from, by "source". Of these it cannot tell who made them, those through another
sidecar on the same Redis included: that sidecar's log tells.

--verify has the sidecar read all lines that it keeps, and tells the first that
does not follow on the one before, since one was removed or altered. Lines removed
at the end do not show, nor a log that was written anew.

Exit code 1 when the sidecar does not answer or says no, or a line does not follow.`,
		Example: `  handrail flags audit
  handrail flags audit --limit 1000 --format json
  handrail flags audit --verify`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format.check(); err != nil {
				return err
			}
			if limit < 1 || limit > 1000 || before < 0 {
				return errors.New("--limit must be 1 to 1000, and --before a number of a line")
			}
			if verify && (cmd.Flags().Changed("limit") || before > 0) {
				return errors.New("--verify is about all lines, without --limit and --before")
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			if verify {
				return c.verifyAudit(a, format)
			}
			return c.readAudit(a, format, limit, before)
		},
	}
	f.add(cmd)
	format.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many lines, 1 to 1000")
	cmd.Flags().Int64Var(&before, "before", 0, "only lines before this `number`")
	cmd.Flags().BoolVar(&verify, "verify", false, "tell whether each line that is kept follows on the one before")
	return cmd
}

// readAudit prints lines before a number, 0 for the newest.
func (c *command) readAudit(a asker, format formatFlag, limit int, before int64) error {
	from := sidecar.FlagsAuditPath + "?limit=" + strconv.Itoa(limit)
	if before > 0 {
		from += "&before=" + strconv.FormatInt(before, 10)
	}
	var page sidecar.FlagsAudit
	if err := a.do("GET", from, nil, &page); err != nil {
		return err
	}
	if format == formatJSON {
		return c.printJSON(page)
	}
	c.printAudit(page)
	return nil
}

// verifyAudit fails where the log is not as it was written.
func (c *command) verifyAudit(a asker, format formatFlag) error {
	var out sidecar.FlagsVerified
	if err := a.do("GET", sidecar.FlagsVerifyPath, nil, &out); err != nil {
		return err
	}
	if format == formatJSON {
		if err := c.printJSON(out); err != nil {
			return err
		}
	} else if out.Break == nil {
		fmt.Fprintf(c.stdout, "%d lines, each follows on the one before\n", out.Lines)
	}
	if b := out.Break; b != nil {
		place := adminclient.Printable(path.Join(out.Dir, b.File))
		return &exitError{code: exitFailed, err: fmt.Errorf("%s:%d: %s", place, b.Line, adminclient.Printable(b.Reason))}
	}
	return nil
}

func (c *command) printAudit(page sidecar.FlagsAudit) {
	if len(page.Entries) == 0 {
		fmt.Fprintln(c.stdout, "no changes")
		return
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "N\tTIME\tACTOR\tFLAG\tCHANGE")
	for i := range page.Entries {
		e := &page.Entries[i]
		printRow(w, strconv.FormatInt(e.N, 10), e.Time, actorOf(e), e.Flag, auditText(e))
	}
	_ = w.Flush()
	if page.Before > 0 {
		fmt.Fprintf(c.stdout, "there may be more: --before %d\n", page.Before)
	}
}

// actorOf is who made a change, and how it came.
func actorOf(e *flagaudit.Entry) string {
	via := e.Via
	if e.UID != nil {
		via += " uid " + strconv.Itoa(*e.UID)
	}
	if e.Actor == "" {
		return via
	}
	return e.Actor + " (" + via + ")"
}

// auditText is what became of a flag, in one line.
func auditText(e *flagaudit.Entry) string {
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal(e.Before, &before) // null is none
	_ = json.Unmarshal(e.After, &after)
	var text []string
	switch {
	case e.What == flagaudit.NotMade:
		text = append(text, fmt.Sprintf("line %d was not made", e.Of))
	case e.What == flagaudit.Unknown:
		text = append(text, fmt.Sprintf("it is not known whether line %d was made", e.Of))
	case e.What == flagaudit.Made:
		text = append(text, fmt.Sprintf("line %d was made", e.Of))
	case e.Flag == "":
	case string(e.Before) == "null":
		text = append(text, "new")
	case string(e.After) == "null":
		text = append(text, "deleted")
	default:
		for _, name := range names(before, after) {
			if was, is := orDefault(before, name), orDefault(after, name); was != is {
				text = append(text, difference(name, was, is))
			}
		}
	}
	if e.Note != "" {
		text = append(text, e.Note)
	}
	return strings.Join(text, "; ")
}

// names are those of two objects, sorted.
func names(a, b map[string]json.RawMessage) []string {
	var all []string
	for name := range a {
		all = append(all, name)
	}
	for name := range b {
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
