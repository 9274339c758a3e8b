package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes of the contract, after sysexits.h.
const (
	exitFailed   = 1
	exitUsage    = 64
	exitInternal = 70
	exitConfig   = 78
)

// An exitError ends the program with a code. A nil err prints nothing more.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// A command has the streams and the environment of its process.
type command struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "handrail: internal error: %v\n%s", p, debug.Stack())
			code = exitInternal
		}
	}()
	c := &command{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exitError](err)
	if !ok {
		exit = &exitError{code: exitUsage, err: fmt.Errorf("%w\nRun 'handrail --help' for usage", err)}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "handrail: %v\n", exit.err)
	}
	return exit.code
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "handrail",
		Short: "Runtime safeguards for an HTTP service in any language",
		Long: `Handrail stands in front of an HTTP service and gives it limits on sign-in,
verified webhooks that arrive once, feature flags, health and logs.

Start with 'handrail demo', then 'handrail serve --upstream http://127.0.0.1:3000'
or 'handrail exec -- node server.js'.

Exit codes: 0 ok, 1 a check failed, 64 usage, 70 internal error,
78 invalid configuration or environment; exec ends with its child's code.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{code: exitUsage}
		},
		Args: cobra.NoArgs,
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(c.serveCommand(), c.execCommand(), c.demoCommand(), c.checkCommand(), c.envCommand(), c.flagsCommand(), c.limitsCommand(), c.webhookCommand(), c.versionCommand())
	return root
}
