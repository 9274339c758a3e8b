package flaglint_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/flaglint"
)

var endings = []string{".go", ".ts", ".tsx", ".vue", ".svelte", ".ejs", ".py", ".rb", ".erb", ".js.erb", ".html", ".java", ".php", ".rs", ".sh", ".yaml"}

// FuzzCode reads any bytes as any language: it ends, and what it finds stands in
// the file.
func FuzzCode(f *testing.F) {
	for _, seed := range []string{
		"isOn(\"a\")", "isOn(`a${isOn('b')}`)", "<p>{isOn('a')}</p>", "<a b={`${<c/>}`}>", "x = <<~A + %w[a b]\n#{isOn('a')}\nA\n",
		"{{ isOn \"a\" }}{% isOn('a') %}<% isOn 'a' %>", "f\"{isOn('a')}{{}}\"", "/[\"/]/.isOn('a')", "'''\nisOn('a')", "isOn<A<B>>('a')",
		"<script>{{isOn('a')}}</script>", ":a=\"isOn('b')\"", "%q(a(b)) :c :\"d#{e}\"", "{flag: a, flag: 'b'} # handrail:ignore", "\xff\xfe isOn(\"\xff\")",
	} {
		for i := range endings {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, ending uint8, code []byte) {
		r := flaglint.ScanCode("handrail"+endings[int(ending)%len(endings)], code, "a", "isOn")
		lines := bytes.Split(code, []byte{'\n'})
		for _, finding := range r.Findings {
			if finding.Line < 1 || finding.Line > len(lines) || finding.Column < 1 || finding.Column > utf8.RuneCount(lines[finding.Line-1]) {
				t.Errorf("%+v does not stand in the file", finding)
			}
		}
		checkReports(t, r)
	})
}

// FuzzDefinitions: no file of definitions is too much, and each flag that was
// read stands where its key does.
func FuzzDefinitions(f *testing.F) {
	for _, seed := range []string{
		"flags:\n  a: {rolloutPercentage: 5}\n  b.c: {enabled: false} # handrail:ignore\n", `{"a": {"rolloutPercentage": 100, "allowList": ["x"]}}`,
		"a: &x {rolloutPercentage: 1}\nb: *x\n", "a:\n  enabled: true\n  allowList:\n  - x\n\n", "flags: {}", `{"flags":{"a/b":{"created":"2020-01-01"}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := flaglint.Parse("flags.yaml", data, flags.Parse)
		lines := bytes.Split(data, []byte{'\n'})
		for _, flag := range d.Flags {
			if flag.Line < 1 || flag.Line > len(lines) || len(flag.Deciding) == 0 {
				t.Errorf("%+v does not stand in the file", flag)
			}
			for _, l := range flag.Deciding {
				if l.First < 1 || l.Last < l.First || l.Last > len(lines) {
					t.Errorf("%+v does not stand in the file", flag)
				}
			}
		}
		d.File = "/nowhere/flags.yaml"
		checkReports(t, lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{d}}))
	})
}

// FuzzReports: whatever a finding says, reports keep their form.
func FuzzReports(f *testing.F) {
	f.Add("a.go", "text", "key", 1)
	f.Add("a:b,c%\r\n.go", "%0A::error::\n\x1b[2J", "\xff", 0)
	f.Add("../äö/x y.go", "a", "", -1)
	f.Fuzz(func(t *testing.T, file, message, key string, line int) {
		checkReports(t, &flaglint.Report{Findings: []flaglint.Finding{{
			Rule: flaglint.RuleUndefined, Severity: flaglint.Error, File: file, Line: max(line, 0), Column: max(line, 0), Key: key, Message: message, Remedy: message,
		}}})
	})
}

// checkReports writes all reports and checks what their readers rely on.
func checkReports(t *testing.T, r *flaglint.Report) {
	t.Helper()
	var text, github, plain, sarif bytes.Buffer
	for _, err := range []error{r.WriteText(&text), r.WriteGitHub(&github), r.WriteJSON(&plain), r.WriteSARIF(&sarif, "v1", "/src")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 2*len(r.Findings)+1 {
		t.Errorf("%d lines of text for %d findings: %q", n, len(r.Findings), text.String())
	}
	for _, c := range text.String() {
		if c < ' ' && c != '\n' || c == 0x7f {
			t.Errorf("a control character in %q", text.String())
		}
	}
	if n := strings.Count(github.String(), "\n"); n != len(r.Findings) || strings.Contains(github.String(), "\r") {
		t.Errorf("%d annotations for %d findings: %q", n, len(r.Findings), github.String())
	}
	if !json.Valid(plain.Bytes()) {
		t.Error("no JSON")
	}
	checkSARIF(t, sarif.Bytes(), len(r.Findings))
}
