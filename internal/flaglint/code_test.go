package flaglint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/flaglint"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// write makes files in a new folder, by their names.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// defined are definitions of flags that decide something.
func defined(keys ...string) *flaglint.Definitions {
	d := &flaglint.Definitions{File: "flags.yaml"}
	for i, key := range keys {
		d.Flags = append(d.Flags, flaglint.Flag{Key: key, Line: i + 1, Column: 1})
	}
	return d
}

func lint(t *testing.T, c flaglint.Config) *flaglint.Report {
	t.Helper()
	c.Now = now
	if c.StaleAfter == 0 {
		c.StaleAfter = 30 * 24 * time.Hour
	}
	r, err := flaglint.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// brief is a finding in a word or two: "3:9 missing", "used", "1:2 computed".
func brief(r *flaglint.Report) []string {
	found := []string{}
	used := true
	for _, f := range r.Findings {
		switch f.Rule {
		case flaglint.RuleUndefined:
			found = append(found, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Key))
		case flaglint.RuleComputed:
			found = append(found, fmt.Sprintf("%d:%d computed", f.Line, f.Column))
		case flaglint.RuleUnused:
			used = false
		default:
			found = append(found, f.Rule+" "+f.Message)
		}
	}
	if used {
		found = append(found, "used")
	}
	return found
}

type codeTest struct {
	rule, file, code string
	want             string // of brief, with commas between; "used" is about the flag known
}

func runCode(t *testing.T, tests []codeTest, calls ...string) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{tt.file: tt.code})
			r := lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{defined("known")}, Code: []string{dir}, Calls: calls})
			if diff := cmp.Diff(tt.want, strings.Join(brief(r), ", ")); diff != "" {
				t.Errorf("%s\n%s", tt.code, diff)
			}
		})
	}
}

const importFlags = `import "github.com/handrail-go/handrail/flags"` + "\n"

