package main

import (
	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/demo"
	"github.com/handrail-go/handrail/internal/sidecar"
)

func (c *command) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Run the sidecar in front of a built-in app and print what to try",
		Long: `demo needs nothing: it starts a small app and a sidecar in front of it on
loopback, with an embedded configuration, and prints curl commands to try.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := demo.Start()
			if err != nil {
				return &exitError{code: exitFailed, err: err}
			}
			defer func() { _ = d.Close() }()
			// The demo is the same whatever the environment says.
			loaded, err := sidecar.Load(sidecar.Options{File: d.Config, Getenv: func(string) string { return "" }})
			if err != nil {
				return invalid(err)
			}
			return c.serve(cmd.Context(), loaded, func(public, admin string) { d.Print(c.stdout, public, admin) })
		},
	}
}
