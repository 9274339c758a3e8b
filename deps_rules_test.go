package handrail_test

import (
	"slices"
	"strings"
	"testing"
)

// made is a graph from lines such as "health > fmt, internal/httpx": names with
// a dot in the first element are third-party modules, names of the house are
// ours, all others are the standard library's.
func made(lines ...string) graph {
	g := graph{}
	add := func(name string) string {
		p := pkg{ImportPath: name}
		first, _, _ := strings.Cut(name, "/")
		_, housed := roomOf(module + "/" + name)
		switch {
		case strings.Contains(first, "."):
			p.Module = &struct{ Path string }{name}
		case housed, strings.HasPrefix(name, "internal/"), strings.HasPrefix(name, "new/"):
			p.ImportPath = module + "/" + name
			p.Module = &struct{ Path string }{module}
		default:
			p.Standard = true
		}
		if _, ok := g[p.ImportPath]; !ok {
			g[p.ImportPath] = p
		}
		return p.ImportPath
	}
	for _, line := range lines {
		from, imports, _ := strings.Cut(line, " > ")
		path := add(from)
		for name := range strings.SplitSeq(imports, ", ") {
			p := g[path]
			p.Imports = append(slices.Clone(p.Imports), add(name))
			g[path] = p
		}
	}
	return g
}

func TestRulesBite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule  string
		graph []string
		want  []string // part of each violation; none: allowed
	}{
		{"public packages use the standard library and what they share", []string{"health > net/http, internal/httpx", "internal/httpx > net/http"}, nil},
		{"public packages never import each other", []string{"webhook > ratelimit"}, []string{"webhook imports ratelimit: public packages never"}},
		{"a public package imports no adapter", []string{"webhook > webhook/sqlstore"}, []string{"webhook imports webhook/sqlstore: imports go down"}},
		{"a public package imports no assembly", []string{"flags > internal/sidecar"}, []string{"flags imports internal/sidecar: imports go down"}},
		{"a public package links no third-party module", []string{"ratelimit > github.com/redis/go-redis/v9"}, []string{"ratelimit links github.com/redis/go-redis/v9 (ratelimit → github.com/redis/go-redis/v9)"}},
		{"nor through what it shares", []string{"health > internal/strictyaml", "internal/strictyaml > go.yaml.in/yaml/v3"}, []string{"health links go.yaml.in/yaml/v3 (health → internal/strictyaml → go.yaml.in/yaml/v3)"}},
		{"flags parse YAML and hash", []string{"flags > internal/strictyaml, github.com/twmb/murmur3", "internal/strictyaml > go.yaml.in/yaml/v3"}, nil},
		{"flags link nothing else", []string{"flags > github.com/spf13/cobra"}, []string{"flags links github.com/spf13/cobra"}},
		{"what a permitted module links is its own affair", []string{"observe/prom > github.com/prometheus/client_golang", "github.com/prometheus/client_golang > github.com/beorn7/perks"}, nil},
		{"an adapter builds on its public package", []string{"webhook/sqlstore > webhook, modernc.org/sqlite, internal/httpx"}, nil},
		{"an adapter brings one family", []string{"webhook/sqlstore > github.com/redis/go-redis/v9"}, []string{"webhook/sqlstore links github.com/redis/go-redis/v9"}},
		{"an adapter knows no other public package", []string{"observe/prom > ratelimit"}, []string{"observe/prom imports ratelimit: an adapter knows its own"}},
		{"an adapter imports no adapter", []string{"webhook/sqlstore > webhook/stripehook"}, []string{"webhook/sqlstore imports webhook/stripehook: imports go down"}},
		{"what is shared knows nothing of its users", []string{"internal/clientip > ratelimit"}, []string{"internal/clientip imports ratelimit: imports go down"}},
		{"what is shared stands alone", []string{"internal/clientip > internal/httpx"}, []string{"internal/clientip imports internal/httpx: imports go down"}},
		{"what is shared links nothing", []string{"internal/httpx > golang.org/x/sys"}, []string{"internal/httpx links golang.org/x/sys"}},
		{"the sidecar puts everything together", []string{"internal/sidecar > flags, ratelimit/redislimit, webhook, internal/upstream, github.com/spf13/cobra", "cmd/handrail > internal/sidecar"}, nil},
		{"a tree's packages know each other", []string{"internal/sidecar > internal/sidecar/config"}, nil},
		{"the proxy knows no sidecar", []string{"internal/upstream > internal/sidecar"}, []string{"internal/upstream imports internal/sidecar: imports go down"}},
		{"the proxy links nothing", []string{"internal/upstream > github.com/redis/go-redis/v9"}, []string{"internal/upstream links github.com/redis/go-redis/v9"}},
		{"nothing imports a binary", []string{"internal/sidecar > cmd/handrail"}, []string{"internal/sidecar imports cmd/handrail: imports go down"}},
		{"a package without a line is told", []string{"new/room > fmt"}, []string{"new/room has no line in the house"}},
		{"a test suite knows its public package", []string{"ratelimit/ratelimittest > ratelimit, testing"}, nil},
		{"a test suite knows no other", []string{"ratelimit/ratelimittest > webhook"}, []string{"ratelimit/ratelimittest imports webhook: test support knows"}},
		{"servers for tests need nothing of ours", []string{"internal/testenv > health"}, []string{"internal/testenv imports health: test support knows"}},
		{"testing never reaches a binary", []string{"cmd/handrail > internal/sidecar", "internal/sidecar > github.com/example/x", "github.com/example/x > testing"}, []string{
			"internal/sidecar reaches testing (internal/sidecar → github.com/example/x → testing)",
			"cmd/handrail reaches testing (cmd/handrail → internal/sidecar → github.com/example/x → testing)",
		}},
		{"testing never reaches a service", []string{"flags > testing"}, []string{"flags reaches testing"}},
		{"test support never reaches a binary", []string{"internal/sidecar > webhook/webhooktest", "cmd/handrail > internal/sidecar", "webhook/webhooktest > webhook"}, []string{
			"internal/sidecar imports webhook/webhooktest: tests alone",
			"cmd/handrail reaches webhook/webhooktest (cmd/handrail → internal/sidecar → webhook/webhooktest)",
		}},
		{"servers for tests never reach a binary", []string{"cmd/handrail > internal/testenv"}, []string{"cmd/handrail imports internal/testenv: tests alone", "cmd/handrail reaches internal/testenv"}},
		{"limiter suites never reach a binary", []string{"cmd/handrail > ratelimit/ratelimittest"}, []string{"cmd/handrail imports ratelimit/ratelimittest: tests alone", "cmd/handrail reaches ratelimit/ratelimittest"}},
		{"the gate never reaches the sidecar", []string{"cmd/handrail > internal/gate/ddl"}, []string{"internal/gate/ddl has no line", "cmd/handrail reaches internal/gate/ddl"}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			got := violations(made(tt.graph...))
			if len(got) != len(tt.want) {
				t.Fatalf("violations %q, want %q", got, tt.want)
			}
			for i, part := range tt.want {
				if !strings.Contains(got[i], part) && !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, part) }) {
					t.Errorf("violations %q, want one with %q", got, part)
				}
			}
		})
	}
}