func TestGo(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"the package's function has the key behind the context", "a.go", importFlags + `if flags.Enabled(r.Context(), "missing") {}`, "2:31 missing"},
		{"a context by any name", "a.go", importFlags + `if flags.Enabled(c, "missing") {}`, "2:21 missing"},
		{"a client has the key first", "a.go", importFlags + `if client.Enabled("missing", "user-1") {}`, "2:19 missing"},
		{"an evaluator in a chain", "a.go", importFlags + `flags.FromContext(ctx).Evaluate("missing")`, "2:33 missing"},
		{"a receiver named after flags needs no import", "a.go", `h.featureFlags.Enabled("missing", id)`, "1:24 missing"},
		{"another receiver without the import is none of ours", "a.go", `logger.Enabled("missing")`, ""},
		{"a logger in a file that imports flags computes nothing", "a.go", importFlags + `logger.Enabled(ctx, slog.LevelDebug)`, ""},
		{"a key that is defined", "a.go", importFlags + `flags.Enabled(ctx, "known")`, "used"},
		{"a raw string", "a.go", importFlags + "flags.Enabled(ctx, `missing`)", "2:20 missing"},
		{"a computed key", "a.go", importFlags + `flags.Enabled(ctx, "a" + suffix)`, "2:7 computed"},
		{"an argument after a nested call", "a.go", importFlags + `flags.Enabled(f(a, "x", []int{1, 2}, ctx), "missing")`, "2:44 missing"},
		{"a line comment", "a.go", importFlags + `// flags.Enabled(ctx, "known")`, ""},
		{"a block comment", "a.go", importFlags + "/* \n flags.Enabled(ctx, \"missing\") */", ""},
		{"a call in a string", "a.go", importFlags + `x := "flags.Enabled(ctx, \"missing\")"`, ""},
		{"a comment in a string", "a.go", importFlags + `x := "//"; flags.Enabled(ctx, "missing")`, "2:31 missing"},
		{"a quote that is a character", "a.go", importFlags + `x := '"'; flags.Enabled(ctx, "missing")`, "2:30 missing"},
		{"a backslash at the end of a raw string", "a.go", importFlags + "x := `\\`; flags.Enabled(ctx, \"missing\")", "2:30 missing"},
		{"a method is declared", "a.go", importFlags + `func (f *fakeFlags) Enabled(key string) bool {`, ""},
		{"a method of a double is declared", "a.go", `func (c *fake) BooleanValue(ctx context.Context, k *Key, b bool) bool {`, ""},
		{"a method is listed in an interface", "a.go", `BooleanValue(ctx context.Context, key string, b bool) bool`, ""},
		{"a function is declared", "a.go", importFlags + `func Enabled(ctx context.Context, flag string) bool {`, ""},
		{"a string anywhere counts as used", "a.go", `var x = map[string]int{"known": 1}`, "used"},
		{"a longer string does not", "a.go", `var x = "known-2"`, ""},
		{"OpenFeature has the key second", "a.go", `client.BooleanValue(ctx, "missing", false, evalCtx)`, "1:26 missing"},
		{"OpenFeature with details", "a.go", `client.StringValueDetails(context.Background(), "missing", "", nil)`, "1:49 missing"},
		{"a function like OpenFeature's without a context is another", "a.go", `aws.StringValue("missing")`, ""},
		{"OpenFeature's short names need its import", "a.go", `c.Boolean(ctx, "missing", false, e)`, ""},
		{"OpenFeature's short names", "a.go", "import \"github.com/open-feature/go-sdk/openfeature\"\nc.Boolean(ctx, \"missing\", false, e)", "2:16 missing"},
		{"a constant that is defined", "a.go", importFlags + "const FlagX = \"known\"\nvar _ = flags.Enabled(ctx, FlagX)", "used"},
		{"a constant that is not", "a.go", importFlags + "const (\n\tFlagX Key = \"missing\"\n)\nvar _ = flags.Enabled(ctx, keys.FlagX)", "5:15 missing"},
		{"a constant with two values", "a.go", importFlags + "const FlagX = \"a\"\nconst FlagX = \"b\"\nvar _ = flags.Enabled(ctx, FlagX)", "4:15 computed"},
		{"a parameter is no constant", "a.go", importFlags + "const key = \"known\"\nflags.Enabled(ctx, key)", "3:7 computed, used"},
		{"columns count characters", "a.go", importFlags + `x := "äöü"; flags.Enabled(ctx, "missing")`, "2:32 missing"},
		{"ignored on the line", "a.go", importFlags + `flags.Enabled(ctx, "missing") // handrail:ignore: a fixture`, ""},
		{"ignored on the line before", "a.go", importFlags + "// handrail:ignore\nflags.Enabled(ctx, \"missing\")", ""},
		{"a comment behind code ignores its own line only", "a.go", importFlags + "f() // handrail:ignore\nflags.Enabled(ctx, \"missing\")", "3:20 missing"},
		{"the word in a string ignores nothing", "a.go", importFlags + `f("handrail:ignore"); flags.Enabled(ctx, "missing")`, "2:42 missing"},
		{"in a line between two that are ignored", "a.go", importFlags + "// handrail:ignore\nf()\nflags.Enabled(ctx, \"missing\")\nf() // handrail:ignore", "4:20 missing"},
		{"ignored on the line of the key", "a.go", importFlags + "flags.Enabled(\n\tctx,\n\t\"missing\", // handrail:ignore\n)", ""},
		{"a call over several lines", "a.go", importFlags + "// handrail:ignore\nflags.Enabled(\n\tctx,\n\t\"missing\",\n)", ""},
	})
}

