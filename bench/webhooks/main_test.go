package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// TestMain lets the test binary be the app of a run, and the sidecar, which is
// the same but for the race detector.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == appCommand:
		main()
	case len(os.Args) == 4 && os.Args[1] == "serve":
		if err := serveSidecar(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveSidecar(config string) error {
	loaded, err := sidecar.Load(sidecar.Options{File: config, Getenv: func(string) string { return "" }})
	if err != nil {
		return err
	}
	signals, release := sidecar.Notify()
	defer release()
	s, err := sidecar.New(context.Background(), loaded, os.Stderr)
	if err != nil {
		return err
	}
	return s.Run(context.Background(), sidecar.RunOptions{Signals: signals})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, args, problem string
	}{
		{"the defaults are fine", "", ""},
		{"a short look", "-rounds 1 -duration 1s -warmup 0s -connections 8 -stores memory,by-hand", ""},
		{"no round", "-rounds 0", "-rounds"},
		{"rounds without end", "-rounds 51", "-rounds"},
		{"no time at all", "-duration 0s", "-duration"},
		{"no measurement of an hour", "-duration 1h", "-duration"},
		{"no warm-up of an hour", "-warmup 1h", "-warmup"},
		{"no connections", "-connections 0", `"0" is not`},
		{"connections that are no number", "-connections 8,many", `"many" is not`},
		{"a copy alone is no storm", "-copies 1", "-copies"},
		{"a store that nobody has", "-stores memory,mongo", `"mongo" is none of`},
		{"several problems at once", "-rounds 0 -copies 0", "-copies"},
		{"words that mean nothing", "all", `unexpected "all"`},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			_, err := parseOptions(strings.Fields(tt.args), &bytes.Buffer{})
			switch {
			case tt.problem == "" && err != nil:
				t.Errorf("%q: %v", tt.args, err)
			case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
				t.Errorf("%q: error %v, want one with %q", tt.args, err, tt.problem)
			}
		})
	}
}

// A whole run of the stores that need no server: it ends by itself, every
// measurement counts, and the page has what the file has.
func TestRun(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: it reads /proc")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"-rounds", "1", "-duration", "100ms", "-warmup", "10ms", "-connections", "1,4", "-copies", "8",
		"-stores", "memory,sqlite", "-handrail", self, "-out", out, "-data", t.TempDir(),
	}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	files, err := filepath.Glob(out + "/*.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("results %q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	const each = 2 + 2 + 2 // plain and new at 1 and 4 connections, copies of two kinds
	if len(r.Samples) != 2*each {
		t.Fatalf("%d samples, want %d\n%s", len(r.Samples), 2*each, &stderr)
	}
	for _, s := range r.Samples {
		calls := s.Requests
		if s.Sent == copied || s.Sent == flight {
			calls = 1
		}
		if s.Failure != "" || s.Requests == 0 || s.PerSecond == 0 || s.Calls != calls {
			t.Errorf("sample %+v", s)
		}
		if s.Sent != plain && !strings.Contains(stdout.String(), "| "+s.Subject+" | ") {
			t.Errorf("the page has no line of %s:\n%s", s.Subject, &stdout)
		}
	}
}
