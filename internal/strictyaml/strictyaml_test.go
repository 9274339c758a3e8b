package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

type rule struct {
	Name   string              `yaml:"name"`
	Limit  int                 `yaml:"limit"`
	Window time.Duration       `yaml:"window"`
	Body   strictyaml.ByteSize `yaml:"max_body"`
	Share  float64             `yaml:"share"`
}

func (r *rule) SetDefaults() { r.Share = 1 }

type config struct {
	Listen string                 `yaml:"listen"`
	Inject bool                   `yaml:"inject"`
	Trust  []string               `yaml:"trusted_proxies"`
	Rules  []rule                 `yaml:"rules"`
	Named  map[string]rule        `yaml:"named"`
	Limit  *int                   `yaml:"limit"`
	Later  strictyaml.Unsupported `yaml:"later"`
	Hidden string
}

func decode(t *testing.T, name, text string) (config, error) {
	t.Helper()
	var c config
	doc, err := strictyaml.Parse(name, []byte(text))
	if err != nil {
		return c, err
	}
	expand := func(s string) (string, error) {
		if s == "${UNSET}" {
			return "", errors.New("UNSET is not set")
		}
		return strings.ReplaceAll(s, "${N}", "7"), nil
	}
	err = doc.Decode(&c, expand)
	return c, err
}

func TestDecodesEveryKind(t *testing.T) {
	seven := 7
	want := config{
		Listen: ":8080", Inject: true, Trust: []string{"private", "10.0.0.0/8", "12"},
		Rules: []rule{{Name: "auth", Limit: 8, Window: 10 * time.Minute, Body: 1 << 20, Share: 0.25}},
		Named: map[string]rule{"a.b": {Limit: 1, Share: 1}}, Limit: &seven,
	}
	yaml := `
listen: ":8080"
inject: true
trusted_proxies: [private, 10.0.0.0/8, 12]
rules:
  - {name: auth, limit: 8, window: 10m, max_body: 1MiB, share: 0.25}
named: {a.b: {limit: 1}}
limit: "${N}"
`
	json := `{"listen":":8080","inject":true,"trusted_proxies":["private","10.0.0.0\/8",12],
	"rules":[{"name":"auth","limit":8,"window":"10m","max_body":"1MiB","share":0.25}],
	"named":{"a.b":{"limit":1}},"limit":7}`
	for name, text := range map[string]string{"a.yaml": yaml, "a.json": json, "json.yaml": json} {
		got, err := decode(t, name, text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestReportsEveryProblemWithItsPlace(t *testing.T) {
	_, err := decode(t, "h.yaml", `listen: [a]
inject: "true"
lissten: x
rules:
  - name: true
    limit: 010
    window: ten
  - limit: 99999999999999999999
    max_body: 1MB
    limit: 3
    share: 1e3
named: [1]
limit: ${UNSET}
trusted_proxies:
later: {any: [thing]}
`)
	want := `h.yaml:1:9: listen: expected a string, got a list
h.yaml:2:9: inject: expected true or false, got a quoted string
h.yaml:3:1: unknown key "lissten"; did you mean "listen"?
h.yaml:5:11: rules[0].name: expected a string, got a boolean: quote it if it is meant as text
h.yaml:6:12: rules[0].limit: expected an integer
h.yaml:7:13: rules[0].window: expected a duration such as "90s" or "5m"
h.yaml:8:12: rules[1].limit: expected an integer
h.yaml:9:15: rules[1].max_body: expected a size such as 64KiB, 1MiB or a number of bytes
h.yaml:10:5: rules[1].limit: is already defined in line 8
h.yaml:11:12: rules[1].share: expected a number
h.yaml:12:8: named: expected a mapping, got a list
h.yaml:13:8: limit: UNSET is not set
h.yaml:14:17: trusted_proxies: expected a list, got nothing
h.yaml:15:8: later: is not supported by this version`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	var p *strictyaml.Problem
	if !errors.As(err, &p) || p.File != "h.yaml" {
		t.Errorf("errors.As found %v", p)
	}
}

func TestSyntaxErrorsHaveAPlace(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"tab", "a.yaml", "a:\n\tb: 1\n", "a.yaml:2:1: is not valid YAML: found character that cannot start any token"},
		{"second document", "a.yaml", "listen: a\n---\nlisten: b\n", "a.yaml:2:1: holds a second document: only one is read"},
		{"empty", "a.yaml", "# nothing\n", "a.yaml: is empty"},
		{"null", "a.yaml", "null\n", "a.yaml: is empty"},
		{"json comma", "a.json", "{\n  \"limit\": 1,\n}", "a.json:3:1: is not valid JSON: invalid character '}' looking for beginning of object key string"},
		{"json cut off", "a.json", "{\"limit\": 1", "a.json:1:12: is not valid JSON: unexpected end of file"},
		{"json rest", "a.json", "{} {}", "a.json:1:4: is not valid JSON: there is more after the document"},
		{"json empty", "a.json", " \n", "a.json: is empty"},
		{"json too deep", "a.json", strings.Repeat("[", 100), "a.json:1:66: is nested too deeply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := strictyaml.Parse(c.file, []byte(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAliasesCannotMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 8 {
		prev := string(rune('0' + i))
		next := string(rune('1' + i))
		b.WriteString("l" + next + ": &l" + next + " [" + strings.TrimSuffix(strings.Repeat("*l"+prev+",", 10), ",") + "]\n")
	}
	doc, err := strictyaml.Parse("bomb.yaml", []byte(b.String()))
	if err != nil {
		t.Skip("refused by the parser:", err)
	}
	type deep = [][][][][][][][][]string
	var into struct {
		L8 deep `yaml:"l8"`
	}
	if err := doc.Decode(&into, nil); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("got %v", err)
	}
}

func TestFindsThePlaceOfAPath(t *testing.T) {
	doc, err := strictyaml.Parse("a.yaml", []byte("rules:\n  - name: a\n  - name: b\nnamed:\n  a.b: {limit: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"rules[1].name":   "a.yaml:3:11: rules[1].name: m",
		"rules[1].window": "a.yaml:3:5: rules[1].window: m",
		"named.a.b.limit": "a.yaml:5:16: named.a.b.limit: m",
		"absent.key":      "a.yaml:1:1: absent.key: m",
	} {
		if got := doc.Problem(path, "m").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !doc.Seen("rules[1].name") || doc.Seen("rules[2]") || !doc.Has("rules") || doc.Has("limit") {
		t.Error("Seen or Has is wrong")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"listen: a\n", "{\"limit\": 1}", "a: &a [*a]\n", "<<: {a: 1}\n", "? [a]\n: b\n", "rules: [{window: 1s}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := strictyaml.Parse("f.yaml", data)
		if err != nil {
			return
		}
		var c config
		_ = doc.Decode(&c, nil)
		_ = doc.Problem("rules[0].name", "m")
	})
}
