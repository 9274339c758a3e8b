package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

func (c *command) flagsListCommand() *cobra.Command {
	var f adminFlags
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the flags of a running sidecar",
		Long: `list asks a running sidecar, through its admin listener, for the flags that it
decides by. STATE is on or off for everyone, or partial. Exit code 1 when the
sidecar does not answer or says no.`,
		Example: `  handrail flags list
  handrail flags list --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format.check(); err != nil {
				return err
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			var list sidecar.Flags
			if err := a.do("GET", sidecar.FlagsPath, nil, &list); err != nil {
				return err
			}
			if format == formatJSON {
				return c.printJSON(list)
			}
			c.printFlags(list)
			return nil
		},
	}
	f.add(cmd)
	format.add(cmd)
	return cmd
}

// A flagSettings is a definition as the admin listener tells it.
type flagSettings struct {
	RolloutPercentage json.Number `json:"rolloutPercentage"`
	AllowList         []string    `json:"allowList"`
	DenyList          []string    `json:"denyList"`
	Expires           string      `json:"expires"`
	Owner             string      `json:"owner"`
}

func (c *command) printFlags(l sidecar.Flags) {
	writable := "read-only"
	if l.Writable {
		writable = "writable"
	}
	fmt.Fprintf(c.stdout, "source: %s, %s\n", adminclient.Printable(l.Source), writable)
	if l.Error != "" {
		fmt.Fprintf(c.stdout, "the last good definitions are in force: %s\n", adminclient.Printable(l.Error))
	}
	for _, w := range l.Warnings {
		fmt.Fprintf(c.stdout, "warning: %s\n", adminclient.Printable(w))
	}
	if len(l.Flags) == 0 {
		fmt.Fprintln(c.stdout, "no flags")
		return
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTATE\tROLLOUT\tALLOW\tDENY\tEXPIRES\tOWNER")
	for _, f := range l.Flags {
		var s flagSettings
		_ = json.Unmarshal(f.Definition, &s) // what is not told stays empty
		rollout, expires := "", s.Expires
		if f.Native {
			rollout = rolloutText(s.RolloutPercentage)
		}
		if f.Expired {
			expires += " (over)"
		}
		printRow(w, f.Key, f.State, rollout, count(s.AllowList), count(s.DenyList), expires, s.Owner)
	}
	_ = w.Flush()
}

// rolloutText is a share in a cell.
func rolloutText(n json.Number) string {
	if n == "" {
		n = "0"
	}
	return n.String() + "%"
}

// count is the length of a list in a cell.
func count(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strconv.Itoa(len(list))
}

// flagPath is where the admin listener has a flag.
func flagPath(key string) string {
	// A slash is escaped: dots between two of them would be resolved.
	return sidecar.FlagsPath + "/" + strings.ReplaceAll(url.PathEscape(key), "+", "%2B")
}
