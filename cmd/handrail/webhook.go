package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func (c *command) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Look after webhook deliveries",
		Long: `webhook looks after webhook deliveries. A delivery is named by its key, which is
the route and the event's id: stripe/evt_1.

list, show, replay and purge ask a running sidecar through its admin listener.
Changes, and what a message holds, need the admin token (HANDRAIL_ADMIN_TOKEN, or
admin.token of the configuration), or the admin socket. Exit code 1 when the
sidecar does not answer or says no.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(
		c.webhookListCommand(),
		c.webhookShowCommand(),
		c.webhookReplayCommand(),
		c.webhookPurgeCommand(),
		c.webhookSignCommand(),
		c.webhookExplainCommand(),
		c.webhookDDLCommand(),
	)
	return cmd
}

func (c *command) webhookDDLCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ddl",
		Short: "Print the PostgreSQL tables of webhook deliveries",
		Long: `ddl prints the statements that make the schema handrail and its tables. The
sidecar makes them itself where its role may; elsewhere a role that may runs them,
once and after an upgrade. They change nothing that is there already.`,
		Example: `  handrail webhook ddl | psql "$DATABASE_ADMIN_URL"`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(c.stdout, sqlstore.DDL())
			return err
		},
	}
}

// An asker asks one sidecar. Its errors have their exit code.
type asker struct {
	ctx    context.Context
	client *adminclient.Client
}

func (f *adminFlags) asker(cmd *cobra.Command, getenv func(string) string) (asker, error) {
	client, err := f.client(cmd, getenv)
	return asker{cmd.Context(), client}, err
}

func (a asker) do(method, path string, in any, out adminclient.Checker) error {
	if err := a.client.Do(a.ctx, method, path, in, out); err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	return nil
}

// formatFlag is --format.
type formatFlag string

func (f *formatFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(f), "format", formatText, "text or json")
}

func (f *formatFlag) check() error {
	if *f != formatText && *f != formatJSON {
		return fmt.Errorf("--format must be %s or %s", formatText, formatJSON)
	}
	return nil
}

// printJSON prints v for programs, harmless to a terminal.
func (c *command) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		fmt.Fprintln(c.stdout, adminclient.PrintableJSON(data))
	}
	return err
}

// checkKey reports what cannot be the key of a delivery.
func checkKey(key string) error {
	if route, id, ok := strings.Cut(key, "/"); !ok || route == "" || id == "" {
		return fmt.Errorf("%q is no key: write ROUTE/EVENT-ID, as list shows it", key)
	}
	return nil
}
