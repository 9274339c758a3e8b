package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags/flagd"
)

const formatFlagd = "flagd"

func (c *command) flagsExportCommand() *cobra.Command {
	var f definitionFlags
	var format string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write definitions in the format of flagd",
		Long: `export prints native definitions as a file of flagd, https://flagd.dev. flagd then
gives every user the value and the variant that Handrail gives. A flag that is
disabled has no value there: the caller's own default counts.

Exit code 1 when flagd has no way to say what a flag does, such as another hash
than flagd2; all such flags are named, and nothing is printed.`,
		Example: `  handrail flags export > flags.flagd.json
  handrail flags export --file flags.yaml --format flagd`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format != formatFlagd {
				return errors.New("--format must be " + formatFlagd)
			}
			set, err := c.definitions(&f)
			if err != nil {
				return err
			}
			data, err := flagd.Export(set)
			if err != nil {
				return &exitError{code: exitFailed, err: fmt.Errorf("cannot be exported\n%w", err)}
			}
			_, err = c.stdout.Write(data)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&format, "format", formatFlagd, "`format` to write: "+formatFlagd)
	return cmd
}
