package sidecar_test

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// knownPaths are the keys of the configuration, with [] for each list.
func knownPaths() map[string]reflect.Type {
	out := map[string]reflect.Type{"": nil}
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		out[path] = t
		switch {
		case t.Kind() == reflect.Slice:
			walk(path+"[]", t.Elem())
		case t.Kind() == reflect.Struct:
			for f := range t.Fields() {
				if name := f.Tag.Get("yaml"); name != "" {
					walk(strings.TrimPrefix(path+"."+name, "."), f.Type)
				}
			}
		}
	}
	walk("", reflect.TypeFor[sidecar.Config]())
	return out
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

func general(path string) string { return index.ReplaceAllString(path, "[]") }

// full sets every part of a configuration, so that each can be spoilt.
const full = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0", token: 0123456789abcdef}
metrics: {listen: "127.0.0.1:0"}
environment: staging
namespace: shop
key_secret: 0123456789abcdef
trusted_proxies: [private]
forwarded_header: X-Forwarded-For
underscore_headers: drop
dangerously_trust_all_proxies: false
upstream: {url: "http://127.0.0.1:1", timeout: 1s, idle_timeout: 1s, total_timeout: 1m, transport: std}
paths: {encoded_slash: refuse}
redis: ""
database: "postgres://127.0.0.1:1/x"
data_dir: DIR
replicas: 1
rate_limits:
  - name: auth
    match: {methods: [POST], paths: [/login], exact: false}
    key: ["json:/email"]
    ipv6_prefix: 64
    max_body: 1KiB
    limit: 8
    window: 10m
    algorithm: sliding_window
    lockout: [{limit: 20, window: 1h, block: 1h}]
    count: failures
    success_statuses: [303]
    on_store_error: local
    mode: enforce
    retry_after: exact
    allow: [10.0.0.0/8]
    deny: [192.0.2.0/24]
  - name: api
    limit: 8
    window: 10m
    algorithm: gcra
    burst: 4
webhooks:
  - name: stripe
    path: /webhooks/stripe
    provider: stripe
    secrets: [whsec_x]
    tolerance: 5m
    max_body: 1MiB
    store: memory
    mode: sync
    replay_guard: true
    timeout: 20s
    retention: 168h
    discard_statuses: [410]
  - name: shop
    path: /webhooks/shop
    provider: hmac
    secrets: [x]
    id: "header:X-Id"
    hmac: {header: X-Signature, algorithm: sha256, encoding: hex, prefix: "sha256=", signed: "{body}"}
    store: postgres
    mode: inbox
    signature: fresh
    inbox: {order: "json:/customer", max_attempts: 100, max_age: 72h, first_retry: 5s, longest_retry: 1h, concurrency: 8, timeout: 1m}
  - {name: square, path: /webhooks/square, provider: square, secrets: [x], public_url: "https://shop.example/webhooks/square", store: memory}
flags:
  source: FLAGS
  token: ""
  interval: 10s
  targeting_key: cookie:uid
  anonymous_cookie: visitor
  ofrep: {public: true, tokens: [0123456789abcdef], public_tokens: [fedcba9876543210]}
  inject: true
  routes: [{flag: new, paths: [/v2], exact: false, otherwise: 404}]
health:
  path: /health
  interval: 5s
  timeout: 1s
  checks: [{name: reports, type: http, url: "http://127.0.0.1:1/", address: "127.0.0.1:1", critical: false, ready: false}]
drain: {delay: 1s, timeout: 1s}
env: {schema: SCHEMA}
exec: {stop_timeout: 1s}
observe: {service: shop, release: r1, log: {format: json, level: info}, routes: ["/users/{id}"], sentry: {dsn: ""}}
`

// spoilers are values that are bad for many keys, and good for some.
var spoilers = []string{
	`""`, `" "`, `"x y"`, `"\0"`, `"é"`, `/`, `//`, `/../x`, `/a?b`, `/%2f`, `/*`, `x`, `"*"`, `"http://["`, `"http://u:p@h/x?y"`,
	`"unix:"`, `"127.0.0.1:99999"`, `"[::1]:0"`, `":0"`, `"header:"`, `"header:a b"`, `"cookie:"`, `"${NOWHERE}"`, `"${file:nowhere}"`, `"$"`,
	`0`, `-1`, `1`, `65`, `512`, `513`, `600`, `99999999999`, `1.5`, `0s`, `-1s`, `1ns`, `1h`, `100000h`, `1KiB`, `1GiB`,
	`true`, `null`, `[]`, `[""]`, `["x y"]`, `[x, x]`, `[0.0.0.0/0]`, `[1]`, `[600]`, `{}`, `{x: y}`, `[{}]`,
	`deny`, `shadow`, `fixed`, `keep`, `Forwarded`, `production`, `sqlite`, `memory`, `tcp`,
	`"redis://h:1"`, `"postgres://h/x"`, `"mysql://h/x"`, `"` + strings.Repeat("x", 300) + `"`,
}

