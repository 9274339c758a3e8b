// Package demo is what 'handrail demo' shows: a small app, a configuration for
// the sidecar in front of it, and commands to try.
package demo

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

//go:embed files
var files embed.FS

// Demo is an app that runs and the files of a sidecar for it.
type Demo struct {
	Dir    string // holds handrail.yaml and flags.yaml
	Config string // the path of handrail.yaml
	app    *app
}

// Start starts the app on a free port of loopback and writes the files to a
// new temporary directory. Close ends both.
func Start() (*Demo, error) {
	dir, err := os.MkdirTemp("", "handrail-demo-")
	if err != nil {
		return nil, err
	}
	d := &Demo{Dir: dir, Config: filepath.Join(dir, "handrail.yaml")}
	if d.app, err = startApp(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	values := strings.NewReplacer(
		"LISTEN", prefer("127.0.0.1:8080"), "ADMIN", prefer("127.0.0.1:9090"),
		"UPSTREAM", d.app.url(), "SECRET", secret,
	)
	for _, name := range []string{"handrail.yaml", "flags.yaml"} {
		data, err := files.ReadFile("files/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(values.Replace(string(data))), 0o600)
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// Close stops the app and removes the files.
func (d *Demo) Close() error {
	return errors.Join(d.app.close(), os.RemoveAll(d.Dir))
}

// prefer is addr, or any free port of loopback when somebody listens there.
func prefer(addr string) string {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = ln.Close()
	return addr
}

// A Try is a command to paste into a shell and a piece of what it prints.
type Try struct {
	About   string
	Command string
	Prints  string
}

// Tries are the commands to show, in an order in which each works.
func Tries(public, admin string) []Try {
	url, adminURL := "http://"+public, "http://"+admin
	event := fmt.Sprintf("curl -s -H \"Stripe-Signature: $(curl -s %s/demo/signature)\" -d '%%s' %s/webhooks/stripe", url, url)
	forged := strings.Replace(payload, `"amount":100`, `"amount":999`, 1)
	return []Try{
		{"The app behind the sidecar", "curl -s " + url + "/", "Hello from the app"},
		{"Eight sign-ins in ten minutes, then 429",
			"for i in 1 2 3 4 5 6 7 8 9; do curl -s -o /dev/null -w '%{http_code} ' -X POST " + url + "/login; done; echo",
			"200 200 200 200 200 200 200 200 429"},
		{"When to come back, to the second", "curl -s -i -X POST " + url + "/login", "Retry-After: "},
		{"A forged address changes nothing", "curl -s -X POST -H 'X-Forwarded-For: 203.0.113.7' " + url + "/login", "rate_limited"},
		{"A page behind a flag: closed", "curl -s -i " + url + "/v2/checkout", "404 Not Found"},
		{"The same page for user-1, who is on the flag's allow list", "curl -s -H 'Cookie: uid=user-1' " + url + "/v2/checkout", "The new checkout"},
		{"What the app is told about user-1", "curl -s -H 'Cookie: uid=user-1' " + url + "/", `Handrail-Flags: "new-checkout"`},
		{"A signed Stripe webhook reaches the app", fmt.Sprintf(event, payload), `"received":"evt_demo"`},
		{"The same event again does not", fmt.Sprintf(event, payload), `"status":"duplicate"`},
		{"A changed byte is refused", fmt.Sprintf(event, forged), "invalid_signature"},
		{"What a load balancer polls", "curl -s " + url + "/health", `"upstream":"ok"`},
		{"Metrics, on the admin listener", "curl -s " + adminURL + "/metrics | grep ^handrail_", "handrail_ratelimit_decisions_total"},
	}
}

// Print writes the commands for a person to paste.
func (d *Demo) Print(w io.Writer, public, admin string) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nHandrail listens on http://%s in front of a small app on %s.\n", public, d.app.url())
	b.WriteString("Paste these into another terminal:\n")
	for _, t := range Tries(public, admin) {
		fmt.Fprintf(&b, "\n# %s\n%s\n", t.About, t.Command)
	}
	fmt.Fprintf(&b, "\nChange %s while it runs: a new percentage counts within seconds.\nCtrl-C ends the demo.\n\n",
		filepath.Join(d.Dir, "flags.yaml"))
	_, _ = io.WriteString(w, b.String())
}
