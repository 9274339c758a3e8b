package envcheck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/envcheck"
)

func parse(t testing.TB, text string) *envcheck.Schema {
	t.Helper()
	s, err := envcheck.ParseSchema("s", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// found lists the problems of a report as "NAME kind rule".
func found(r *envcheck.Report) []string {
	out := []string{}
	for _, p := range r.Problems {
		out = append(out, p.Variable+" "+string(p.Kind)+" "+p.Rule)
	}
	for _, p := range r.Warnings {
		out = append(out, "warning: "+p.Variable+" "+string(p.Kind)+" "+p.Rule)
	}
	return out
}

// One row for a type: values that pass, and the rule that others break.
func TestSchemaTypes(t *testing.T) {
	for _, tc := range []struct {
		typ    string
		passes []string
		breaks map[string]string // value: rule
	}{
		{"string", []string{"x", " "}, nil},
		{"string(minLength=3, maxLength=5)", []string{"abc", "äöüäö"}, map[string]string{"ab": "minLength", "abcdef": "maxLength"}},
		{"string(isLength=2)", []string{"ab"}, map[string]string{"a": "isLength"}},
		{"string(startsWith=sk-, endsWith=\"-x\")", []string{"sk-1-x"}, map[string]string{"1-x": "startsWith", "sk-1": "endsWith"}},
		{`string(matches="^[a-z,]+$")`, []string{"a,b"}, map[string]string{"A": "matches"}},
		{`string(matches=/^ab+$/i)`, []string{"ABB"}, map[string]string{"AC": "matches"}},
		{`string(matches=regex("^a/b", "i"))`, []string{"A/Bc"}, map[string]string{"ab": "matches"}},
		{"number", []string{"1", "-1.5", "1e3", ".5"}, map[string]string{"x": "number", "0x1": "number", "Inf": "number", "NaN": "number", "1_0": "number", "1e999": "number"}},
		{"number(min=0.5, max=2)", []string{"0.5", "2"}, map[string]string{"0.4": "min", "2.1": "max", "x": "number"}},
		{"number(isInt=true)", []string{"2.0"}, map[string]string{"2.5": "isInt"}},
		{"integer", []string{"0", "-7"}, map[string]string{"1.0": "integer", "": "", "9223372036854775808": "integer"}},
		{"integer(min=1, max=3)", []string{"1", "3"}, map[string]string{"0": "min", "4": "max"}},
		{"boolean", []string{"true", "FALSE", "yes", "off", "1", "t"}, map[string]string{"ja": "boolean", "2": "boolean"}},
		{"url", []string{"https://a.b", "postgres://u:p@a:1,b:2/db?x=y", "redis://[::1]:6379", "sqlite:///a/b", "http://a/%20?x#y"},
			map[string]string{"localhost:3000": "url", "//a": "url", "a.b": "url", "http://": "url", "http:///x": "url",
				"http://a b": "url", "http://a:b:c/": "url", "http://:80": "url", "://a": "url", "http://a/%zz": "url", "postgres://a,/x": "url", "1x://a": "url"}},
		{"url(allowedProtocols=[postgres, \"postgresql:\"])", []string{"POSTGRES://a/b", "postgresql://a"}, map[string]string{"https://a": "allowedProtocols"}},
		{"url(allowedProtocols=https, noTrailingSlash=true)", []string{"https://a"}, map[string]string{"https://a/": "noTrailingSlash"}},
		{"port", []string{"1", "65535"}, map[string]string{"0": "port", "65536": "port", "-1": "port", "+80": "port", "80.0": "port", "x": "port"}},
		{"port(min=0, max=1023)", []string{"0", "1023"}, map[string]string{"1024": "port"}},
		{"enum(a, \"b c\", 1)", []string{"a", "b c", "1"}, map[string]string{"A": "enum", "b": "enum"}},
		{"email", []string{"a@b.c"}, map[string]string{"a": "email", "A <a@b.c>": "email", "a@": "email"}},
		{"ip", []string{"10.0.0.1", "::1", "::ffff:1.2.3.4"}, map[string]string{"10.0.0": "ip", "fe80::1%eth0": "ip"}},
		{"ip(version=4)", []string{"10.0.0.1"}, map[string]string{"::1": "ip"}},
		{"ip(version=6)", []string{"::1"}, map[string]string{"10.0.0.1": "ip"}},
		{"semver", []string{"1.2.3", "1.0.0-rc.1+b.01", "0.0.0-0a"}, map[string]string{"v1.2.3": "semver", "1.2": "semver", "01.2.3": "semver", "1.2.3-01": "semver", "1.2.3-": "semver", "1.2.3+": "semver", "1.2.3-ä": "semver"}},
		{"duration", []string{"30s", "1h30m", "2days", "1 week", "500", "0.5d", "5ms"}, map[string]string{"x": "duration", "5 parsecs": "duration", "s": "duration", "1..5d": "duration", "99999999999w": "duration"}},
		{"duration(min=1s, max=1d)", []string{"1s", "24h"}, map[string]string{"999ms": "min", "25h": "max"}},
		{"json", []string{`{"a":1}`, `"x"`}, map[string]string{"{a:1}": "json"}},
		{"uuid", []string{"123e4567-e89b-12d3-a456-426614174000", "018F2B6C-0000-7000-8000-000000000000"}, map[string]string{"123e4567e89b12d3a456426614174000": "uuid", "123e4567-e89b-12d3-a456-42661417400g": "uuid"}},
	} {
		s := parse(t, "# @type="+tc.typ+"\nV=")
		for _, value := range tc.passes {
			if got := s.Check(map[string]string{"V": value}, "").Problems; len(got) > 0 {
				t.Errorf("%s refuses %q: %v", tc.typ, value, got[0])
			}
		}
		for value, rule := range tc.breaks {
			want := []string{}
			if rule != "" {
				want = append(want, "V invalid "+rule)
			}
			if diff := cmp.Diff(want, found(s.Check(map[string]string{"V": value}, ""))); diff != "" {
				t.Errorf("%s on %q: %s", tc.typ, value, diff)
			}
		}
	}
}

func TestSchemaDecidesWhatIsRequired(t *testing.T) {
	for name, tc := range map[string]struct {
		schema string
		in     map[string][]string // environment: problems with nothing set
	}{
		"infer: without a value optional":           {"A=\nB=\"\"\nC=undefined", map[string][]string{"": {}}},
		"required":                                  {"# @required\nA=", map[string][]string{"": {"A missing required"}}},
		"required=false":                            {"# @required=false\nA=", map[string][]string{"": {}}},
		"decorators behind the value":               {"A= # @required # why", map[string][]string{"": {"A missing required"}}},
		"defaultRequired":                           {"# @defaultRequired\n\nA=\n# @optional\nB=", map[string][]string{"": {"A missing required"}}},
		"defaultRequired, header ends at a divider": {"# @defaultRequired=true\n# ---\nA=", map[string][]string{"": {"A missing required"}}},
		"header of several blocks":                  {"# one\n# @defaultSensitive=false\n\n# @defaultRequired=true\n# === x\n\nA=", map[string][]string{"": {"A missing required"}}},
		"defaultRequired=false, with a value":       {"# @defaultRequired=false\n\nA=$B", map[string][]string{"": {}}},
		"a value whose reference leads nowhere":     {"A=$B", map[string][]string{"": {"A missing default"}}},
		"a value stands in":                         {"A=b", map[string][]string{"": {}}},
		"forEnv": {"# @required=forEnv(prod, staging)\nA=", map[string][]string{
			"": {"A missing required"}, "production": {"A missing required"}, "stage": {"A missing required"}, "development": {}, "test": {}}},
		"optional=forEnv": {"# @optional=forEnv(dev)\nA=", map[string][]string{"": {"A missing required"}, "development": {}, "qa": {"A missing required"}}},
		"currentEnv wins": {"# @currentEnv=$APP_ENV\n\nAPP_ENV=dev\n# @required=forEnv(production)\nA=", map[string][]string{"production": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := parse(t, tc.schema)
			for environment, want := range tc.in {
				for _, env := range []map[string]string{nil, {"A": "", "B": ""}} {
					if diff := cmp.Diff(want, found(s.Check(env, environment))); diff != "" {
						t.Errorf("in %q: %s", environment, diff)
					}
				}
			}
		})
	}
}

func TestSchemaDescribesItsVariables(t *testing.T) {
	s := parse(t, `# @defaultSensitive=inferFromPrefix(PUBLIC_)
# ---

# Where orders are kept
# @type=url @required # note
# and invoices
# @example="postgres://u@h/db" @docs("Guide", https://a.b) @docs(https://c.d) @icon=mdi:key
export DB_URL=
PUBLIC_X=1
# @sensitive={enabled=true, preventLeaks=false}
PUBLIC_Y=true
# @public @deprecated="use Z"
Z.z=x y # c
# @type=enum(
#   a, # first
#   # b,
#   c,
# ) @required
LONG=a

# @type=url
# DISABLED=
`)
	want := []envcheck.Variable{
		{Name: "DB_URL", Type: "url", Expected: "a URL such as https://host/path", Description: "Where orders are kept\nand invoices",
			Example: "postgres://u@h/db", Docs: []string{"https://a.b", "https://c.d"}, Sensitive: true, Line: 8},
		{Name: "PUBLIC_X", Type: "number", Expected: "a number", HasDefault: true, Line: 9},
		{Name: "PUBLIC_Y", Type: "boolean", Expected: "a boolean (true or false)", Sensitive: true, HasDefault: true, Line: 11},
		{Name: "Z.z", Type: "string", Expected: "a value", Deprecated: true, Instead: "use Z", HasDefault: true, Line: 13},
		{Name: "LONG", Type: "enum", Expected: `one of "a", "c"`, Sensitive: true, HasDefault: true, Line: 19},
	}
	if diff := cmp.Diff(want, s.Variables()); diff != "" {
		t.Error(diff)
	}
	if !s.Required("DB_URL", "test") || s.Required("NONE", "test") {
		t.Error("Required")
	}
}

func TestSchemaDefaultsReachTheApp(t *testing.T) {
	s := parse(t, "HOST=localhost\nPORT=3000\nURL=http://${HOST}:$PORT/${PATH_:-x}\nQ=\"a\\\"b\\n\\$c\"\nS='$HOST \\'x\\''\n"+
		"M=\"\"\"\n  one \"two\"\nthree\"\"\"\nB=`a $HOST`\nNONE=\nPLAIN=a # b\nJSON={\"a\": 1}\nBAD=bad-fn()\nLAST=https://a/b")
	env := map[string]string{"PORT": "", "HOST": "h"}
	want := map[string]string{"PORT": "3000", "URL": "http://h:3000/x", "Q": "a\"b\n$c", "S": "$HOST 'x'",
		"M": "\n  one \"two\"\nthree", "B": "a h", "PLAIN": "a", "JSON": `{"a": 1}`, "BAD": "bad-fn()", "LAST": "https://a/b"}
	if diff := cmp.Diff(want, s.Defaults(env)); diff != "" {
		t.Error(diff)
	}
	if got := found(s.Check(env, "")); len(got) > 0 {
		t.Error(got)
	}
}

func TestSchemaMistakesHavePositionsAndQuoteNothing(t *testing.T) {
	const secret = "QZXJKVWQ"
	for name, tc := range map[string]struct {
		schema string
		want   []string
	}{
		"exec":                              {"A=exec('" + secret + "')", []string{"1:3: exec() would execute a command"}},
		"command substitution":              {"A=$(" + secret + ")", []string{"1:3: command substitution is refused"}},
		"command in a quoted value":         {"A=\"x$(" + secret + ")\"", []string{"1:3: command substitution is refused"}},
		"another function":                  {"A=" + secret + "(x)", []string{"1:3: functions are refused"}},
		"ref":                               {"A=ref(B)", []string{"1:3: ref() is not supported; write $NAME"}},
		"function as a type":                {"# @type=if(eq($A, b), url, string)\nA=", []string{"1:9: unknown type", "1:12: must be a text"}},
		"function as an option":             {"# @type=string(minLength=if(x))\nA=", []string{"1:26: must be a text"}},
		"reference as an option":            {"# @type=enum($ALL)\nA=", []string{"1:9: enum needs its members", "1:14: must be a text"}},
		"unknown condition":                 {"# @required=eq($A, b)\nA=", []string{"1:13: @required takes true, false or forEnv"}},
		"forEnv without names":              {"# @required=forEnv()\nA=", []string{"1:13: @required takes"}},
		"unknown type":                      {"# @type=" + secret + "\nA=", []string{"1:9: unknown type; there are string, number"}},
		"unknown option":                    {"# @type=url(" + secret + "=1)\nA=", []string{"1:22: type url has no such option; it takes allowedProtocols, noTrailingSlash, matches"}},
		"options of a type without any":     {"# @type=uuid(x=1)\nA=", []string{"1:16: type uuid takes no options"}},
		"members of a type without any":     {"# @type=uuid(4)\nA=", []string{"1:9: type uuid takes named options only"}},
		"option twice":                      {"# @type=string(minLength=1, minLength=2)\nA=", []string{"1:39: minLength is given twice"}},
		"option that changes a value":       {"# @type=string(toUpperCase=true)\nA=", []string{"1:28: type string has no such option"}},
		"bad options":                       {"# @type=string(minLength=x, startsWith=\"\", matches=\"(?=a)\")\nA=", []string{"1:26: minLength must be", "1:40: startsWith must not be empty", "1:52: matches must be a regular expression in RE2"}},
		"bad bounds":                        {"# @type=port(max=70000)\nA=\n# @type=number(min=a)\nB=\n# @type=duration(max=a)\nC=\n# @type=ip(version=5)\nD=", []string{"1:18: max must be an integer from 0 to 65535", "3:20: min must be a number", "5:22: max must be a duration", "7:20: version must be 4 or 6"}},
		"unknown decorator":                 {"# @requird\nA=", []string{"1:3: unknown decorator; there are @required"}},
		"unsupported root decorators":       {"# @import(./x) @disable\n\nA=", []string{"1:3: @import is not supported", "1:16: @disable is not supported"}},
		"root decorator at a variable":      {"# @defaultRequired=true\nA=", []string{"1:3: @defaultRequired belongs into the header"}},
		"root decorator too late":           {"A=\n# @defaultRequired=true\n\nB=", []string{"2:3: @defaultRequired belongs into the header"}},
		"item decorator in the header":      {"# @required\n\nA=", []string{"1:3: @required belongs to a variable"}},
		"decorator of no variable":          {"A=\n\n# @required\n\nB=", []string{"3:3: this decorator belongs to no variable"}},
		"decorator of no variable, divider": {"A=\n\n# @required\n# ---\nB=", []string{"3:3: this decorator belongs to no variable"}},
		"contradiction":                     {"# @required\n# @optional\nA=", []string{"2:3: this decorator is given twice"}},
		"text behind a decorator":           {"# @type= url\nA=", []string{"1:9: expected a value"}},
		"words behind a decorator":          {"# @required please\nA=", []string{"1:13: unexpected text"}},
		"unclosed bracket":                  {"# @type=enum(a,\nA=", []string{"1:13: this bracket is not closed"}},
		"brackets nested too deeply":        {"# @type=" + strings.Repeat("[", 50) + "\nA=", []string{"1:18: brackets are nested too deeply"}},
		"space within an argument":          {"# @type=enum(a b)\nA=", []string{"1:16: expected , or )"}},
		"unclosed quote":                    {"# @example=\"" + secret + "\nA=", []string{"1:12: the quote is not closed"}},
		"unclosed value":                    {"A=\"" + secret, []string{"1:3: the quote is never closed"}},
		"text behind a quoted value":        {"A='not'" + secret + "'", []string{"1:8: unexpected text"}},
		"array as a value":                  {"A=[" + secret + ", b]", []string{"1:3: arrays and objects"}},
		"defined twice":                     {"A=\nB=\nA=", []string{"3:1: this variable is defined already, in line 1"}},
		"default breaks its rule":           {"# @type=url\nA=" + secret, []string{"2:3: the value breaks the variable's own rule url: expected a URL"}},
		"default not in the enum":           {"# @type=enum(a)\nA=b", []string{"2:3: the value breaks the variable's own rule enum"}},
		"values that refer to each other":   {"A=$B\nB=${C:-${A}}\nC=${C}\nD=x$D", []string{"1:3: the value refers back", "2:3: the value refers back", "3:3: the value", "4:3: the value"}},
		"currentEnv of nothing":             {"# @currentEnv=$" + secret + "\n\nA=", []string{"1:3: @currentEnv refers to a variable that"}},
		"currentEnv without $":              {"# @currentEnv=APP\n\nA=", []string{"1:3: @currentEnv must refer"}},
		"defaultRequired=maybe":             {"# @defaultRequired=" + secret + "\n\nA=", []string{"1:3: @defaultRequired must be true or false or infer"}},
		"no name":                           {"A=\n=" + secret, []string{"2:1: expected the name"}},
		"a private key":                     {"-----BEGIN " + secret + "\n" + secret + "+/=", []string{"1:1: expected the name", "2:9: expected ="}},
		"all at once":                       {"# @a\nA=exec(x)\n# @type=b\nB=\n='", []string{"1:3: unknown decorator", "2:3: exec()", "3:9: unknown type", "5:1: expected the name"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := envcheck.ParseSchema("s", strings.NewReader(tc.schema))
			checkMistakes(t, err, "s", tc.want)
			if err != nil && strings.Contains(err.Error(), secret[:4]) {
				t.Errorf("quotes the file: %v", err)
			}
		})
	}
}

func TestSchemaIsBounded(t *testing.T) {
	if _, err := envcheck.ParseSchema("s", strings.NewReader(strings.Repeat("#", envcheck.MaxFileBytes+1))); err == nil {
		t.Error("no error for a schema that is too large")
	}
	_, err := envcheck.ParseSchema("s", strings.NewReader(strings.Repeat("=\n", 5000)))
	if err == nil || strings.Count(err.Error(), "\n") > 100 {
		t.Error("mistakes are not bounded")
	}
	// Values that double 40 times.
	b := strings.Builder{}
	b.WriteString("X0=xxxxxxxx\n")
	for i := range 40 {
		fmt.Fprintf(&b, "X%d=$X%d$X%d\n", i+1, i, i)
	}
	for name, value := range parse(t, b.String()).Defaults(nil) {
		if len(value) > 128<<10 {
			t.Errorf("%s has %d bytes", name, len(value))
		}
	}
	for name, tc := range map[string]struct {
		line string
		want string
	}{
		"a chain of references": {"Y%d=$Y%[2]d\n", "refers back to itself, or to a chain of more than 64"},
		"variables":             {"Y%d=%d\n", "more than 4096 variables"},
	} {
		b.Reset()
		for i := range 5000 {
			fmt.Fprintf(&b, tc.line, i, i+1)
		}
		_, err := envcheck.ParseSchema("s", strings.NewReader(b.String()))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestReportRenderings(t *testing.T) {
	s, err := envcheck.ParseSchema(".env.schema", strings.NewReader(
		"# @required @type=url @docs(https://example.com/db)\nDATABASE_URL=\n# @type=port\nPORT=3000\nQUOTED=\nCR=\n# @deprecated=\"use PORT\"\nOLD="))
	if err != nil {
		t.Fatal(err)
	}
	r := s.Check(map[string]string{"PORT": "seventy", "QUOTED": "'x'", "CR": "x\r", "OLD": "1"}, "")
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := `.env.schema:2: DATABASE_URL: missing: expected a URL such as https://host/path (set it in the environment; see https://example.com/db)
.env.schema:4: PORT: invalid: expected a port from 1 to 65535; length 1-7
warning: .env.schema:5: QUOTED: suspicious: expected no wrapping around the value; length 1-7 (the value begins and ends with quotes, which are a part of it)
warning: .env.schema:6: CR: suspicious: expected no wrapping around the value; length 1-7 (the value ends in a carriage return, as lines of a Windows file do)
warning: .env.schema:8: OLD: deprecated: expected it to be unset; length 1-7 (use PORT)
.env.schema: 5 variables checked for production, 2 problems, 3 warnings
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK                  bool
		Schema, Environment string
		Variables           int
		Problems, Warnings  []envcheck.Problem
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.OK || got.Environment != "production" || got.Variables != 5 || len(got.Problems) != 2 || len(got.Warnings) != 3 {
		t.Errorf("%s", raw)
	}
	wantProblem := envcheck.Problem{Variable: "PORT", Kind: envcheck.Invalid, Rule: "port", Expected: "a port from 1 to 65535", Length: "1-7", File: ".env.schema", Line: 4}
	if diff := cmp.Diff(wantProblem, got.Problems[1]); diff != "" {
		t.Error(diff)
	}
	if p, ok := errors.AsType[*envcheck.Problem](r.Err()); !ok || p.Variable != "DATABASE_URL" {
		t.Errorf("Err: %v", r.Err())
	}
	clean := s.Check(map[string]string{"DATABASE_URL": "postgres://h/db"}, "")
	if !clean.OK() || clean.Err() != nil {
		t.Error(clean.Err())
	}
	raw, _ = json.Marshal(clean)
	if string(raw) != `{"ok":true,"schema":".env.schema","environment":"production","variables":5,"problems":[],"warnings":[]}` {
		t.Errorf("%s", raw)
	}
}

func TestExampleFile(t *testing.T) {
	s := parse(t, "# Where orders are kept\n# @required @type=url @example=\"postgres://u:p $x@h\" @docs(https://a.b)\nDB=\nPORT=1\n# @required=forEnv(prod)\nKEY=")
	want := `# Where orders are kept
# a URL such as https://host/path (required)
# https://a.b
# DB="postgres://u:p \$x@h"
DB=

# a number (optional, the schema has a value)
PORT=

# a value (required in production)
KEY=
`
	if diff := cmp.Diff(want, s.Example()); diff != "" {
		t.Error(diff)
	}
	path := filepath.Join(t.TempDir(), "e")
	if err := os.WriteFile(path, []byte(s.Example()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := envcheck.ReadEnvFile(path); err != nil {
		t.Error(err)
	}
}
