package handrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/handrail-go/handrail"

// dependencies are the modules that go.mod names as direct, and why we have
// each: what it saves us, and why this one.
var dependencies = map[string]string{
	"github.com/caarlos0/env/v11":            "envcheck reads structs from the environment through it, as services already do",
	"github.com/cucumber/godog":              "tests only: runs the published scenarios of flagd as they stand",
	"github.com/diegoholiveira/jsonlogic/v3": "flags/flagd: JSONLogic as flagd itself reads it",
	"github.com/dunglas/httpsfv":             "tests only: reads the structured fields that ratelimit writes by hand",
	"github.com/getsentry/sentry-go":         "observe/sentryobs: the vendor's own client",
	"github.com/go-redis/redis_rate/v10":     "ratelimit/redislimit: GCRA in Redis, as services already use it; also the peer its windows are measured against",
	"github.com/google/go-cmp":               "tests only: differences of structures that a person can read",
	"github.com/jackc/pgx/v5":                "PostgreSQL: health's ping, stores; the driver that is maintained, without cgo",
	"github.com/joho/godotenv":               "envcheck reads .env files as the apps' own loaders do",
	"github.com/open-feature/go-sdk":         "flags/openfeature: the API that services ask flags through",
	"github.com/prometheus/client_golang":    "observe/prom: the metrics format that everybody scrapes",
	"github.com/redis/go-redis/v9":           "Redis: scripts, Cluster, Sentinel and TLS in one client",
	"github.com/rogpeppe/go-internal":        "tests only: testscript runs the binaries as a user does",
	"github.com/spf13/cobra":                 "cmd/*: commands, flags, help and completion",
	"github.com/stripe/stripe-go/v79":        "webhook/stripehook: the vendor's own typed events, and the judge of our verification",
	"github.com/twmb/murmur3":                "flags: the hash of flagd and Unleash, seeded, without allocation",
	"go.yaml.in/yaml/v3":                     "YAML with the line and column of every node, which strict errors need",
	"modernc.org/sqlite":                     "webhook/sqlstore: the embedded store, without cgo, so that binaries stay static",
}

// tools are what tools/go.mod pins, and why.
var tools = map[string]string{
	"github.com/golangci/golangci-lint/v2/cmd/golangci-lint": "make check: many linters, one parse of the code, one pinned version",
}

// A layer of the house. A package imports from lower layers only.
type layer int

const (
	leaf      layer = iota + 1 // what public packages share
	public                     // what a service imports
	adapter                    // a public package on one outside system
	part                       // what only the binaries need
	assembly                   // what the binaries are made of
	binary                     // what people run, and programs that show how
	testSide                   // what tests import; nothing else may
	unlimited = "*"            // in room.links: any module of go.mod
)

// A room is a package, or with a trailing /... a tree of packages, with its
// place in the house.
type room struct {
	path  string // below the module
	layer layer
	// links are the prefixes of the third-party modules that the package and all
	// of our packages that it imports may import. None: the standard library only.
	links []string
	why   string
}