func TestJavaScript(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"OpenFeature's client", "a.js", `if (await client.getBooleanValue("missing", false)) {}`, "1:34 missing"},
		{"single quotes", "a.mjs", `client.getStringDetails('missing', '')`, "1:25 missing"},
		{"a template literal without parts", "a.ts", "client.getNumberValue(`missing`, 0)", "1:23 missing"},
		{"a template literal with parts", "a.ts", "client.getNumberValue(`missing-${x}`, 0)", "1:8 computed"},
		{"type arguments", "a.ts", `client.getObjectValue<Map<string, X>>("missing", {})`, "1:39 missing"},
		{"an assertion", "a.ts", `client.getBooleanValue("missing" as Key, false)`, "1:24 missing"},
		{"an optional call", "a.ts", `client?.getBooleanValue?.("missing", false)`, "1:27 missing"},
		{"a hook", "a.tsx", `const { value } = useBooleanFlagValue("missing", false);`, "1:39 missing"},
		{"a hook in an element", "a.tsx", `return <div a={useFlag("missing")}>Don't</div>;`, "1:24 missing"},
		{"code behind an apostrophe in an element", "a.jsx", "const a = <p>Don't {useFlag('missing') ? \"it's\" : <b/>} can't</p>; f('known')", "1:29 missing, used"},
		{"text of an element is no code", "a.jsx", `const a = <p>useFlag("known")</p>`, ""},
		{"a property of an element", "a.tsx", `<FeatureFlag flagKey="missing"><b>x</b></FeatureFlag>`, "1:22 missing"},
		{"a property in braces", "a.tsx", `<FeatureFlag flagKey={"missing"}/>; <FeatureFlag flagKey={FLAG_A}/>; <X flagKey={a.b(c)}/>`, "1:23 missing, 1:50 computed, 1:73 computed"},
		{"a comment in an element", "a.tsx", `x = <p>{/* useFlag("missing") */}</p>`, ""},
		{"a generic arrow function is no element", "a.tsx", "const f = <T,>(x: T) => useFlag(\"missing\");\nconst g = <T extends X>(x: T) => 1; useFlag('missing')", "1:33 missing, 2:45 missing"},
		{"an element without an end is none", "a.js", `x = y ? <a : b; useFlag("missing")`, "1:25 missing"},
		{"a type assertion", "a.ts", `const x = <Foo>bar; useFlag("missing")`, "1:29 missing"},
		{"a comparison", "a.js", `if (a <b && c> d) useFlag("missing")`, "1:27 missing"},
		{"a call in the part of a template literal", "a.js", "const s = `a ${useFlag(\"missing\")} ${`b ${x}`} c`; f('known')", "1:24 missing, used"},
		{"a quote in a regular expression", "a.js", `s.replace(/["'/]/g, ""); useFlag("missing")`, "1:34 missing"},
		{"a division is no regular expression", "a.js", `x = a / 2; y = useFlag("missing") / 2`, "1:24 missing"},
		{"a URL in a string", "a.js", `x = "http://a"; useFlag("missing")`, "1:25 missing"},
		{"a comment", "a.js", "// useFlag('missing')\n/* f('known') */", ""},
		{"a computed key", "a.js", `client.getBooleanValue(name, false)`, "1:8 computed"},
		{"a constant of an object", "a.ts", "export const Flags = { NewOne: 'missing' } as const;\nuseFlag(Flags.NewOne)", "2:1 missing"},
		{"a constant of an object that is frozen", "a.ts", "const Keys = Object.freeze({ a: 1, NewOne: 'missing', OldOne: 'known' });\nuseFlag(Keys.NewOne); useFlag(Keys.OldOne)", "2:1 missing, used"},
		{"a member of another object", "a.ts", "const Other = { NewOne: 'x' };\nuseFlag(Keys.NewOne)", "2:1 computed"},
		{"a member of an object without a name", "a.ts", "f({ NewOne: 'x' });\nuseFlag(Keys.NewOne)", "2:1 computed"},
		{"a member of an enum", "a.ts", "enum Keys { NewOne = 'missing' }\nuseFlag(Keys.NewOne)", "2:1 missing"},
		{"a constant", "a.ts", "const FLAG_A: string = 'known'; useFlag(FLAG_A)", "used"},
		{"a method is declared", "a.ts", "class X { getBooleanValue(key: string, d: boolean): boolean { } }\nclass Y { getBooleanValue(key, d) { } }", ""},
		{"too few arguments", "a.js", `row.getStringValue("missing")`, ""},
		{"a similar name", "a.js", `getBooleanValues("missing", false); usesFlag("missing")`, ""},
		{"an escape in a key", "a.js", `f("kno\wn")`, ""},
		{"scripts and bound attributes of Vue", "a.vue", "<template><p v-if=\"useFlag('missing')\" title=\"useFlag('known')\">{{ f('known') }} it's</p></template>\n<script setup lang=\"ts\">\nconst a = useFlag('missing')\n</script>\n<style>a { b: 'known' }</style>", "1:28 missing, 3:19 missing, used"},
		{"code of Svelte", "a.svelte", "<script>\n let a = useFlag('missing')\n</script>\n{#if useFlag('missing')}\n<p class={f({a: 'known'})}>it's</p>{/if}\n<!-- {useFlag('x')} -->", "2:18 missing, 4:14 missing, used"},
	})
}

