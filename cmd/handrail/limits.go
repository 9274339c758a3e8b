package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// adminFlags say where a running sidecar listens for commands.
type adminFlags struct{ config, admin string }

func (f *adminFlags) add(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.StringVar(&f.admin, "admin", "", "admin `address` of the sidecar, or unix:/path (env HANDRAIL_ADMIN; default that of the configuration)")
	fs.StringVar(&f.config, "config", "", "configuration file that names it (env HANDRAIL_CONFIG; default handrail.yaml when it exists)")
}

func (f *adminFlags) client(cmd *cobra.Command, getenv func(string) string) (*adminclient.Client, error) {
	options := sidecar.Options{File: f.config, Getenv: getenv}
	if cmd.Flags().Changed("admin") {
		options.Admin = &f.admin
	}
	admin, err := sidecar.LoadAdmin(options)
	if err != nil {
		return nil, invalid(err)
	}
	if admin.Listen == "" {
		return nil, &exitError{code: exitConfig, err: errors.New("admin.listen is empty: the sidecar has no admin listener to ask")}
	}
	client, err := adminclient.New(admin.Listen, admin.Token)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err}
	}
	return client, nil
}

func (c *command) limitsCommand() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "List and unblock whom a running sidecar refuses",
		Long: `limits asks a running sidecar through its admin listener. Changes need the
admin token (HANDRAIL_ADMIN_TOKEN, or admin.token of the configuration), or the
admin socket. Exit code 1 when the sidecar does not answer or says no.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	f.add(cmd)
	cmd.AddCommand(c.limitsListCommand(&f), c.limitsUnblockCommand(&f))
	return cmd
}

func (c *command) limitsListCommand(f *adminFlags) *cobra.Command {
	var policy, format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the policies, and the subjects that are blocked",
		Long: `list shows every policy of the sidecar that is asked, what its store does, and
the subjects that it refused and that are still blocked. A subject is shown as
the ID of its key in the store; of what it is made of only the address is shown.
Subjects that only other instances refused are not listed.`,
		Example: `  handrail limits list
  handrail limits list --policy auth --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != formatText && format != formatJSON {
				return fmt.Errorf("--format must be %s or %s", formatText, formatJSON)
			}
			var limits sidecar.Limits
			if err := f.do(cmd.Context(), cmd, c.getenv, "GET", sidecar.LimitsPath, nil, &limits); err != nil {
				return err
			}
			if policy != "" {
				if limits = ofPolicy(limits, policy); len(limits.Policies) == 0 {
					return &exitError{code: exitFailed, err: fmt.Errorf("no policy is called %q", policy)}
				}
			}
			if format == formatJSON {
				data, err := json.MarshalIndent(limits, "", "  ")
				if err == nil {
					fmt.Fprintln(c.stdout, adminclient.PrintableJSON(data))
				}
				return err
			}
			c.printLimits(limits)
			return nil
		},
	}
	cmd.Flags().StringVar(&policy, "policy", "", "only the policy of this `name`")
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (c *command) limitsUnblockCommand(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unblock POLICY SUBJECT...",
		Short: "Let a subject through again",
		Long: `unblock forgets what a subject has used up under a policy. The subject is named
by its ID, as list shows it, or by what it is made of: for each entry of the
policy's key the value that a request would have, as KEY=VALUE. For a key of one
entry the value alone will do. Every instance on the same Redis lets it through
within a second. A subject that the sidecar does not list as blocked is forgotten
as well, and that is said: a value with a slip in it names another subject.`,
		Example: `  handrail limits unblock auth 203.0.113.7
  handrail limits unblock auth id=PdBjDI4fNrGhaGPAnG9uNCPT6GQ8lkWiXrbOAcb5Dck
  handrail limits unblock account ip=203.0.113.7 json:/email=alice@example.com`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var limits sidecar.Limits
			if err := f.do(cmd.Context(), cmd, c.getenv, "GET", sidecar.LimitsPath, nil, &limits); err != nil {
				return err
			}
			of := ofPolicy(limits, args[0])
			if len(of.Policies) == 0 {
				return &exitError{code: exitFailed, err: fmt.Errorf("no policy is called %q", args[0])}
			}
			in, err := subject(of.Policies[0], args[1:])
			if err != nil {
				return err
			}
			var out sidecar.Unblocked
			if err := f.do(cmd.Context(), cmd, c.getenv, "POST", sidecar.UnblockPath, in, &out); err != nil {
				return err
			}
			what := "unblocked"
			if !out.WasBlocked {
				what = "forgotten, though the sidecar that was asked did not list it as blocked"
			}
			fmt.Fprintf(c.stdout, "%s: policy %s, id %s\n", what, adminclient.Printable(out.Policy), adminclient.Printable(out.ID))
			return nil
		},
	}
	return cmd
}

