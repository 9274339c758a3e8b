package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/webhook"
)

// routeURL stands for the URL of the route on this machine.
const routeURL = "this machine"

type signFlags struct {
	messageFlags
	id, keyFile, curl, send string
}

func (c *command) webhookSignCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign a message as the provider of a route does",
		Long: `sign prints the headers that a route's provider would send with a message, one
a line, so that a route can be tried out. Without --body it makes up an event with
a fresh id, and prints its body after an empty line. It signs with the first secret
of the configuration, which it reads as check does. discord, sendgrid and whpk_ keys
of standard need --key-file: the configuration has the public key alone. A key file
holds the key as the route's secrets have theirs (discord: hexadecimal; sendgrid:
base64 of its DER form; standard: whsk_ or whsec_), or PEM.

--send posts the message and prints the answer: exit code 1 unless it is 2xx.
--curl prints a command line instead. A secret is never printed, which is why a
secret token of GitLab, which is sent as it is, can only be sent.`,
		Example: `  handrail webhook sign --route stripe --send http://127.0.0.1:8080/webhooks/stripe
  handrail webhook sign --route github --body push.json --curl=https://app.example/webhooks/github`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := sidecar.ParseMoment(f.at)
			switch {
			case err != nil:
				return fmt.Errorf("--at: %w", err)
			case f.route == "":
				return errors.New("--route is needed")
			case !visible(f.id):
				return errors.New("--id must be of visible ASCII")
			case f.curl != "" && f.send != "":
				return errors.New("--curl and --send exclude each other")
			}
			loaded, err := f.load(c.getenv)
			if err != nil {
				return err
			}
			target, err := f.target(loaded)
			if err != nil {
				return err
			}
			m, err := c.signedMessage(loaded, &f, target, at)
			if err != nil {
				return err
			}
			switch {
			case f.send != "":
				return c.sendSigned(cmd.Context(), target, m)
			case f.curl != "":
				return c.printCurl(f.body, target, m)
			}
			c.printSigned(f.body, m)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func (f *signFlags) add(cmd *cobra.Command) {
	f.messageFlags.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.id, "id", "", "`id` of the event (default a fresh one, or what the body says)")
	fs.StringVar(&f.keyFile, "key-file", "", "`file` with the key to sign with")
	fs.StringVar(&f.curl, "curl", "", "print a curl command for this `URL` (--curl=URL; --curl alone: the route on this machine)")
	fs.Lookup("curl").NoOptDefVal = routeURL
	fs.StringVar(&f.send, "send", "", "post the message to this `URL`")
}

// target is where the message goes; nil without --send and --curl.
func (f *signFlags) target(l *sidecar.Loaded) (*url.URL, error) {
	text, flag := f.send, "--send"
	if f.curl != "" {
		text, flag = f.curl, "--curl"
	}
	switch text {
	case "":
		return nil, nil
	case routeURL:
		host, port, err := net.SplitHostPort(l.Listen)
		if err != nil || port == "0" {
			return nil, errors.New("--curl needs a URL: the configuration names no port")
		}
		if host == "" || net.ParseIP(host).IsUnspecified() {
			host = "127.0.0.1"
		}
		route, _, err := l.WebhookRoute(f.route)
		if err != nil {
			return nil, err
		}
		return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: route.Path}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%s must be an http or https URL, as in http://127.0.0.1:8080/webhooks/%s", flag, f.route)
	}
	return u, nil
}

