package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func (c *command) execCommand() *cobra.Command {
	var f sidecarFlags
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "Check the environment, start the app, stand in front of it, stop it",
		Long: `exec holds the environment against .env.schema and does not start the app when
it is wrong. The app gets PORT (a free port), HOST and HOSTNAME (127.0.0.1), the
defaults that the schema writes down, and its environment without HANDRAIL_*.
The sidecar is ready once that port accepts connections. When PORT is set and
neither --listen nor HANDRAIL_LISTEN is, the sidecar listens on PORT.

SIGTERM drains first; then the app gets SIGTERM, and SIGKILL after
exec.stop_timeout. SIGHUP reloads the sidecar's configuration. SIGUSR1,
SIGUSR2, SIGQUIT and SIGWINCH are passed on to the app.

exec ends with the app's exit code, 128+n for a signal, 126 or 127 when it
cannot be started.`,
		Example: `  handrail exec -- node server.js
  handrail exec --listen :8080 --trusted-proxies private -- bundle exec puma`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("COMMAND is missing: handrail exec [flags] -- COMMAND [ARG...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			options := f.options(cmd, c.getenv)
			options.Child = true
			return c.exec(cmd, options, args)
		},
	}
	f.add(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (c *command) exec(cmd *cobra.Command, options sidecar.Options, args []string) error {
	loaded, err := sidecar.Load(options)
	if err != nil {
		return invalid(err)
	}
	environ := os.Environ()
	if schema := loaded.EnvSchema; schema != nil {
		env := environMap(environ)
		if err := c.report(schema.Check(env, loaded.Environment), formatText, c.stderr); err != nil {
			return err
		}
		for name, value := range schema.Defaults(env) {
			environ = append(environ, name+"="+value)
		}
	}
	signals, release := sidecar.Notify(syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGWINCH)
	defer release()
	code, err := sidecar.Exec(cmd.Context(), loaded, sidecar.ChildConfig{
		Command: args, Environ: environ, Stdin: childStdin(c.stdin), Stdout: c.stdout, Stderr: c.stderr,
	}, sidecar.RunOptions{Signals: signals}, c.stderr)
	switch {
	case err != nil && code == 0:
		return &exitError{code: exitFailed, err: err}
	case err != nil || code != 0:
		return &exitError{code: code, err: err}
	}
	return nil
}

// childStdin keeps a terminal from the app: it runs in a process group of its
// own, which would be stopped when it reads there.
func childStdin(stdin io.Reader) io.Reader {
	file, ok := stdin.(*os.File)
	if !ok {
		return stdin
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return nil
	}
	return file
}

// environMap is the environment by name. The last of several entries counts.
func environMap(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, entry := range slices.Compact(environ) {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
