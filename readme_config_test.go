package handrail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

const configPage = "docs/configuration.md"

// A row is what docs/configuration.md says about a key.
type row struct{ key, kind, initial, allowed string }

var (
	rowLine     = regexp.MustCompile("^\\| `([a-z0-9_.\\[\\]]+)` \\|([^|]*)\\|([^|]*)\\|([^|]*)\\|")
	refusedLine = regexp.MustCompile("^- `([a-z0-9_.\\[\\]]+)`$")
	codeSpans   = regexp.MustCompile("`([^`]*)`")
	enumeration = regexp.MustCompile("^`[a-zA-Z_-]+`(, `[a-zA-Z_-]+`)*$")
	bounds      = regexp.MustCompile(`^(\S+) to (\S+)$`)
)

func configRows(t *testing.T) (rows []row, refused []string) {
	t.Helper()
	page, err := os.ReadFile(configPage)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if m := rowLine.FindStringSubmatch(line); m != nil {
			rows = append(rows, row{m[1], strings.TrimSpace(m[2]), strings.TrimSpace(m[3]), strings.TrimSpace(m[4])})
		}
		if m := refusedLine.FindStringSubmatch(line); m != nil {
			refused = append(refused, m[1])
		}
	}
	return rows, refused
}

// keysOf lists the keys of a configuration struct with the words for their
// types, and those whose use is an error.
func keysOf(typ reflect.Type, prefix string) (keys map[string]string, refused []string) {
	keys = map[string]string{}
	for field := range typ.Fields() {
		key := prefix + field.Tag.Get("yaml")
		under, below := field.Type, key+"."
		list := under.Kind() == reflect.Slice && under.Elem().Kind() == reflect.Struct
		if list {
			keys[key] = "list"
			under, below = under.Elem(), key+"[]."
		}
		switch {
		case under == reflect.TypeFor[strictyaml.Unsupported]():
			refused = append(refused, key)
		case under.Kind() == reflect.Struct:
			inner, more := keysOf(under, below)
			maps.Copy(keys, inner)
			refused = append(refused, more...)
		default:
			keys[key] = kindOf(under)
		}
	}
	return keys, refused
}

func kindOf(typ reflect.Type) string {
	words := map[reflect.Type]string{
		reflect.TypeFor[string]():              "text",
		reflect.TypeFor[bool]():                "true or false",
		reflect.TypeFor[int]():                 "integer",
		reflect.TypeFor[time.Duration]():       "duration",
		reflect.TypeFor[strictyaml.ByteSize](): "size",
		reflect.TypeFor[[]string]():            "list of text",
		reflect.TypeFor[[]int]():               "list of integers",
	}
	if word := words[typ]; word != "" {
		return word
	}
	return typ.String()
}

func TestConfigurationPageNamesEveryKeyAndNoOther(t *testing.T) {
	t.Parallel()
	rows, refused := configRows(t)
	keys, unsupported := keysOf(reflect.TypeFor[sidecar.Config](), "")
	got := map[string]string{}
	for _, r := range rows {
		if _, twice := got[r.key]; twice {
			t.Errorf("%s is there twice", r.key)
		}
		got[r.key] = r.kind
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("keys and types of %s (-code +page):\n%s", configPage, diff)
	}
	slices.Sort(refused)
	slices.Sort(unsupported)
	if diff := cmp.Diff(unsupported, refused); diff != "" {
		t.Errorf("keys that are refused (-code +page):\n%s", diff)
	}
}

// least is a configuration with one entry in each list and only what is
// required.
const least = `{
	"trusted_proxies": [],
	"rate_limits": [{"name": "a", "limit": 1, "window": "1m"}],
	"webhooks": [{"name": "a", "path": "/a", "provider": "stripe", "secrets": ["whsec_a"]}],
	"flags": {"routes": [{"flag": "a", "paths": ["/b"]}]},
	"health": {"checks": [{"name": "a", "type": "http", "url": "http://127.0.0.1:1/"}]}
}`

// variables are what defaults come from.
var variables = map[string]string{
	"REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": "postgres://127.0.0.1:1/a", "GIT_SHA": "abc",
	"SENTRY_DSN": "https://key@127.0.0.1:1/1", "HANDRAIL_UPSTREAM": "http://127.0.0.1:1",
}