// do asks the sidecar. An error has its exit code.
func (f *adminFlags) do(ctx context.Context, cmd *cobra.Command, getenv func(string) string, method, path string, in any, out adminclient.Checker) error {
	client, err := f.client(cmd, getenv)
	if err != nil {
		return err
	}
	if err := client.Do(ctx, method, path, in, out); err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	return nil
}

// subject reads the arguments that name one.
func subject(p sidecar.PolicyState, args []string) (sidecar.Unblock, error) {
	in := sidecar.Unblock{Policy: p.Name}
	if id, ok := strings.CutPrefix(args[0], "id="); ok && len(args) == 1 {
		in.ID = id
		return in, nil
	}
	in.Subject = map[string]string{}
	for _, arg := range args {
		key, value, ok := "", "", false
		for _, k := range p.Key {
			if v, found := strings.CutPrefix(arg, k+"="); found {
				key, value, ok = k, v, true
			}
		}
		if !ok && len(p.Key) == 1 && len(args) == 1 {
			key, value, ok = p.Key[0], arg, true
		}
		if !ok {
			return in, fmt.Errorf("%q names no part of the subject: the key of policy %s is %s, so write %s=VALUE", arg,
				adminclient.Printable(p.Name), adminclient.Printable(strings.Join(p.Key, ", ")), adminclient.Printable(p.Key[0]))
		}
		in.Subject[key] = value
	}
	return in, nil
}

func ofPolicy(l sidecar.Limits, name string) sidecar.Limits {
	out := l
	out.Policies, out.Blocked = []sidecar.PolicyState{}, []sidecar.BlockedEntity{}
	for _, p := range l.Policies {
		if p.Name == name {
			out.Policies = append(out.Policies, p)
		}
	}
	for _, b := range l.Blocked {
		if b.Policy == name {
			out.Blocked = append(out.Blocked, b)
		}
	}
	return out
}

func (c *command) printLimits(l sidecar.Limits) {
	fmt.Fprintf(c.stdout, "store: %s\n", adminclient.Printable(l.Store))
	if d := l.Degraded; d != nil {
		fmt.Fprintf(c.stdout, "degraded since %s: %s\n", d.Since.Format(time.RFC3339), adminclient.Printable(d.Error))
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nPOLICY\tKEY\tLIMIT\tCOUNT\tALGORITHM\tMODE\tSTORE ERROR\tNOTE")
	for _, p := range l.Policies {
		var notes []string
		if p.Dominated {
			notes = append(notes, "one subject sends most requests")
		}
		if p.AccountsPerNetwork > 1 || p.NetworksPerAccount > 1 {
			notes = append(notes, fmt.Sprintf("most accounts of a network %d, most networks of an account %d", p.AccountsPerNetwork, p.NetworksPerAccount))
		}
		printRow(w, p.Name, strings.Join(p.Key, ", "), fmt.Sprintf("%d in %s", p.Limit, short(p.Window)),
			p.Count, p.Algorithm, p.Mode, p.OnStoreError, strings.Join(notes, "; "))
	}
	_ = w.Flush()
	if len(l.Blocked) == 0 {
		fmt.Fprintln(c.stdout, "\nnobody is blocked")
		return
	}
	fmt.Fprintln(w, "\nPOLICY\tID\tCLIENT\tUNTIL\tREFUSALS")
	for _, b := range l.Blocked {
		printRow(w, b.Policy, b.ID, b.Client, b.Until.Format(time.RFC3339), strconv.FormatInt(b.Refusals, 10))
	}
	_ = w.Flush()
}

// printRow writes a row of a table, whatever is in its cells.
func printRow(w io.Writer, cells ...string) {
	for i, cell := range cells {
		cells[i] = adminclient.Printable(cell)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// short is a duration without the units that are zero at its end.
func short(d string) string {
	if strings.HasSuffix(d, "m0s") {
		d = strings.TrimSuffix(d, "0s")
	}
	if strings.HasSuffix(d, "h0m") {
		d = strings.TrimSuffix(d, "0m")
	}
	return d
}
