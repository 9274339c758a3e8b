package envcheck_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/envcheck"
)

// positions checks that every mistake lies within the file.
func positions(t *testing.T, err error, text string) {
	t.Helper()
	lines := strings.Count(text, "\n") + 1
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		if e, ok := errors.AsType[*envcheck.SyntaxError](err); ok && (e.Line < 1 || e.Line > lines || e.Column < 1) {
			t.Errorf("%v lies outside of %d lines", e, lines)
		}
	}
}

func FuzzParseSchema(f *testing.F) {
	f.Add(everyType, "x")
	f.Add("# @defaultRequired\n# ---\n# d\n# @type=string(minLength=1, matches=regex(\"a\", \"i\")) # c\nA=$B # @deprecated=\"x\"\nB=\"\"\"\nx\"\"\"", "")
	f.Add("# @type=enum(\n#  a, # b\n# )\nA=a\n# @required=forEnv(dev)\nexport B = `x`\n# @example=\"a\\\"b\" @docs(x, y)\nC={\"a\":1}", "1")
	f.Add("A=${B:-${C-d}}\nB=$A\nC=\\$x", "\r")
	for _, line := range envLines {
		f.Add(line, "%")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		s, err := envcheck.ParseSchema("s", strings.NewReader(text))
		if err != nil {
			positions(t, err, text)
			return
		}
		env := map[string]string{}
		for _, v := range s.Variables() {
			env[v.Name] = value
		}
		s.Check(env, value)
		first := s.Check(nil, value)
		// What the schema adds is all that the app misses.
		again := s.Check(s.Defaults(nil), value)
		if len(first.Problems) != len(again.Problems) {
			t.Errorf("%d problems without, %d with the defaults in the environment", len(first.Problems), len(again.Problems))
		}
		path := filepath.Join(t.TempDir(), "e")
		write(t, path, s.Example())
		if got, err := envcheck.ReadEnvFile(path); err != nil || len(got) != len(env) {
			t.Errorf("the example is no .env file of %d variables: %d, %v", len(env), len(got), err)
		}
	})
}

func FuzzReadEnvFile(f *testing.F) {
	f.Add("A=b\nexport C='d' # e\nF=\"$A\\n\\\"${X:-y}\"\nG=`h`\r\n", "v")
	f.Add("A=\"\\\\\"\nB=$A$A\nC='x\ny'", "")
	for _, line := range envLines {
		f.Add(line, "x")
	}
	path := filepath.Join(f.TempDir(), "e")
	f.Fuzz(func(t *testing.T, text, value string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env, err := envcheck.ReadEnvFiles(map[string]string{"X": value}, path)
		if err != nil {
			positions(t, err, text)
			return
		}
		if value != "" && env["X"] != value {
			t.Errorf("the process environment did not win: %q", env["X"])
		}
		for name, v := range env {
			if strings.ContainsAny(v, "\x00\x01\x02\x03") && !strings.ContainsAny(value, "\x00\x01\x02\x03") {
				t.Errorf("%s kept a mark: %q", name, v)
			}
		}
	})
}

// What is written between single quotes is read back byte for byte.
func FuzzEnvFileLiteral(f *testing.F) {
	f.Add("$A \\n \" # `")
	f.Add("lines\nof \\ text")
	path := filepath.Join(f.TempDir(), "e")
	f.Fuzz(func(t *testing.T, value string) {
		if err := os.WriteFile(path, []byte("A='"+value+"'"), 0o600); err != nil {
			t.Fatal(err)
		}
		env, err := envcheck.ReadEnvFile(path)
		if err == nil && env["A"] != strings.ReplaceAll(value, "\r\n", "\n") && !strings.Contains(value, "'") {
			t.Errorf("%q became %q", value, env["A"])
		}
	})
}
