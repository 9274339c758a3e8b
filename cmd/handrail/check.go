package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func (c *command) checkCommand() *cobra.Command {
	var f sidecarFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check configuration, flags and .env.schema: every problem at once",
		Long: `check reads what serve and exec would read, and connects to nothing. Problems
have file, line and column. References such as ${VAR} are taken from the
environment of this command. Exit code 78 when anything is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options := f.options(cmd, c.getenv)
			options.Check = true
			loaded, err := sidecar.Load(options)
			if err != nil {
				return invalid(err)
			}
			for _, w := range loaded.Warnings {
				fmt.Fprintf(c.stdout, "warning: %s\n", w)
			}
			file := loaded.File
			if file == "" {
				file = "no configuration file, defaults"
			}
			fmt.Fprintf(c.stdout, "ok: %s\n", file)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
