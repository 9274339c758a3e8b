package handrail_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 60
)

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := tooLong(path, src)
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			t.Error(p)
		}
	}
}

// tooLong lists what of a Go file is over the limits. Lines are counted from
// the first of a function to its closing brace.
func tooLong(path string, src []byte) ([]string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []string
	if n := strings.Count(string(src), "\n"); n > maxFileLines {
		found = append(found, fmt.Sprintf("%s has %d lines; %d is the ceiling", path, n, maxFileLines))
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := fset.Position(f.Pos()), fset.Position(f.End())
		if n := to.Line - from.Line + 1; n > maxFunctionLines {
			found = append(found, fmt.Sprintf("%s: %s has %d lines; %d is the ceiling", from, f.Name.Name, n, maxFunctionLines))
		}
	}
	return found, nil
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	function := func(lines int) string {
		return "func f() {\n" + strings.Repeat("\n", lines-2) + "}\n"
	}
	tests := []struct {
		rule, src string
		want      int
	}{
		{"a function of 60 lines is fine", "package p\n" + function(60), 0},
		{"a function of 61 lines is not", "package p\n" + function(61), 1},
		{"a file of 500 lines is fine", "package p\n" + strings.Repeat("\n", 499), 0},
		{"a file of 501 lines is not", "package p\n" + strings.Repeat("\n", 500), 1},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			got, err := tooLong("p.go", []byte(tt.src))
			if err != nil || len(got) != tt.want {
				t.Errorf("got %q, %v; want %d problems", got, err, tt.want)
			}
		})
	}
}

func TestLinksInPagesLeadSomewhere(t *testing.T) {
	for _, path := range files(t, ".md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range deadLinks(filepath.Dir(path), string(text)) {
			t.Errorf("%s: %s leads nowhere", path, link)
		}
	}
}

var (
	fenced    = regexp.MustCompile("(?s)```.*?```")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	pageLinks = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)|(?m)^ *\[[^\]]+\]:\s*<?([^\s>]+)`)
	scheme    = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)
)

// deadLinks lists the relative links of a Markdown page in dir that lead to no
// file or folder. Code is no link, and what other sites hold is theirs.
func deadLinks(dir, page string) []string {
	page = codeSpan.ReplaceAllString(fenced.ReplaceAllString(page, ""), "")
	var dead []string
	for _, match := range pageLinks.FindAllStringSubmatch(page, -1) {
		link := match[1] + match[2]
		path, _, _ := strings.Cut(link, "#")
		if path == "" || scheme.MatchString(link) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(path))); err != nil {
			dead = append(dead, link)
		}
	}
	return dead
}

func TestDeadLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here.md"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ rule, page, want string }{
		{"a file that exists", "[a](here.md)", ""},
		{"a part of a file that exists", "[a](here.md#part)", ""},
		{"a part of the page itself", "[a](#part)", ""},
		{"another site", "[a](https://example.com/x.md) [b](mailto:a@example.com)", ""},
		{"a file that does not exist", "see [a](gone.md).", "gone.md"},
		{"a title behind the link", `[a](gone.md "title")`, "gone.md"},
		{"an image", "![a](gone.png)", "gone.png"},
		{"a link by reference", "[a]: gone.md", "gone.md"},
		{"code is no link", "`[a](gone.md)`\n\n```\n[a](gone.md)\n```\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(deadLinks(dir, tt.page), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// files lists the repository's files with that ending, without what git ignores
// and without test data.
func files(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || path == "bin" || path == "handrail-data"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ending):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