func TestEveryBanBites(t *testing.T) {
	t.Parallel()
	for _, b := range bans {
		from := module + "/" + strings.TrimSuffix(b.from, "/...")
		not := strings.TrimSuffix(b.not, "/...")
		ours := &struct{ Path string }{module}
		g := graph{
			from:      {ImportPath: from, Module: ours, Imports: []string{"between"}},
			"between": {ImportPath: "between", Imports: []string{not}},
			not:       {ImportPath: not},
		}
		if got := banned(g); len(got) == 0 {
			t.Errorf("%s reaches %s, and nothing was said", b.from, b.not)
		}
	}
}

func TestEveryRoomHasAReason(t *testing.T) {
	t.Parallel()
	for _, r := range house {
		if r.layer == 0 || r.why == "" {
			t.Errorf("%s: layer %d, reason %q", r.path, r.layer, r.why)
		}
	}
	for _, b := range bans {
		if b.why == "" {
			t.Errorf("%s may not reach %s: no reason", b.from, b.not)
		}
	}
}

func TestUnexplained(t *testing.T) {
	t.Parallel()
	reasons := map[string]string{"a": "because", "c": "once needed", "d": ""}
	got := unexplained("go.mod", []string{"a", "b", "d"}, reasons)
	want := []string{"go.mod names b,", "go.mod names d,", "reason for c,"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("got %q, want it to say %q", got[i], want[i])
		}
	}
}
