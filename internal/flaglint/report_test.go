package flaglint_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/flaglint"
)

// checkSARIF checks what the schema of SARIF 2.1.0 requires of what we write.
func checkSARIF(t *testing.T, data []byte, results int) {
	t.Helper()
	type text struct{ Text *string }
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID               string
						ShortDescription text
					}
				}
			}
			ColumnKind string
			Results    []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   text
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI, URIBaseID string }
						Region           *struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	if log.Schema == "" || log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != results {
		t.Fatalf("got %+v", log)
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name == "" || len(run.Tool.Driver.Rules) != len(flaglint.Rules()) || run.ColumnKind != "unicodeCodePoints" {
		t.Errorf("got %+v", run.Tool)
	}
	for _, r := range run.Results {
		if r.RuleIndex < 0 || r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("the rule of %+v is none", r)
		}
		if !slices.Contains([]string{"error", "warning", "note"}, r.Level) || r.Message.Text == nil || len(r.Locations) != 1 {
			t.Errorf("got %+v", r)
		}
		at := r.Locations[0].PhysicalLocation
		uri, err := url.Parse(at.ArtifactLocation.URI)
		if err != nil || uri.IsAbs() && (uri.Scheme != "file" || at.ArtifactLocation.URIBaseID != "") {
			t.Errorf("got URI %q, %v", at.ArtifactLocation.URI, err)
		}
		if at.Region != nil && (at.Region.StartLine < 1 || at.Region.StartColumn < 1) {
			t.Errorf("got region %+v", at.Region)
		}
	}
}

func TestURIsOfSARIF(t *testing.T) {
	t.Parallel()
	tests := []struct{ rule, file, want string }{
		{"relative", "app/main.go", "app/main.go %SRCROOT%"},
		{"with what has to be escaped", "a b/ä%?#.go", "a%20b/%C3%A4%25%3F%23.go %SRCROOT%"},
		{"a colon in the first part is no scheme", "a:b.go", "./a:b.go %SRCROOT%"},
		{"absolute below the root of the sources", "/src/app/main.go", "app/main.go %SRCROOT%"},
		{"absolute elsewhere", "/other/main.go", "file:///other/main.go "},
		{"above", "../main.go", "../main.go %SRCROOT%"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			r := &flaglint.Report{Findings: []flaglint.Finding{{Rule: flaglint.RuleUndefined, Severity: flaglint.Error, File: tt.file}}}
			var b bytes.Buffer
			if err := r.WriteSARIF(&b, "v1", "/src"); err != nil {
				t.Fatal(err)
			}
			checkSARIF(t, b.Bytes(), 1)
			_, rest, _ := strings.Cut(b.String(), `"uri": "`)
			got, rest, _ := strings.Cut(rest, `"`)
			_, rest, _ = strings.Cut(strings.SplitAfter(rest, "}")[0], `"uriBaseId": "`)
			base, _, _ := strings.Cut(rest, `"`)
			if got+" "+base != tt.want {
				t.Errorf("got %q, want %q", got+" "+base, tt.want)
			}
		})
	}
}

// TestAnnotationsAreEscaped: a name of a file or a key cannot begin a command of
// its own.
func TestAnnotationsAreEscaped(t *testing.T) {
	t.Parallel()
	r := &flaglint.Report{Findings: []flaglint.Finding{{
		Rule: flaglint.RuleComputed, Severity: flaglint.Info, File: "a:b,c%\n.go", Line: 1, Column: 2, Message: "x: 100 %,\r\n::error::y", Remedy: "z",
	}}}
	var b bytes.Buffer
	if err := r.WriteGitHub(&b); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := (&flaglint.Report{Findings: []flaglint.Finding{{File: "::error::x"}}}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(text.String(), ":") {
		t.Errorf("a name begins a command in %q", text.String())
	}
	want := "::notice file=a%3Ab%2Cc%25%0A.go,line=1,col=2,title=key-computed::x: 100 %25,%0D%0A::error::y. z\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