// beside is what some keys need beside them, in the first entry of their list.
var beside = map[string]string{
	"rate_limits[].max_body":         `{"key": ["json:/email"]}`,
	"rate_limits[].burst":            `{"algorithm": "gcra"}`,
	"rate_limits[].success_statuses": `{"count": "failures"}`,
	"rate_limits[].count":            `{"success_statuses": [303]}`,
	"rate_limits[].lockout[].limit":  `{"lockout": [{"window": "1m", "block": "1m"}]}`,
	"rate_limits[].lockout[].window": `{"lockout": [{"limit": 1, "block": "1m"}]}`,
	"rate_limits[].lockout[].block":  `{"lockout": [{"limit": 1, "window": "1m"}]}`,
	"webhooks[].hmac.algorithm":      `{"provider": "hmac", "id": "body", "hmac": {"header": "X-Signature", "encoding": "hex"}}`,
	"webhooks[].signature":           `{"mode": "inbox"}`,
	"webhooks[].inbox.order":         `{"mode": "inbox"}`,
	"webhooks[].inbox.max_attempts":  `{"mode": "inbox"}`,
	"webhooks[].inbox.max_age":       `{"mode": "inbox"}`,
	"webhooks[].inbox.first_retry":   `{"mode": "inbox", "inbox": {"longest_retry": "24h"}}`,
	"webhooks[].inbox.longest_retry": `{"mode": "inbox", "inbox": {"first_retry": "1ms"}}`,
	"webhooks[].inbox.concurrency":   `{"mode": "inbox"}`,
	"webhooks[].inbox.timeout":       `{"mode": "inbox"}`,
	"webhooks[].hmac.encoding":       `{"provider": "hmac", "id": "body", "hmac": {"header": "X-Signature", "algorithm": "sha256"}}`,
}

