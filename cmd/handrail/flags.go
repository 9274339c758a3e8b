package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

func (c *command) flagsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flags",
		Short: "Ask about feature flags, and look after them",
		Long: `flags reads definitions of feature flags: the file that --file names, else
flags.source of the configuration, else flags.yaml. What is wrong with them is
told with file, line and column, and the exit code is 78.

list, set, import and audit ask a running sidecar through its admin listener.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	cmd.AddCommand(
		c.flagsEvalCommand(),
		c.flagsDiffCommand(),
		c.flagsExplainCommand(),
		c.flagsExportCommand(),
		c.flagsLintCommand(),
		c.flagsListCommand(),
		c.flagsSetCommand(),
		c.flagsImportCommand(),
		c.flagsAuditCommand(),
	)
	return cmd
}

// definitionFlags say which definitions a command reads.
type definitionFlags struct{ file, config string }

func (f *definitionFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.file, "file", "", "definition `file`, - for standard input (default flags.source of the configuration, else flags.yaml)")
	fs.StringVar(&f.config, "config", "", "configuration file that names it (env HANDRAIL_CONFIG; default handrail.yaml when it exists)")
}

// name is the file to read.
func (f *definitionFlags) name(getenv func(string) string) (string, error) {
	if f.file != "" {
		return f.file, nil
	}
	name, err := sidecar.LoadFlagFile(sidecar.Options{File: f.config, Getenv: getenv})
	if errors.Is(err, sidecar.ErrNoFlagFile) {
		return "", &exitError{code: exitConfig, err: errors.New("the configuration names no file of flags, and there is no flags.yaml: name one with --file")}
	}
	if err != nil {
		return "", invalid(err)
	}
	return name, nil
}

// definitions reads them.
func (c *command) definitions(f *definitionFlags) (*flags.Set, error) {
	name, err := f.name(c.getenv)
	if err != nil {
		return nil, err
	}
	return c.readDefinitions(name)
}

func (c *command) readDefinitions(name string) (set *flags.Set, err error) {
	if name == standardInput {
		set, err = c.readStandardInput()
	} else {
		set, err = sidecar.ReadFlagFile(name)
	}
	if err != nil {
		return nil, &exitError{code: exitConfig, err: fmt.Errorf("invalid definitions of flags\n%w", err)}
	}
	return set, nil
}

func (c *command) readStandardInput() (*flags.Set, error) {
	const name = "standard input"
	data, err := io.ReadAll(io.LimitReader(c.stdin, flags.MaxFileBytes+1))
	switch {
	case err != nil:
		return nil, &flags.DefinitionError{File: name, Reason: "cannot be read: " + err.Error()}
	case len(data) > flags.MaxFileBytes:
		return nil, &flags.DefinitionError{File: name, Reason: fmt.Sprintf("is larger than %d MiB", flags.MaxFileBytes>>20)}
	}
	return sidecar.ParseFlags(name, data)
}

// completeKey offers the keys of flags to a shell, as the first argument.
func (c *command) completeKey(f *definitionFlags) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || f.file == standardInput {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		set, err := c.definitions(f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var keys []cobra.Completion
		for _, key := range set.Keys() {
			if strings.HasPrefix(key, begun) && adminclient.Printable(key) == key {
				def, _ := set.Lookup(key)
				keys = append(keys, cobra.CompletionWithDesc(key, adminclient.Printable(def.Description)))
			}
		}
		return keys, cobra.ShellCompDirectiveNoFileComp
	}
}