// signedMessage is the message with the headers that make it valid.
func (c *command) signedMessage(l *sidecar.Loaded, f *signFlags, target *url.URL, at time.Time) (webhook.Message, error) {
	_, cfg, err := l.WebhookRoute(f.route)
	if err != nil {
		return webhook.Message{}, err
	}
	signing, err := signingConfig(cfg, f.keyFile)
	if err != nil {
		return webhook.Message{}, err
	}
	if at.IsZero() {
		at = time.Now()
	}
	m, err := c.unsignedMessage(cfg, f, at)
	if err != nil {
		return m, err
	}
	if target != nil {
		m.RawQuery = target.RawQuery
	}
	if printsSecret(signing) && f.send == "" {
		return m, &exitError{code: exitUsage, err: errors.New("GitLab's secret token is sent as it is, and a secret is not printed: use --send")}
	}
	signer, err := webhook.NewSigner(signing)
	if err != nil {
		return m, keyProblem(f.keyFile, err)
	}
	signed, err := signer.Sign(m)
	if err != nil {
		return m, &exitError{code: exitFailed, err: fmt.Errorf("%w: look at the id, and whether %s signs bodies of this kind", err, cfg.Provider)}
	}
	maps.Copy(m.Header, signed)
	return m, c.tryOut(cfg, f, m)
}

// tryOut judges the message as the route will.
func (c *command) tryOut(cfg webhook.VerifierConfig, f *signFlags, m webhook.Message) error {
	v, err := webhook.NewVerifier(cfg)
	if err != nil {
		return err
	}
	got, err := v.Verify(m)
	switch {
	case errors.Is(err, webhook.ErrTimestamp):
		fmt.Fprintf(c.stderr, "handrail: warning: the route will refuse it: the time in the body is not %s\n", m.Now.UTC().Format(time.RFC3339))
	case err != nil && f.keyFile != "":
		return &exitError{code: exitFailed, err: fmt.Errorf("the key in %s belongs to none of the route's secrets", f.keyFile)}
	case err != nil:
		return &exitError{code: exitFailed, err: err}
	case got.ID == "" && !got.NotDeduplicated:
		fmt.Fprintln(c.stderr, "handrail: warning: the route will refuse it: the body has no event id where one is expected")
	}
	return nil
}

// unsignedMessage is the body that is given, or one that is made up.
func (c *command) unsignedMessage(cfg webhook.VerifierConfig, f *signFlags, at time.Time) (webhook.Message, error) {
	s := newSample(cfg, f.id, at)
	m := webhook.Message{Header: s.header, Now: at}
	if f.body == "" {
		var err error
		m.Body, err = s.body()
		return m, err
	}
	if f.id != "" && !strings.HasPrefix(s.source, "header:") {
		return m, fmt.Errorf("--id: the id of this route's events is in the body (%s): write it there", s.source)
	}
	var err error
	if m.Body, err = c.readInput(f.body, maxMessageBytes); err == nil && cfg.Provider != "twilio" {
		m.Header.Set("Content-Type", contentType(m.Body))
	}
	return m, err
}

// printSigned prints headers, and the body when nobody has it yet.
func (c *command) printSigned(file string, m webhook.Message) {
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		fmt.Fprintf(c.stdout, "%s: %s\n", name, adminclient.Printable(m.Header.Get(name)))
	}
	if file == "" {
		fmt.Fprintf(c.stdout, "\n%s\n", m.Body)
	}
}

// printCurl prints a command line for a POSIX shell.
func (c *command) printCurl(file string, target *url.URL, m webhook.Message) error {
	body := "--data-raw " + quoted(string(m.Body))
	switch {
	case file == standardInput:
		return errors.New("--curl cannot name standard input: save the body to a file")
	case file != "":
		body = "--data-binary " + quoted("@"+file)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "curl -i --globoff %s", quoted(target.String()))
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		fmt.Fprintf(&b, " \\\n  -H %s", quoted(name+": "+m.Header.Get(name)))
	}
	fmt.Fprintf(c.stdout, "%s \\\n  %s\n", b.String(), body)
	return nil
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// quoted is one word for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func contentType(body []byte) string {
	if t := strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		return "application/json"
	}
	if _, err := url.ParseQuery(string(body)); err == nil && strings.Contains(string(body), "=") {
		return formType
	}
	return "application/octet-stream"
}

const formType = "application/x-www-form-urlencoded"
