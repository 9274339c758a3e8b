package envcheck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/envcheck"
)

// leaky is what a careless type does: its error quotes the value.
type leaky struct{ _ int }

func (*leaky) UnmarshalText(text []byte) error { return fmt.Errorf("cannot read %q", text) }

// everyParser has a field for every error path of the struct parser and every
// type of rule.
type everyParser struct {
	Bool     bool           `env:"V_BOOL"`
	Int      int            `env:"V_INT"`
	Int8     int8           `env:"V_TINY"`
	Uint64   uint64         `env:"V_UINT"`
	Float    float32        `env:"V_FLOAT"`
	Duration time.Duration  `env:"V_DURATION"`
	URL      url.URL        `env:"V_PARSED"`
	Location time.Location  `env:"V_LOCATION"`
	Leaky    leaky          `env:"V_LEAKY"`
	Leakies  []leaky        `env:"V_LEAKIES"`
	Ints     []int          `env:"V_INTS"`
	Map      map[string]int `env:"V_MAP"`
	Keys     map[int]string `env:"V_KEYS"`
	File     string         `env:"V_FILE,file"`
	Content  int            `env:"V_CONTENT,file"`
	Expanded int            `env:"V_EXPANDED,expand"`
	List     []struct {
		Port int `env:"PORT" rule:"port"`
	} `envPrefix:"V_LIST"`
	RuleURL      string   `env:"V_URL" rule:"url,allowedProtocols=https"`
	RuleText     string   `env:"V_TEXT" rule:"min=500,startsWith=+,endsWith=-,matches=^-+$"`
	RuleShort    string   `env:"V_SHORT" rule:"max=1,isLength=1"`
	RuleEnum     string   `env:"V_ENUM" rule:"enum=a|b"`
	RulePort     string   `env:"V_PORT" rule:"port"`
	RuleEmail    string   `env:"V_EMAIL" rule:"email"`
	RuleIP       string   `env:"V_IP" rule:"ip"`
	RuleSemver   string   `env:"V_SEMVER" rule:"semver"`
	RuleDuration string   `env:"V_DUR" rule:"duration,max=1ms"`
	RuleJSON     string   `env:"V_JSON" rule:"json"`
	RuleUUID     string   `env:"V_UUID" rule:"uuid"`
	RuleNumber   string   `env:"V_NUMBER" rule:"number,max=-1"`
	RuleInteger  string   `env:"V_INTEGER" rule:"integer,max=-1"`
	RuleList     []string `env:"V_RULED" rule:"url"`
}

const everyType = `# @currentEnv=$V_BOOL
# ---
# @type=boolean
V_BOOL=
# @type=integer(max=-1)
V_INT=
# @type=number(max=-1)
V_FLOAT=
# @type=url(allowedProtocols=[https], noTrailingSlash=true, matches="^-")
V_URL=
# @type=string(minLength=500, startsWith=+, endsWith=-, matches="^-+$")
V_TEXT=
# @type=string(maxLength=1, isLength=1) @deprecated
V_SHORT=
# @type=enum(a, b)
V_ENUM=
# @type=port
V_PORT=
# @type=email
V_EMAIL=
# @type=ip(version=4)
V_IP=
# @type=semver
V_SEMVER=
# @type=duration(max=1ms)
V_DUR=
# @type=json
V_JSON=
# @type=uuid
V_UUID=
V_FREE=
# @type=port
REFERS=http://${V_FREE}/${V_BOOL:-x}
# @required
REFERS_TO_NOTHING=$NOT_THERE
`

// disguises put a secret where parsers trip over it: %s is the secret.
var disguises = []string{
	"%s", "%s", "%s", "%s\r", "'%s'", "\"%s\"", " %s ", "http://%s:x:y/", "http://[%s", "http://a/%%zz%s", "https://u:%s@h:99999/",
	"postgres://%s@a:1,b:x/", "%s://%s", "{\"a\":\"%s\"", "[%s", "%s,1", "1,%s", "1:%s", "%s:1", "a:1,%s", "0x%s", "1e%s", "-%s", "%s.%s.%s",
	"1.2.3-%s", "1.2.%s", "%s@", "%s <%s@h>", "1%sms", "%s\x00", "$%s", "${%s}", "../%s", "/nonexistent/%s", "%s\n%s", "\xff%s", "%s%%",
	"123e4567-e89b-12d3-a456-%s", "::%s", "10.0.0.%s", "é%s", "\x1b[31m%s",
}

// envLines are lines of .env files and schemas, well-formed or not.
var envLines = []string{
	"A=%s", "A='%s", "A=\"%s", "A=`%s", "A='%s'%s", "%s", "%s: x", "=%s", "A=$%s", "A=${%s", "A=${%s?x}", "A=$(%s)", "A=x$%s", "A=#%s",
	"export %s", "export A=%s", "1%s=x", "A=%s(x)", "A=exec(%s)", "A=[%s", "A={%s", "# @%s", "# @type=%s\nA=", "# @type=%s(a=1)\nA=",
	"# @type=string(%s=1)\nA=", "# @type=string(minLength=%s)\nA=", "# @type=string(matches=\"(%s\")\nA=", "# @type=url\nA=%s", "# @required=%s\nA=",
	"# @required=forEnv(%s\nA=", "# @docs(%s,,)\nA=", "# @example=\"%s\nA=", "# @required %s\nA=", "A=\"\"\"%s", "A=\x00%s", "A=\xff%s", "%s=\n%s=",
	"# @defaultRequired=%s\n\nA=", "# @currentEnv=$%s\n\nA=", "# @sensitive={enabled=%s}\nA=", "-----BEGIN %s\n%s+/==\n",
}