func TestPython(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"OpenFeature's client", "a.py", `if client.get_boolean_value("missing", False):`, "1:29 missing"},
		{"a keyword", "a.py", `client.get_string_details(default_value="x", flag_key='missing')`, "1:55 missing"},
		{"async", "a.py", `await client.get_integer_value_async("missing", 1)`, "1:38 missing"},
		{"a comment", "a.py", `# client.get_boolean_value("missing", False)`, ""},
		{"a string over several lines", "a.py", "\"\"\"\nclient.get_boolean_value('missing', False)\nit's\n\"\"\"\nf('known')", "used"},
		{"a raw string", "a.py", `x = r"\"; client.get_boolean_value("missing", False)`, ""},
		{"a raw string that ends", "a.py", `x = r"\d"; client.get_boolean_value(rb"missing", False)`, "1:37 missing"},
		{"an f-string with a part", "a.py", `client.get_boolean_value(f"a-{x}", False)`, "1:8 computed"},
		{"an f-string without", "a.py", `client.get_boolean_value(f"missing", False)`, "1:26 missing"},
		{"braces of an f-string", "a.py", `x = f"{{ {d['known']:>{width}} }}"`, "used"},
		{"two strings make one", "a.py", `client.get_boolean_value("a" "b", False)`, "1:8 computed"},
		{"a function is declared", "a.py", "def get_boolean_value(self, flag_key: str, default: bool):", ""},
		{"a constant", "a.py", "NEW_ONE: Final = 'missing'\nclient.get_boolean_value(Flags.NEW_ONE, False)", "2:8 missing"},
	})
}

func TestRuby(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"OpenFeature's client", "a.rb", `client.fetch_boolean_value(flag_key: "missing", default_value: false)`, "1:38 missing"},
		{"without parentheses", "a.rb", `client.fetch_boolean_value flag_key: 'missing', default_value: false`, "1:38 missing"},
		{"a comment", "a.rb", "# fetch_boolean_value(flag_key: 'missing')\n=begin\nf('known')\n=end\n", ""},
		{"an interpolation", "a.rb", `client.fetch_string_value(flag_key: "a-#{x("known")}", default_value: "")`, "1:8 computed, used"},
		{"a string without one", "a.rb", `client.fetch_string_value(flag_key: "missing", default_value: "#{x}")`, "1:37 missing"},
		{"a heredoc", "a.rb", "x = <<~SQL + f('a')\n  it's 'known' #{y}\nSQL\nf('known')", "used"},
		{"a heredoc hides code", "a.rb", "x = <<~SQL\n  f('known')\nSQL\n", ""},
		{"code in a heredoc", "a.rb", "x = <<~SQL\n  #{f('known')}\nSQL\n", "used"},
		{"a symbol", "a.rb", `f(:known)`, "used"},
		{"a list of words", "a.rb", `f(%w[a known])`, "used"},
		{"a control character in a list of words", "a.rb", "f(%w[a \x01 known])", "used"},
		{"a string with its own quotes", "a.rb", `f(%q(known), %Q{it's #{x}}, "known")`, "used"},
		{"a regular expression", "a.rb", `x =~ /"'/; f("known")`, "used"},
		{"a division", "a.rb", `x = a / 2; y = b / f("known")`, "used"},
		{"pages of ERB", "a.html.erb", "<%# f('known') %>\n<p>it's <% if client.fetch_boolean_value(flag_key: \"missing\", default_value: false) %> f('known')</p>\n<script>const a = useFlag('missing', <%= 1 %>)</script>", "2:52 missing, 3:27 missing"},
		{"a constant", "a.rb", "NEW_ONE = 'missing'.freeze\nclient.fetch_boolean_value(flag_key: NEW_ONE, default_value: false)", "2:8 missing"},
	})
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"Go: a function", "a.gohtml", `{{ if isOn "missing" }}it's{{ end }} isOn("known")`, "1:12 missing"},
		{"Go: a function with a context", "a.tmpl", `{{- if and (isOn $.Ctx "missing") .X -}}`, "1:24 missing"},
		{"Go: a method of flags", "a.html", `{{ if .Flags.Enabled "missing" }}`, "1:22 missing"},
		{"Go: a computed key", "a.html", `{{ if isOn .Key }}`, "1:7 computed"},
		{"Go: a comment", "a.html", `{{/* isOn "known" */}}{{- /* isOn "missing" */ -}}`, ""},
		{"Jinja: a call", "a.j2", `{% if isOn("missing") and x %}{{ "known" | upper }}{# isOn("x") #}`, "1:12 missing, used"},
		{"Jinja: delimiters in a string", "a.j2", `{{ f("}}", 'known') }}`, "used"},
		{"Django: a filter", "a.html", `{% if "known"|on %}{% comment %}{{ isOn("missing") }}{% endcomment %}`, "used"},
		{"Handlebars: a helper", "a.hbs", `{{#if (isOn "missing")}}don't{{/if}}{{!-- isOn "known" --}}{{! isOn "known" }}`, "1:13 missing"},
		{"EJS: code", "a.ejs", `<% if (isOn("missing")) { %>isOn("known")<%# isOn("known") %><% } %>`, "1:13 missing"},
		{"a comment of HTML", "a.html", `<!-- {{ isOn "missing" }} -->`, ""},
		{"a script in a page", "a.html", "<script>\nif (isOn('missing')) { x = '{{ isOn \"known\" }}' }\n</script>", "2:10 missing, used"},
		{"text is no code", "a.html", `<p title="known">isOn("known")</p>`, ""},
		{"JavaScript made by ERB", "a.js.erb", `isOn("missing"); x = "<%= f('known') %>"`, "1:6 missing, used"},
	}, "isOn")
}

