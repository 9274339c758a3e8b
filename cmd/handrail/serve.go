package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// sidecarFlags are the flags of serve and exec.
type sidecarFlags struct {
	config, listen, admin, upstream, trusted string
}

func (f *sidecarFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.config, "config", "", "configuration file (env HANDRAIL_CONFIG; default handrail.yaml when it exists)")
	fs.StringVar(&f.listen, "listen", "", "public `address` (env HANDRAIL_LISTEN; default :8080)")
	fs.StringVar(&f.admin, "admin", "", "admin `address`, unix:/path or empty for none (env HANDRAIL_ADMIN; default 127.0.0.1:9090)")
	fs.StringVar(&f.trusted, "trusted-proxies", "", "`list` of CIDRs, private, loopback, or none (env HANDRAIL_TRUSTED_PROXIES)")
}

func (f *sidecarFlags) addUpstream(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.upstream, "upstream", "", "`URL` of the app (env HANDRAIL_UPSTREAM), as in http://127.0.0.1:3000")
}

// options hold the flags that were set.
func (f *sidecarFlags) options(cmd *cobra.Command, getenv func(string) string) sidecar.Options {
	set := func(name string, value *string) *string {
		if cmd.Flags().Changed(name) {
			return value
		}
		return nil
	}
	return sidecar.Options{
		File: f.config, Getenv: getenv,
		Listen: set("listen", &f.listen), Admin: set("admin", &f.admin),
		Upstream: set("upstream", &f.upstream), TrustedProxies: set("trusted-proxies", &f.trusted),
	}
}

func (c *command) serveCommand() *cobra.Command {
	var f sidecarFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Stand in front of an app that runs by itself",
		Long: `serve needs an upstream and nothing else. Without Redis it limits in memory,
without a database it keeps deliveries in an embedded SQLite file under data_dir.

A production listener that is not loopback needs trusted_proxies as well:
none when clients connect directly, private behind proxies with private
addresses, or the CIDRs of the load balancer.

SIGHUP and a change of the file reload the configuration. SIGTERM drains:
not ready at once, no new connections after drain.delay, and the end when
everything in flight has finished. A second SIGTERM ends at once.

Logs go to standard error.`,
		Example: `  handrail serve --upstream http://127.0.0.1:3000 --trusted-proxies none
  handrail serve --config /etc/handrail.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := sidecar.Load(f.options(cmd, c.getenv))
			if err != nil {
				return invalid(err)
			}
			return c.serve(cmd.Context(), loaded, nil)
		},
	}
	f.add(cmd)
	f.addUpstream(cmd)
	return cmd
}

// serve runs a sidecar until a signal ends it.
func (c *command) serve(ctx context.Context, loaded *sidecar.Loaded, onListening func(public, admin string)) error {
	signals, release := sidecar.Notify()
	defer release()
	s, err := sidecar.New(ctx, loaded, c.stderr)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	if err := s.Run(ctx, sidecar.RunOptions{Signals: signals, OnListening: onListening}); err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	return nil
}

// invalid is the answer to a configuration or environment that is wrong. Each
// problem stands in a line of its own.
func invalid(err error) error {
	if _, ok := errors.AsType[*exitError](err); ok {
		return err
	}
	return &exitError{code: exitConfig, err: fmt.Errorf("invalid configuration\n%w", err)}
}
