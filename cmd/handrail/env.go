package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/envcheck"
)

const (
	formatText = "text"
	formatJSON = "json"
)

func (c *command) envCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Check the environment of an app",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(c.envCheckCommand())
	return cmd
}

func (c *command) envCheckCommand() *cobra.Command {
	var schemaFile, environment, format string
	var files []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Hold the environment against .env.schema",
		Long: `check reports every variable that is missing or wrong, at once. It never prints
a value or a piece of one. The environment of the process wins over --env-file,
a later file over an earlier one. Exit code 78 when anything is wrong.`,
		Example: `  handrail env check
  handrail env check --schema config/.env.schema --env-file .env --env-file .env.local`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format != formatText && format != formatJSON {
				return fmt.Errorf("--format must be %s or %s", formatText, formatJSON)
			}
			schema, err := envcheck.ReadSchema(schemaFile)
			if errors.Is(err, fs.ErrNotExist) {
				return invalid(fmt.Errorf("%s: no such file; name the schema with --schema", schemaFile))
			}
			if err != nil {
				return invalid(err)
			}
			env := environMap(os.Environ())
			if len(files) > 0 {
				if env, err = envcheck.ReadEnvFiles(env, files...); err != nil {
					return invalid(err)
				}
			}
			if environment == "" {
				environment = c.getenv("HANDRAIL_ENV")
			}
			return c.report(schema.Check(env, environment), format, c.stdout)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&schemaFile, "schema", ".env.schema", "schema `file`")
	fs.StringArrayVar(&files, "env-file", nil, "read a .env `file` (may be given more than once)")
	fs.StringVar(&environment, "environment", "", "`name` for @required=forEnv(...) (env HANDRAIL_ENV; default production)")
	fs.StringVar(&format, "format", formatText, "text or json")
	return cmd
}

// report prints what is wrong and turns it into exit code 78.
func (c *command) report(r *envcheck.Report, format string, out io.Writer) error {
	write := r.WriteText
	if format == formatJSON {
		write = func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }
	}
	if r.OK() && out == c.stderr && len(r.Warnings) == 0 {
		return nil // exec says nothing when all is well
	}
	if err := write(out); err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	if !r.OK() {
		return &exitError{code: exitConfig}
	}
	return nil
}