var house = []room{
	{"internal/http1", leaf, nil, "the wire: server and upstream read it alike"},
	{"internal/httpx", leaf, nil, "every middleware links it"},
	{"internal/clientip", leaf, nil, "ratelimit and observe link it, and they bring nothing"},
	{"internal/route", leaf, nil, "ratelimit, observe and flags link it"},
	{"internal/filewatch", leaf, nil, "flags and the sidecar link it"},
	{"internal/strictyaml", leaf, []string{"go.yaml.in/yaml/v3"}, "a parser of YAML; whoever must bring nothing cannot import it"},

	{"flags", public, []string{"github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "a hash, definitions in YAML, nothing else"},
	{"ratelimit", public, nil, "a service that limits in memory links no Redis client"},
	{"webhook", public, nil, "a service that verifies one provider links no other's library and no database"},
	{"health", public, nil, "checks are functions: a service's own clients are inside them"},
	{"observe", public, nil, "events go to functions: no metrics library is imposed on a service"},
	{"envcheck", public, []string{"github.com/caarlos0/env/", "github.com/joho/godotenv"}, "the struct reader and the .env reader that services know"},

	{"flags/flagd", adapter, []string{"github.com/diegoholiveira/jsonlogic/", "github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "flagd's definition files"},
	{"flags/ofrep", adapter, []string{"github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "OpenFeature Remote Evaluation Protocol, on net/http"},
	{"flags/openfeature", adapter, []string{"github.com/open-feature/go-sdk", "github.com/go-logr/", "go.uber.org/", "golang.org/x/", "github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "OpenFeature's Go SDK"},
	{"flags/redisflags", adapter, []string{"github.com/redis/go-redis/", "github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "Redis"},
	{"ratelimit/redislimit", adapter, []string{"github.com/redis/go-redis/", "github.com/go-redis/redis_rate/"}, "Redis"},
	{"webhook/stripehook", adapter, []string{"github.com/stripe/stripe-go/"}, "Stripe"},
	{"webhook/redisstore", adapter, []string{"github.com/redis/go-redis/"}, "Redis"},
	{"webhook/sqlstore", adapter, []string{"modernc.org/sqlite", "github.com/jackc/pgx/"}, "SQL databases"},
	{"observe/prom", adapter, []string{"github.com/prometheus/"}, "Prometheus"},
	{"observe/sentryobs", adapter, []string{"github.com/getsentry/sentry-go"}, "Sentry"},

	{"internal/server", part, nil, "what clients talk to is net/http's types and nothing else"},
	{"internal/upstream", part, nil, "the proxy is net/http and nothing else"},
	{"internal/flaglint", part, []string{"github.com/twmb/murmur3", "go.yaml.in/yaml/v3"}, "reads code and definitions, nothing else"},
	{"internal/adminclient", part, nil, "commands ask a running sidecar by net/http and nothing else"},
	{"internal/demo", part, []string{"github.com/stripe/stripe-go/"}, "an app that signs its own webhooks to show them"},
	{"internal/sidecar/...", assembly, []string{unlimited}, "puts all of it together"},
	{"cmd/...", binary, []string{unlimited}, "a few lines around the assembly"},
	{"examples/...", binary, []string{unlimited}, "programs of a user"},
	{"bench/webhooks/byhand", binary, []string{"github.com/stripe/stripe-go/", "github.com/jackc/pgx/"}, "what people write without us, to measure beside"},
	{"bench/...", binary, nil, "measures the binaries from outside, as a user runs them"},

	{"internal/testenv", testSide, nil, "starting a server needs no client of it"},
	{"ratelimit/ratelimittest", testSide, nil, "a suite for every limiter brings no backend"},
	{"webhook/webhooktest", testSide, nil, "a suite for every store brings no backend"},
}

// A ban keeps what matches not out of the closure of what matches from, however
// long the way. Both may end in /..., and not is a whole import path.
type ban struct {
	from, not, why string
}

var bans = []ban{
	{"internal/sidecar/...", "testing", "it registers flags and tells a binary that it is a test; a service that links it ships its tests"},
	{"internal/upstream", "testing", "as above"},
	{"internal/demo", "testing", "as above"},
	{"cmd/...", "testing", "as above"},
	{"cmd/...", module + "/internal/testenv", "a production binary starts no database servers"},
	{"cmd/...", module + "/ratelimit/ratelimittest", "suites belong to tests"},
	{"cmd/...", module + "/webhook/webhooktest", "suites and signers belong to tests"},
	{"cmd/handrail", module + "/internal/gate/...", "SQL parsers and DDL credentials never reach the binary that faces the network"},
	{"flags", "testing", "a service links it"},
	{"ratelimit", "testing", "a service links it"},
	{"webhook", "testing", "a service links it"},
	{"health", "testing", "a service links it"},
	{"observe", "testing", "a service links it"},
	{"envcheck", "testing", "a service links it"},
}

// pkg is what `go list -deps -json` says about a package, as far as we ask.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

func (p pkg) ours() bool { return p.Module != nil && p.Module.Path == module }

type graph map[string]pkg

// closure is all that the package imports, over any number of steps, itself
// included, in a fixed order.
func (g graph) closure(path string) []string {
	seen := map[string]bool{path: true}
	for queue := []string{path}; len(queue) > 0; queue = queue[1:] {
		for _, imported := range g[queue[0]].Imports {
			if !seen[imported] {
				seen[imported] = true
				queue = append(queue, imported)
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// way is a shortest chain of imports, as in "a → b → c".
func (g graph) way(from, to string) string {
	ways := map[string]string{from: short(from)}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, imported := range g[queue[0]].Imports {
			if _, ok := ways[imported]; !ok {
				ways[imported] = ways[queue[0]] + " → " + short(imported)
				queue = append(queue, imported)
			}
		}
	}
	return ways[to]
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

// matches reports whether the import path is pattern, or in its tree when the
// pattern ends in /....
func matches(pattern, path string) bool {
	tree, ok := strings.CutSuffix(pattern, "/...")
	return path == tree || ok && strings.HasPrefix(path, tree+"/")
}

func roomOf(path string) (room, bool) {
	for _, r := range house {
		if matches(r.path, short(path)) {
			return r, true
		}
	}
	return room{}, false
}

// violations lists what breaks the rules above, in a fixed order.
func violations(g graph) []string {
	var found []string
	for _, path := range slices.Sorted(maps.Keys(g)) {
		p := g[path]
		if !p.ours() || path == module && len(p.Imports) == 0 {
			continue // the root of the repository holds tests only
		}
		from, ok := roomOf(path)
		if !ok {
			found = append(found, fmt.Sprintf("%s has no line in the house: give it one, with its layer and what it may link", short(path)))
			continue
		}
		for _, imported := range p.Imports {
			if to, ok := roomOf(imported); ok && g[imported].ours() {
				if reason := mayNot(from, short(path), to, short(imported)); reason != "" {
					found = append(found, fmt.Sprintf("%s imports %s: %s", short(path), short(imported), reason))
				}
			}
		}
		found = append(found, strangers(g, path, from)...)
	}
	return append(found, banned(g)...)
}

// mayNot says why one of our packages may not import another, "" when it may.
func mayNot(from room, path string, to room, imported string) string {
	sameTree := strings.HasSuffix(from.path, "/...") && from.path == to.path
	parent, _, _ := strings.Cut(path, "/")
	switch {
	case sameTree:
		return ""
	case to.layer == testSide:
		return "tests alone may import it"
	case from.layer == testSide && to.layer == public && parent == imported, from.layer == testSide && to.layer == leaf:
		return ""
	case from.layer == testSide:
		return "test support knows its own public package only"
	case from.layer == adapter && to.layer == public && parent != imported:
		return "an adapter knows its own public package only; what several need is put together in internal/sidecar"
	case from.layer == public && to.layer == public:
		return "public packages never import each other: a service takes one without the others"
	case to.layer >= from.layer:
		return "imports go down: cmd → internal/{sidecar,gate,upstream} → adapters → public packages → internal/{httpx,clientip,…}"
	}
	return ""
}

// strangers lists the third-party modules that a room links without leave: its
// own imports, and those of our packages that it imports.
func strangers(g graph, path string, r room) []string {
	if slices.Contains(r.links, unlimited) {
		return nil
	}
	var found []string
	for _, ours := range g.closure(path) {
		if !g[ours].ours() {
			continue
		}
		for _, imported := range g[ours].Imports {
			m := g[imported].Module
			if m == nil || m.Path == module {
				continue
			}
			allowed := slices.ContainsFunc(r.links, func(prefix string) bool { return strings.HasPrefix(m.Path, prefix) })
			if !allowed {
				found = append(found, fmt.Sprintf("%s links %s (%s): %s", short(path), m.Path, g.way(path, imported), r.why))
			}
		}
	}
	return found
}

func banned(g graph) []string {
	var found []string
	for _, b := range bans {
		for _, path := range slices.Sorted(maps.Keys(g)) {
			if !g[path].ours() || !matches(b.from, short(path)) {
				continue
			}
			for _, reached := range g.closure(path) {
				if matches(b.not, reached) {
					found = append(found, fmt.Sprintf("%s reaches %s (%s): %s", short(path), short(reached), g.way(path, reached), b.why))
				}
			}
		}
	}
	return found
}

func TestImports(t *testing.T) {
	g := graph{}
	for decoder := json.NewDecoder(bytes.NewReader(goTool(t, "list", "-deps", "-json=ImportPath,Standard,Imports,Module", "./..."))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p
	}
	for _, v := range violations(g) {
		t.Error(v)
	}
}

func TestDirectDependenciesHaveAReason(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(goTool(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	for _, problem := range unexplained("go.mod", direct, dependencies) {
		t.Error(problem)
	}

	var toolMod struct{ Tool []struct{ Path string } }
	if err := json.Unmarshal(goTool(t, "mod", "edit", "-json", "tools/go.mod"), &toolMod); err != nil {
		t.Fatal(err)
	}
	var pinned []string
	for _, tool := range toolMod.Tool {
		pinned = append(pinned, tool.Path)
	}
	for _, problem := range unexplained("tools/go.mod", pinned, tools) {
		t.Error(problem)
	}
}

// unexplained lists the names without a reason and the reasons without a name.
func unexplained(file string, names []string, reasons map[string]string) []string {
	var found []string
	for _, name := range names {
		if reasons[name] == "" {
			found = append(found, fmt.Sprintf("%s names %s, and deps_test.go gives no reason for it", file, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		if !slices.Contains(names, name) {
			found = append(found, fmt.Sprintf("deps_test.go has a reason for %s, which %s does not name as direct", name, file))
		}
	}
	return found
}

func goTool(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}
