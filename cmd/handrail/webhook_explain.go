package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/webhook"
)

const (
	maxMessageBytes = 64 << 20
	maxHeadersBytes = 256 << 10
	standardInput   = "-"
)

func (c *command) webhookExplainCommand() *cobra.Command {
	var f messageFlags
	var headers, query string
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a message's signature fails",
		Long: `explain judges a message as the route would, and when it is not valid undoes
what proxies, frameworks and copying do to messages until it is: it says which
header lacks, which secret would have been right, how the body or the URL was
changed, or how far the clocks are apart. It reads the configuration as check
does, and connects to nothing. What it prints holds no signature, no secret and
nothing of the body.

The headers are lines of NAME: VALUE, as a provider's page or curl -v shows them,
or a JSON object. Exit code 0 when the message is valid, 1 when it is not.`,
		Example: `  handrail webhook explain --route stripe --headers headers.txt --body body.json
  pbpaste | handrail webhook explain --route stripe --headers headers.txt --body - --at 2026-11-20T08:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case format.check() != nil:
				return format.check()
			case f.route == "" || headers == "" || f.body == "":
				return errors.New("--route, --headers and --body are needed")
			case headers == standardInput && f.body == standardInput:
				return errors.New("only one of --headers and --body can be standard input")
			}
			at, err := sidecar.ParseMoment(f.at)
			if err != nil {
				return fmt.Errorf("--at: %w", err)
			}
			loaded, err := f.load(c.getenv)
			if err != nil {
				return err
			}
			m := webhook.Message{Now: at}
			if m.Body, err = c.readInput(f.body, maxMessageBytes); err != nil {
				return err
			}
			text, err := c.readInput(headers, maxHeadersBytes)
			if err != nil {
				return err
			}
			if m.Header, m.RawQuery, err = parseHeaders(text); err != nil {
				return &exitError{code: exitUsage, err: fmt.Errorf("%s: %w", headers, err)}
			}
			if cmd.Flags().Changed("query") {
				m.RawQuery = query
			}
			return c.explain(loaded, f.route, m, format)
		},
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&headers, "headers", "", "`file` with the headers, - for standard input")
	fs.StringVar(&query, "query", "", "query of the request's URL, without ? (default that of a request line among the headers)")
	format.add(cmd)
	return cmd
}

// messageFlags are those of sign and explain.
type messageFlags struct{ route, body, at, config string }

func (f *messageFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.route, "route", "", "`name` of the route")
	fs.StringVar(&f.body, "body", "", "`file` with the body, byte for byte, - for standard input")
	fs.StringVar(&f.at, "at", "", "`time` of the message, as in 2026-11-20T08:00:00Z or in Unix seconds (default now)")
	fs.StringVar(&f.config, "config", "", "configuration file (env HANDRAIL_CONFIG; default handrail.yaml when it exists)")
}

// load reads the configuration, which must have the route.
func (f *messageFlags) load(getenv func(string) string) (*sidecar.Loaded, error) {
	loaded, err := sidecar.Load(sidecar.Options{File: f.config, Getenv: getenv, Check: true})
	if err != nil {
		return nil, invalid(err)
	}
	if _, _, err := loaded.WebhookRoute(f.route); err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("%w: %s", err, adminclient.Printable(f.route))}
	}
	return loaded, nil
}

// readInput reads a file, or standard input.
func (c *command) readInput(name string, most int64) ([]byte, error) {
	in := c.stdin
	if name != standardInput {
		file, err := os.Open(name)
		if err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is longer than %d KiB", name, most>>10)
	}
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return data, nil
}

// explain prints why a message is valid or not. When it is not, that is an
// exitError.
func (c *command) explain(loaded *sidecar.Loaded, route string, m webhook.Message, format formatFlag) error {
	e, err := loaded.ExplainWebhook(route, m)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	if format == formatJSON {
		data, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, adminclient.PrintableJSON(data))
	} else {
		c.printExplanation(route, e)
	}
	if !e.Valid {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (c *command) printExplanation(route string, e webhook.Explanation) {
	verdict := "not valid"
	if e.Valid {
		verdict = "valid"
	}
	fmt.Fprintf(c.stdout, "%s (%s): %s\n", adminclient.Printable(route), e.Provider, verdict)
	for _, f := range e.Findings {
		fmt.Fprintf(c.stdout, "\n%s\n  %s\n", f.Code, adminclient.Printable(f.Text))
		if f.Remedy != "" {
			fmt.Fprintf(c.stdout, "  %s\n", adminclient.Printable(f.Remedy))
		}
	}
	if len(e.Tried) > 0 {
		fmt.Fprintln(c.stdout, "\ntried in vain:")
		for _, t := range e.Tried {
			fmt.Fprintf(c.stdout, "  %s\n", t)
		}
	}
	if e.Incomplete {
		fmt.Fprintln(c.stdout, "\nThe message is so large that not everything was tried.")
	}
}