// Whatever one value of a configuration is: problems name keys that exist, and
// what Load accepts starts.
func TestEveryValueSpoilt(t *testing.T) {
	dir := t.TempDir()
	base := strings.NewReplacer("DIR", dir+"/data",
		"FLAGS", writeFile(t, dir, "flags.yaml", "new: {rolloutPercentage: 5}\n"),
		"SCHEMA", writeFile(t, dir, ".env.schema", "PORT=\n")).Replace(full)
	known := knownPaths()
	doc, err := strictyaml.Parse("full", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	for path := range known {
		concrete := strings.ReplaceAll(path, "[]", "[0]")
		if path == "" || strings.HasSuffix(path, "[]") || known[path] == reflect.TypeFor[strictyaml.Unsupported]() {
			continue
		}
		for _, other := range []string{"[1]", "[2]"} { // what does not go together stands in other entries
			if !doc.Seen(concrete) {
				concrete = strings.Replace(path, "[]", other, 1)
			}
		}
		if !doc.Seen(concrete) {
			t.Errorf("%s is missing from this test's configuration", path)
			continue
		}
		t.Run(concrete, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, value := range spoilers {
				spoil(t, dir, replaceValue(t, doc, base, concrete, value), value, known)
			}
		})
	}
}

func spoil(t *testing.T, dir, content, value string, known map[string]reflect.Type) {
	t.Helper()
	l, err := sidecar.Load(sidecar.Options{File: writeFile(t, dir, "handrail.yaml", content), Getenv: env{}.get})
	seen := map[string]bool{}
	for _, p := range problems(t, err) {
		if _, ok := known[general(p.Path)]; !ok {
			t.Errorf("%s: problem at %q, which is no key: %v", value, p.Path, p)
		}
		if p.Line == 0 && !strings.Contains(p.Message, "empty") {
			t.Errorf("%s: no place: %v", value, p)
		}
		if seen[p.Error()] && !strings.Contains(value, "x, x") {
			t.Errorf("%s: reported twice: %v", value, p)
		}
		seen[p.Error()] = true
	}
	if err != nil {
		return
	}
	s, err := sidecar.New(t.Context(), l, io.Discard)
	if err != nil {
		t.Errorf("%s: Load accepts what New does not: %v", value, err)
		return
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: close: %v", value, err)
	}
}

// replaceValue writes value in place of the one at path. It works on this
// test's configuration: values end where their text does.
func replaceValue(t *testing.T, doc *strictyaml.Doc, base, path, value string) string {
	t.Helper()
	lines := strings.Split(base, "\n")
	at := doc.Problem(path, "")
	line := lines[at.Line-1]
	head, rest := line[:at.Column-1], line[at.Column-1:]
	if key := path[strings.LastIndexByte(path, '.')+1:]; !strings.HasSuffix(head, key+": ") {
		// A list or mapping in lines of its own, or an entry: out with it.
		return replaceBlock(lines, at, key, value)
	}
	return strings.Join(slices.Concat(lines[:at.Line-1], []string{head + value + rest[valueLength(rest):]}, lines[at.Line:]), "\n")
}

// valueLength is how long the YAML value is that text begins with.
func valueLength(text string) int {
	depth, quoted := 0, false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case (c == ']' || c == '}') && depth == 0, c == ',' && depth == 0:
			return i
		case c == ']' || c == '}':
			depth--
		}
	}
	return len(text)
}

// replaceBlock writes value for the block that begins at a line with more
// indentation than the line before, which holds its key.
func replaceBlock(lines []string, at *strictyaml.Problem, key, value string) string {
	begin := at.Line - 1
	end := begin
	for end < len(lines) && strings.HasPrefix(lines[end], " ") {
		end++
	}
	return strings.Join(slices.Concat(lines[:begin-1], []string{key + ": " + value}, lines[end:]), "\n")
}

func TestProblemsHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ rule, content, want string }{
		{"unknown key", "colour: blue", `:1:1: unknown key "colour"`},
		{"unknown key, and the one that was meant", "health: {pth: /x}", `:1:10: health: unknown key "pth"; did you mean "path"?`},
		{"a key twice", "listen: ':1'\nlisten: ':2'", `:2:1: listen: is already defined in line 1`},
		{"wrong type", "rate_limits: yes please", `:1:14: rate_limits: expected a list, got a single value`},
		{"a key of a later version", "schema: {manifest: x}", `:1:9: schema: is not supported by this version`},
		{"a mode that there is not", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], mode: async}]", `webhooks[0].mode: must be sync or inbox`},
		{"an inbox in Redis", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], mode: inbox, store: memory}]", `webhooks[0].store: must be postgres, sqlite or auto with mode inbox`},
		{"an inbox that is not used", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], inbox: {max_attempts: 3}}]", `webhooks[0].inbox: is for mode inbox`},
		{"an inbox without attempts", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], mode: inbox, inbox: {max_attempts: 0}}]", `webhooks[0].inbox.max_attempts: must not be zero`},
		{"an order by nothing", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], mode: inbox, inbox: {order: customer}}]", `webhooks[0].inbox.order: must be json:/pointer or header:NAME`},
		{"a fresh signature in mode sync", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], signature: fresh}]", `webhooks[0].signature: is for mode inbox`},
		{"a fresh signature that only the provider can make", "webhooks: [{name: a, path: /a, provider: linear, secrets: [x], mode: inbox, signature: fresh}]", `webhooks[0].signature: cannot be fresh: linear says in the body`},
		{"answers that the provider uses", "webhooks: [{name: a, path: /a, provider: discord, secrets: ['0000000000000000000000000000000000000000000000000000000000000000'], mode: inbox}]", `webhooks[0].mode: must be sync: discord uses`},
		{"a provider that nobody knows", "webhooks: [{name: a, path: /a, provider: acme, secrets: [x]}]", `:1:42: webhooks[0].provider: must be one of stripe, standard`},
		{"an HMAC without an id", "webhooks: [{name: a, path: /a, provider: hmac, secrets: [x], hmac: {header: X-S, algorithm: md5, encoding: hex}}]", `:1:12: webhooks[0].id: is required: json:/pointer, header:NAME or body`},
		{"an HMAC that nobody should use", "webhooks: [{name: a, path: /a, provider: hmac, secrets: [x], id: body, hmac: {header: X-S, algorithm: md5, encoding: hex}}]", `:1:103: webhooks[0].hmac.algorithm: must be sha1, sha256 or sha512`},
		{"a signed URL that is not told", "webhooks: [{name: a, path: /a, provider: square, secrets: [x]}]", `:1:12: webhooks[0].public_url: is required: square signs the URL`},
		{"a timeout above the provider's deadline", "webhooks: [{name: a, path: /a, provider: slack, secrets: [x], timeout: 3s}]", `:1:72: webhooks[0].timeout: must`},
		{"a bad secret hides nothing else", "webhooks: [{name: a, path: /a, provider: slack, secrets: [' x'], timeout: 3s}]", `:1:75: webhooks[0].timeout: must`},
		{"a store without its server", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], store: redis}]", `:1:71: webhooks[0].store: needs redis (REDIS_URL)`},
		{"an algorithm that there is not", "rate_limits: [{name: a, limit: 1, window: 1s, algorithm: leaky}]", `:1:58: rate_limits[0].algorithm: must be "sliding_window", "sliding_counter" or "gcra"`},
		{"failures without what is none", "rate_limits: [{name: a, limit: 1, window: 1s, count: failures}]", `:1:15: rate_limits[0].success_statuses: is required with Count "failures"`},
		{"an error as success", "rate_limits: [{name: a, limit: 1, window: 1s, count: failures, success_statuses: [200, 500]}]", `:1:88: rate_limits[0].success_statuses[1]: must be between 200 and 399`},
		{"a tier below the limit", "rate_limits: [{name: a, limit: 9, window: 1s, lockout: [{limit: 5, window: 1h, block: 1h}]}]", `:1:65: rate_limits[0].lockout[0].limit: must not be below that of the limit itself`},
		{"a burst of nothing", "rate_limits: [{name: a, limit: 9, window: 1s, algorithm: gcra, burst: 0}]", `:1:71: rate_limits[0].burst: must not be zero`},
		{"no replica", "replicas: 0", `:1:11: replicas: must not be zero`},
		{"a variable that is not set", "redis: ${NOWHERE}", `:1:8: redis: environment variable NOWHERE is not set or empty`},
		{"what an entry lacks is at the entry", "rate_limits:\n  - name: a\n    window: 1s", `:2:5: rate_limits[0].limit: must be between 1 and 512`},
		{"a pattern within a list", "rate_limits: [{name: a, limit: 1, window: 1s, match: {paths: [/a, b]}}]", `:1:67: rate_limits[0].match.paths[1]: must start with /`},
		{"two webhooks on one path", "webhooks: [{name: a, path: /A, provider: stripe, secrets: [x]}, {name: b, path: /a/, provider: stripe, secrets: [x]}]", `:1:81: webhooks[1].path: is the same as that of webhooks[0]`},
		{"two webhooks of one name", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x]}, {name: a, path: /b, provider: stripe, secrets: [x]}]", `:1:72: webhooks[1].name: is the same as that of webhooks[0]`},
		{"a webhook where health is", "webhooks: [{name: a, path: /Health, provider: stripe, secrets: [x]}]", `:1:28: webhooks[0].path: is where the sidecar answers health probes`},
		{"a webhook path of no request", "webhooks: [{name: a, path: /a//b, provider: stripe, secrets: [x]}]", `:1:28: webhooks[0].path: has an empty segment`},
		{"health on the app's own page", "health: {path: /}", `:1:16: health.path: must not be /`},
		{"a check under a name that is taken", "health: {checks: [{name: redis, type: tcp, address: 'h:1'}]}", `:1:26: health.checks[0].name: is the name of a check that the sidecar brings along`},
		{"zero is not the default", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], timeout: 0s}]", `:1:73: webhooks[0].timeout: must not be zero or empty`},
		{"a service's name keeps apps apart", "observe: {service: my shop}", `:1:20: observe.service: must be 1 to 64 characters`},
		{"two listeners on one port", "metrics: {listen: '127.0.0.1:9090'}", `:1:19: metrics.listen: has the port of admin.listen`},
		{"the public port again", "listen: ':8080'\nadmin: {listen: '127.0.0.1:8080'}", `:2:17: admin.listen: has the port of listen`},
		{"a token that ends in a newline", "admin: {token: \"0123456789abcdef\\n\"}", `:1:16: admin.token: must be at least 16 bytes long, of visible ASCII`},
		{"admin for everyone without a token", "admin: {listen: ':9090'}", `:1:17: admin.listen: is not loopback, so it needs admin.token`},
		{"trusting the internet", "trusted_proxies: [0.0.0.0/1, 128.0.0.0/1]", `:1:18: trusted_proxies: covers every address`},
		{"flags from elsewhere without TLS", "flags: {source: 'http://flags/x.yaml'}", `flags.source: must begin with https://`},
		{"flags from elsewhere by a bad token", "flags: {source: 'https://flags/x.yaml', token: 'a b'}", `flags.token: must be printable ASCII without spaces`},
		{"an anonymous cookie that is the app's", "flags: {source: '', anonymous_cookie: uid}", `flags.anonymous_cookie: must not be the cookie of flags.targeting_key`},
		{"an anonymous cookie that is none", "flags: {source: '', anonymous_cookie: 'a b'}", `flags.anonymous_cookie: is not the name of a cookie`},
		{"a short token for evaluation", "flags: {source: '', ofrep: {tokens: [short]}}", `flags.ofrep.tokens[0]: must be at least 16 bytes long`},
		{"one token for both listeners", "flags: {source: '', ofrep: {tokens: [0123456789abcdef], public_tokens: [0123456789abcdef]}}", `flags.ofrep.public_tokens[0]: is one of flags.ofrep.tokens`},
		{"a token for a file", "flags: {source: '', token: x}", `flags.token: is for a source that is an https URL`},
		{"flags in Redis without Redis", "flags: {source: redis}", `flags.source: redis needs the key redis`},
		{"routes without flags", "flags: {source: '', routes: [{flag: a, paths: [/a]}]}", `flags.routes: need flags.source`},
		{"a DSN that is none", "observe: {sentry: {dsn: hunter2}}", `:1:25: observe.sentry.dsn: is not a Sentry DSN`},
		{"a database of another kind, written down", "database: 'mysql://root:hunter2@h/app'", `:1:11: database: must be a postgres:// or postgresql:// URL`},
		{"nothing at all", "# soon", `: is empty`},
		{"a list", "[]", `:1:1: expected a mapping, got a list`},
		{"no YAML", "a: [", `is not valid YAML`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := load(t, tt.content, env{"HANDRAIL_UPSTREAM": "http://127.0.0.1:1", "HANDRAIL_TRUSTED_PROXIES": trustFor(tt.content)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant …%s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

// trustFor answers who is trusted wherever the content does not.
func trustFor(content string) string {
	if strings.Contains(content, "trusted_proxies") {
		return ""
	}
	return "none"
}

func TestProblemsNameTheVariableOrFlagTheyComeFrom(t *testing.T) {
	listen, upstream := "nowhere", "nowhere"
	for _, tt := range []struct {
		rule    string
		env     env
		options sidecar.Options
		want    string
	}{
		{"variable", env{"HANDRAIL_LISTEN": "8080"}, sidecar.Options{}, "HANDRAIL_LISTEN: must be HOST:PORT"},
		{"flag over variable", env{"HANDRAIL_LISTEN": ":80"}, sidecar.Options{Listen: &listen}, "--listen: must be HOST:PORT"},
		{"flag", env{}, sidecar.Options{Upstream: &upstream}, "--upstream: must begin with"},
		{"environment", env{"HANDRAIL_ENV": "prod"}, sidecar.Options{}, "HANDRAIL_ENV: must be development, test, staging or production"},
		{"token", env{"HANDRAIL_ADMIN_TOKEN": "hunter2"}, sidecar.Options{}, "HANDRAIL_ADMIN_TOKEN: must be at least 16 bytes long"},
		{"list", env{"HANDRAIL_TRUSTED_PROXIES": "10.0.0.0/8, nope"}, sidecar.Options{}, `HANDRAIL_TRUSTED_PROXIES: "nope" is neither`},
		{"inherited Redis", env{"REDIS_URL": "redis://:hunter2@h:port"}, sidecar.Options{}, "REDIS_URL: has a host that is not"},
		{"inherited database", env{"DATABASE_URL": "postgres://u:hunter2 @h/x"}, sidecar.Options{}, "DATABASE_URL: is not a valid URL"},
		{"inherited DSN", env{"SENTRY_DSN": "hunter2"}, sidecar.Options{}, "SENTRY_DSN: is not a Sentry DSN"},
		{"port of exec", env{"PORT": "http"}, sidecar.Options{Child: true}, "PORT: must end in a port from 0 to 65535"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			tt.options.Getenv = tt.env.get
			tt.options.File = writeFile(t, t.TempDir(), "handrail.yaml", quietConfig)
			_, err := sidecar.Load(tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s and no value", err, tt.want)
			}
		})
	}
}

// Whole configurations that hold only what people may well write.
func TestConfigurationsThatAreFine(t *testing.T) {
	for _, tt := range []struct{ rule, content string }{
		{"keys without anything below", "flags:\nobserve:\nadmin:\n"},
		{"no limits", "rate_limits: []"},
		{"a limit on everything", "rate_limits: [{name: all, limit: 1, window: 1s}]"},
		{"exact patterns that only exact rules can have", `rate_limits: [{name: a, limit: 1, window: 1s, match: {paths: ["/a;v=1", "/b/"], exact: true}}]`},
		{"one port on two addresses", "listen: '127.0.0.1:8080'\nadmin: {listen: '127.0.0.2:8080', token: 0123456789abcdef}"},
		{"a socket", "admin: {listen: 'unix:/run/x.sock'}"},
		{"no discard statuses", "webhooks: [{name: a, path: /a, provider: stripe, secrets: [x], discard_statuses: []}]"},
		{"a database as Prisma writes it", "database: 'postgresql://u:p@h:1/x?schema=public&pgbouncer=true&connection_limit=1'"},
		{"no database although one is inherited", "database: ''"},
		{"no admin", "admin: {listen: ''}"},
		{"JSON", `{"drain": {"delay": "1s"}}`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			e := env{"HANDRAIL_UPSTREAM": "http://127.0.0.1:1", "HANDRAIL_TRUSTED_PROXIES": "none", "DATABASE_URL": "postgres://h/x"}
			l, err := load(t, tt.content, e)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sidecar.New(t.Context(), l, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDurationsOfTheDefaultsAreInRange(t *testing.T) {
	l := mustLoad(t, quietConfig, env{})
	got := fmt.Sprint(l.Upstream.Timeout, l.Upstream.IdleTimeout, l.Health.Interval, l.Health.Timeout, l.Drain.Delay, l.Drain.Timeout, l.Exec.StopTimeout)
	want := fmt.Sprint(time.Minute, 5*time.Minute, 5*time.Second, 800*time.Millisecond, 5*time.Second, 20*time.Second, 10*time.Second)
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