func TestOtherFiles(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"gates of the sidecar", "handrail.yaml", "flags:\n  routes:\n    - {flag: missing, paths: [/a]} # flag: x\n    - flag: \"known\"\n", "3:14 missing, used"},
		{"other settings use flags, and miss none", "values.yml", "flag: known\nother: {flag: missing}\n", "used"},
		{"the definitions themselves use nothing", "flags.yaml", "flags:\n  known: {rolloutPercentage: 5}\n", ""},
		{"Java", "A.java", `// "known"` + "\n" + `if (flags.isOn("missing", '"')) {}`, "2:16 missing"},
		{"a method of Java is declared", "A.java", `public boolean isOn(String key, int x) {`, ""},
		{"a constant of Java", "A.java", `static final String FLAG_A = "missing"; x = isOn(Keys.FLAG_A)`, "1:45 missing"},
		{"Kotlin", "A.kt", `val x = """ "a """; f("known")`, "used"},
		{"PHP", "a.php", "<p>don't isOn('known')</p>\n<?php # f('known')\n" + `if (isOn('missing')) { ?> it's`, "3:10 missing"},
		{"Blade", "a.blade.php", `<p>it's {{ isOn('missing') }}</p>`, "1:17 missing"},
		{"Rust, whose lifetimes are no characters", "a.rs", `fn f<'a>(x: &'a str) { isOn("missing") }`, "1:29 missing"},
	}, "isOn")
}

func TestOwnFunctions(t *testing.T) {
	t.Parallel()
	runCode(t, []codeTest{
		{"by its name", "a.ts", `isOn("missing")`, "1:6 missing"},
		{"with a receiver", "a.ts", `features.get(user, "missing"); other.get(user, "x")`, "1:20 missing"},
		{"behind a context", "a.go", `isOn(ctx, "missing")`, "1:11 missing"},
		{"a name that ends in a question mark", "a.rb", `if enabled? "missing"; x.enabled?(:missing)`, "1:13 missing, 1:35 missing"},
		{"a keyword", "a.py", `isOn(user, flag="missing")`, "1:17 missing"},
		{"without an argument", "a.ts", `isOn()`, ""},
		{"a value of that name", "a.ts", `x = isOn; y = isOn + "known"`, "used"},
	}, "isOn", "features.get:2", "enabled?")
}