// load reads least, with one key set unless that is empty, as handrail does.
func load(t *testing.T, key string, value any) (*sidecar.Loaded, error) {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal([]byte(least), &config); err != nil {
		t.Fatal(err)
	}
	if more, ok := beside[key]; ok {
		list, _, _ := strings.Cut(key, "[")
		if err := json.Unmarshal([]byte(more), &config[list].([]any)[0]); err != nil {
			t.Fatal(err)
		}
	}
	if key != "" {
		set(config, strings.Split(key, "."), value)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"handrail.yaml": string(data), "flags.yaml": "a: {enabled: false}\n", ".env.schema": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sidecar.Load(sidecar.Options{
		File: filepath.Join(dir, "handrail.yaml"), Getenv: func(name string) string { return variables[name] },
	})
}

// set puts a value into nested maps; "rate_limits[]" is the first of the list.
func set(config map[string]any, path []string, value any) {
	name, list := strings.CutSuffix(path[0], "[]")
	switch {
	case len(path) == 1:
		config[name] = value
	case list:
		set(config[name].([]any)[0].(map[string]any), path[1:], value)
	default:
		if config[name] == nil {
			config[name] = map[string]any{}
		}
		set(config[name].(map[string]any), path[1:], value)
	}
}

// get is the value of a key in a configuration.
func get(config reflect.Value, path []string) reflect.Value {
	name, list := strings.CutSuffix(path[0], "[]")
	for field, value := range config.Fields() {
		if field.Tag.Get("yaml") != name {
			continue
		}
		if list {
			value = value.Index(0)
		}
		if len(path) == 1 {
			return value
		}
		return get(value, path[1:])
	}
	panic("no key " + name)
}

func TestConfigurationPageTellsTheDefaults(t *testing.T) {
	t.Parallel()
	loaded, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := configRows(t)
	for _, r := range rows {
		if r.kind == "list" || r.initial == "absent" || strings.HasPrefix(r.initial, "required") {
			continue
		}
		value := get(reflect.ValueOf(loaded.Config), strings.Split(r.key, "."))
		got := strings.TrimPrefix(fmt.Sprint(value.Interface()), loaded.Dir+"/")
		want := ""
		if m := codeSpans.FindStringSubmatch(r.initial); m != nil {
			want = m[1]
		}
		switch {
		case r.initial == "none":
			if !value.IsZero() {
				t.Errorf("%s: the default is %s, the page says none", r.key, got)
			}
			continue
		case strings.HasPrefix(want, "$"):
			want = variables[want[1:]]
		case r.kind == "duration":
			if d, err := time.ParseDuration(want); err == nil {
				want = d.String()
			}
		}
		if got != want || want == "" {
			t.Errorf("%s: the default is %q, the page says %s", r.key, got, r.initial)
		}
	}
}

// refuses reports whether a value of a key is refused on account of that key.
func refuses(t *testing.T, r row, value any) bool {
	t.Helper()
	if strings.HasPrefix(r.kind, "list of") {
		value = []any{value}
	}
	_, err := load(t, r.key, value)
	problems, _ := errors.AsType[strictyaml.Problems](err)
	at := strings.ReplaceAll(r.key, "[]", "[0]")
	return slices.ContainsFunc(problems, func(p *strictyaml.Problem) bool { return strings.HasPrefix(p.Path, at) })
}

func TestConfigurationPageTellsWhatIsAllowed(t *testing.T) {
	t.Parallel()
	rows, _ := configRows(t)
	checked := 0
	for _, r := range rows {
		var good, bad []any
		switch m := bounds.FindStringSubmatch(r.allowed); {
		case m != nil:
			good, bad = around(t, r, m[1], m[2])
		case enumeration.MatchString(r.allowed) && r.kind == "text":
			for _, m := range codeSpans.FindAllStringSubmatch(r.allowed, -1) {
				good = append(good, m[1])
			}
			bad = []any{"other"}
		default:
			continue
		}
		checked++
		for _, value := range good {
			if refuses(t, r, value) {
				t.Errorf("%s: %v is refused", r.key, value)
			}
		}
		for _, value := range bad {
			if !refuses(t, r, value) {
				t.Errorf("%s: %v is allowed", r.key, value)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d rows say what is allowed in a way that can be tried", checked)
	}
}

// around returns both bounds, and a value beyond each of them.
func around(t *testing.T, r row, low, high string) (good, bad []any) {
	t.Helper()
	switch r.kind {
	case "duration":
		from, err1 := time.ParseDuration(low)
		to, err2 := time.ParseDuration(high)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", r.key, err)
		}
		return []any{low, high}, []any{(from - 1).String(), (to + 1).String()}
	case "size":
		var to strictyaml.ByteSize
		if err := to.UnmarshalText([]byte(high)); err != nil {
			t.Fatalf("%s: %v", r.key, err)
		}
		return []any{low, high}, []any{int64(to) + 1}
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("%s: %v", r.key, err)
	}
	return []any{from, to}, []any{from - 1, to + 1}
}

func TestConfigurationPageTellsTheVariables(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(configPage)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]string{
		"listen": "127.0.0.1:1", "admin.listen": "127.0.0.1:2", "admin.token": "0123456789abcdef",
		"upstream.url": "http://127.0.0.1:3", "environment": "staging", "trusted_proxies": "loopback",
	}
	lines := regexp.MustCompile("(?m)^\\|[^|]*\\| `(HANDRAIL_[A-Z_]+)` \\| `([a-z_.]+)` \\|$").FindAllStringSubmatch(string(page), -1)
	if len(lines) != len(samples) {
		t.Errorf("the page has %d variables with keys, want %d", len(lines), len(samples))
	}
	for _, m := range lines {
		variable, key := m[1], m[2]
		loaded, err := sidecar.Load(sidecar.Options{Check: true, Getenv: func(name string) string {
			if name == variable {
				return samples[key]
			}
			return map[string]string{"HANDRAIL_TRUSTED_PROXIES": "none"}[name]
		}})
		if err != nil {
			t.Errorf("%s: %v", variable, err)
			continue
		}
		got := fmt.Sprint(get(reflect.ValueOf(loaded.Config), strings.Split(key, ".")).Interface())
		if strings.Trim(got, "[]") != samples[key] {
			t.Errorf("%s=%s makes %s %s", variable, samples[key], key, got)
		}
	}
}
