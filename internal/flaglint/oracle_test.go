package flaglint_test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/flaglint"
)

// TestGoStringsAreThoseOfGo: in the standard library we find the strings that
// go/scanner finds, at the same places.
func TestGoStringsAreThoseOfGo(t *testing.T) {
	t.Parallel()
	root := filepath.Join(runtime.GOROOT(), "src", "net") //nolint:staticcheck // the sources of the Go that runs the test
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" {
			return err
		}
		code, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files++
		got := flaglint.Literals(name, code)
		for i := range got { // escapes are resolved only as far as keys need it
			if strings.Contains(got[i].Text, `\`) || strings.Contains(string(code[got[i].Start:got[i].End]), `\`) {
				got[i].Text = ""
			}
		}
		if diff := cmp.Diff(goStrings(code), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		return nil
	})
	if err != nil {
		t.Skipf("no sources of the standard library: %v", err)
	}
	if files < 100 {
		t.Errorf("only %d files were compared", files)
	}
}

func goStrings(code []byte) []flaglint.Literal {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(code))
	var s scanner.Scanner
	s.Init(file, code, nil, 0)
	var all []flaglint.Literal
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return all
		}
		if tok != token.STRING {
			continue
		}
		value, _ := strconv.Unquote(text)
		if strings.Contains(text, `\`) {
			value = ""
		}
		start := file.Offset(pos)
		all = append(all, flaglint.Literal{Start: start, End: start + len(text), Text: value})
	}
}