// Values are made of letters that no text of the package has in a row, so that
// four bytes in a row of one are proof of a leak.
func TestNoValueIsEverPrinted(t *testing.T) {
	const runs = 10_000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d runs", seed, runs)
	rnd := rand.New(rand.NewPCG(seed, 0))
	schema := parse(t, everyType)
	dir := t.TempDir()
	content, envFile := filepath.Join(dir, "content"), filepath.Join(dir, "env")
	kinds := map[string]int{}
	last := "" // the secret in the file
	for run := range runs {
		secret := randomSecret(rnd)
		disguise := func(forms []string) string {
			return strings.ReplaceAll(strings.ReplaceAll(forms[rnd.IntN(len(forms))], "%s", secret), "%%", "%")
		}
		var shown bytes.Buffer

		env := map[string]string{}
		for _, v := range schema.Variables() {
			env[v.Name] = disguise(disguises)
		}
		delete(env, "REFERS")
		delete(env, "REFERS_TO_NOTHING")
		report := schema.Check(env, secret)
		show(&shown, report.Err(), run)
		switch run % 3 {
		case 0:
			_ = report.WriteText(&shown)
		case 1:
			_ = json.NewEncoder(&shown).Encode(report)
		case 2:
			fmt.Fprintf(&shown, "%v %+v %v %#v", report, *report, schema, schema)
		}
		for _, p := range report.Problems {
			kinds["schema "+p.Rule]++
		}

		for _, name := range []string{"V_TINY", "V_UINT", "V_DURATION", "V_PARSED", "V_LOCATION", "V_LEAKY", "V_LEAKIES", "V_INTS", "V_MAP",
			"V_KEYS", "V_FILE", "V_EXPANDED", "V_LIST_0_PORT", "V_LIST_1_PORT", "V_NUMBER", "V_INTEGER", "V_RULED"} {
			env[name] = disguise(disguises)
		}
		env["V_EXPANDED"] = "${V_TEXT}" + env["V_EXPANDED"]
		env["V_CONTENT"] = content
		if run%4 == 0 { // writing costs more than all the rest
			last = secret
			write(t, content, disguise(disguises))
		}
		_, err := envcheck.Load[everyParser](envcheck.Environ(env))
		show(&shown, err, run)
		if all, ok := errors.AsType[*envcheck.Error](err); ok {
			for _, p := range all.Problems {
				kinds["struct "+p.Variable]++
			}
		}

		text := disguise(envLines) + "\n" + disguise(envLines)
		if _, err = envcheck.ParseSchema("s", strings.NewReader(text)); err != nil {
			kinds["schema file"]++
		}
		show(&shown, err, run)
		write(t, envFile, text)
		if _, err = envcheck.ReadEnvFiles(env, envFile); err != nil {
			kinds["env file"]++
		}
		show(&shown, err, run)

		out := strings.ReplaceAll(strings.ReplaceAll(shown.String(), dir, ""), content, "")
		for _, secret := range []string{secret, last} {
			for i := range len(secret) - 3 {
				if strings.Contains(out, secret[i:i+4]) {
					t.Fatalf("seed %d, run %d: %q of %q is printed in\n%s", seed, run, secret[i:i+4], secret, out)
				}
			}
		}
	}
	for _, kind := range []string{"schema enum", "schema url", "schema matches", "schema default", "struct V_BOOL", "struct V_TINY", "struct V_UINT",
		"struct V_FLOAT", "struct V_DURATION", "struct V_PARSED", "struct V_LOCATION", "struct V_LEAKY", "struct V_LEAKIES", "struct V_INTS",
		"struct V_MAP", "struct V_KEYS", "struct V_FILE", "struct V_CONTENT", "struct V_EXPANDED", "struct V_LIST_1_PORT", "struct V_JSON",
		"schema file", "env file"} {
		if kinds[kind] < 100 {
			t.Errorf("the path of %s was taken %d times only", kind, kinds[kind])
		}
	}
}

func randomSecret(rnd *rand.Rand) string {
	alphabet := []rune([]string{"GJQXZVKWYHU", "3479", "gjqzvkxw", "ÄÖÜßŁ猫"}[rnd.IntN(4)])
	secret := make([]rune, 4+rnd.IntN(60))
	for i := range secret {
		secret[i] = alphabet[rnd.IntN(len(alphabet))]
	}
	return string(secret)
}

// show renders an error as a text, and in one of the other ways that a program
// may, by turns.
func show(w *bytes.Buffer, err error, turn int) {
	if err == nil {
		return
	}
	w.WriteString(err.Error())
	noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{} // its digits are random too
		}
		return a
	}}
	switch turn % 5 {
	case 0:
		fmt.Fprintf(w, "%v %+v %s %q\n", err, err, err, err)
	case 1:
		slog.New(slog.NewJSONHandler(w, noTime)).Error("x", "err", err)
	case 2:
		slog.New(slog.NewTextHandler(w, noTime)).Error("x", "err", err)
	case 3:
		_ = json.NewEncoder(w).Encode(err)
	case 4:
		if all, ok := errors.AsType[*envcheck.Error](err); ok {
			for _, p := range all.Problems {
				fmt.Fprintf(w, "%#v %+v\n", *p, *p)
			}
		}
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
			w.WriteString(inner.Error())
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
