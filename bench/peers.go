package main

import (
	"embed"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// conf holds the configurations of the peers as templates of a place, and what
// wrk runs.
//
//go:embed conf
var conf embed.FS

// A peer is one way of answering the client.
type peer struct {
	Name  string
	About string

	program string // to look up; handrailProgram and selfProgram are built
	config  string // template; "" for none
	file    string // its name in place.Dir
	args    func(place) []string
	status  int  // of every answer
	clients int  // addresses that the client speaks for; 0: its own alone
	redis   bool // needs a server of its own
	sidecar bool // has an admin socket
	checked bool // shows that its safeguards are on
	added   bool // by the command line: nothing is known of it
}

// definitions are the flags of handrail-safe. Under the name flags.yaml every
// sidecar would read them.
const definitions = "definitions.yaml"

const (
	handrailProgram = "handrail"
	selfProgram     = "bench"
)

// A place is where one peer runs for one measurement.
type place struct {
	Dir    string
	Listen string // host:port of the peer
	Port   string
	App    string // host:port behind it
	Redis  string // URL, "" without one
	Admin  string // path of the sidecar's socket
	Cores  int
}

func (p place) path(name string) string { return filepath.Join(p.Dir, name) }

// References of the ratios and goals.
const (
	nginx    = "nginx"
	caddy    = "caddy"
	tuned    = "httputil-tuned"
	deny     = "deny"
	bare     = "handrail"
	limit    = "handrail-limit"
	safe     = "handrail-safe"
	denied   = "handrail-denied"
	clientsN = 4096 // addresses in front of handrail-safe
)

func allPeers() []peer {
	self := func(name, about, kind string, status int) peer {
		return peer{Name: name, About: about, program: selfProgram, status: status, args: func(p place) []string {
			return []string{serveCommand, kind, p.Listen, p.App}
		}}
	}
	safePeer := sidecarPeer(safe, "every safeguard: ids, access log to a file, metrics, flags, a limit in Redis for 4096 addresses", embedded("handrail-safe.yaml"))
	safePeer.redis, safePeer.clients, safePeer.checked = true, clientsN, true
	deniedPeer := sidecarPeer(denied, "a client over its limit, counts in Redis, no log", embedded("handrail-denied.yaml"))
	deniedPeer.redis, deniedPeer.status = true, http.StatusTooManyRequests
	return []peer{
		external(nginx, "keep-alive to the app, a worker a core, no log", "nginx.conf", func(p place) []string {
			return []string{"-p", p.Dir, "-c", p.path("nginx.conf"), "-e", p.path("nginx-error.log")}
		}),
		external("haproxy", "keep-alive to the app, a thread a core, no log", "haproxy.cfg", func(p place) []string {
			return []string{"-db", "-f", p.path("haproxy.cfg")}
		}),
		external(caddy, "keep-alive to the app, no log", "Caddyfile", func(p place) []string {
			return []string{"run", "--config", p.path("Caddyfile"), "--adapter", "caddyfile"}
		}),
		self("relay", "a program in Go that passes bytes on and looks at none of them", "relay", http.StatusOK),
		self(tuned, "httputil.ReverseProxy with a buffer pool and idle connections enough", "tuned", http.StatusOK),
		self("httputil", "httputil.ReverseProxy with the default transport", "default", http.StatusOK),
		sidecarPeer(bare, "the proxy alone: no limits, no flags, no log", embedded("handrail-bare.yaml")),
		sidecarPeer(limit, "the proxy and a limit that is never reached, counts in memory", embedded("handrail-limit.yaml")),
		safePeer,
		self(deny, "a net/http handler that only writes 429", "deny", http.StatusTooManyRequests),
		self("deny-answer", "a net/http handler that writes the sidecar's 429: the same header and body", "deny-answer", http.StatusTooManyRequests),
		deniedPeer,
	}
}

func external(name, about, file string, args func(place) []string) peer {
	return peer{Name: name, About: about, program: name, config: embedded(file), file: file, args: args, status: http.StatusOK}
}

func sidecarPeer(name, about, config string) peer {
	return peer{
		Name: name, About: about, program: handrailProgram, config: config, file: "handrail.yaml",
		status: http.StatusOK, sidecar: true,
		args: func(p place) []string { return []string{"serve", "--config", p.path("handrail.yaml")} },
	}
}

// embedded is a file of conf, which is there because it was compiled in.
func embedded(name string) string {
	text, err := conf.ReadFile("conf/" + name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// render fills a configuration in.
func render(config string, p place) (string, error) {
	t, err := template.New("config").Option("missingkey=error").Parse(config)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return "", err
	}
	return b.String(), nil
}

func names(peers []peer) []string {
	out := make([]string, len(peers))
	for i, p := range peers {
		out[i] = p.Name
	}
	return out
}

// choose returns the peers that are asked for, in the order of the table, and
// those that were added.
func choose(o options) ([]peer, error) {
	peers := append(allPeers(), o.added...)
	known := names(peers)
	for i, name := range known {
		if slices.Contains(known[:i], name) {
			return nil, fmt.Errorf("-add: there are two peers %q", name)
		}
	}
	if o.only == nil {
		return peers, nil
	}
	for _, name := range o.only {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("-peers: %q is none of %s", name, strings.Join(known, ", "))
		}
	}
	wanted := append(names(o.added), o.only...)
	return slices.DeleteFunc(peers, func(p peer) bool { return !slices.Contains(wanted, p.Name) }), nil
}
