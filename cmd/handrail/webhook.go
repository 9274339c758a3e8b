package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func (c *command) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Print what webhook deliveries need",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(&cobra.Command{
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
	})
	return cmd
}
