package sidecar_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// env is an environment of tests.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// quiet keeps what these tests are not about out of the way: an upstream, and
// listeners that need no answer to who is trusted.
const quietConfig = `
listen: "127.0.0.1:0"
admin: {listen: ""}
upstream: {url: "http://127.0.0.1:1"}
`

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// load reads a configuration file with this content.
func load(t *testing.T, content string, e env) (*sidecar.Loaded, error) {
	t.Helper()
	file := writeFile(t, t.TempDir(), "handrail.yaml", content)
	return sidecar.Load(sidecar.Options{File: file, Getenv: e.get})
}

func mustLoad(t *testing.T, content string, e env) *sidecar.Loaded {
	t.Helper()
	l, err := load(t, content, e)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return l
}

// problems are what Load found wrong.
func problems(t *testing.T, err error) strictyaml.Problems {
	t.Helper()
	if err == nil {
		return nil
	}
	ps, ok := errors.AsType[strictyaml.Problems](err)
	if !ok {
		t.Fatalf("Load: %T, want strictyaml.Problems: %v", err, err)
	}
	return ps
}
