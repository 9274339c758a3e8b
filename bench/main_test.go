package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/bench/measure"
)

// TestMain lets the test binary be the servers of a run, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		main()
	}
	os.Exit(m.Run())
}

func TestOptions(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(config, []byte("listen: {{.Listen}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		rule, args, problem string
	}{
		{"the defaults are fine", "", ""},
		{"a short look", "-rounds 1 -duration 1s -warmup 0s -connections 8 -peers nginx", ""},
		{"a configuration of one's own", "-add mine=" + config, ""},
		{"no round", "-rounds 0", "-rounds"},
		{"rounds without end", "-rounds 51", "-rounds"},
		{"wrk counts whole seconds", "-duration 1500ms", "whole seconds"},
		{"no measurement of an hour", "-duration 1h", "-duration"},
		{"no connections", "-connections 0", `"0" is not`},
		{"connections that are no number", "-connections 32,many", `"many" is not`},
		{"more connections than ports", "-connections 100000", `"100000" is not`},
		{"several problems at once", "-rounds 0 -threads 0", "-threads"},
		{"words that mean nothing", "all", `unexpected "all"`},
		{"a sidecar without a file", "-add mine", "NAME=FILE"},
		{"a sidecar whose file is missing", "-add mine=/nowhere/x.yaml", "no such file"},
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

func TestChoose(t *testing.T) {
	t.Parallel()
	added := []peer{sidecarPeer("mine", "", "")}
	tests := []struct {
		rule string
		o    options
		want string
	}{
		{"those that are asked for, in the order of the table", options{only: []string{bare, nginx}}, "nginx handrail"},
		{"and those that were added", options{only: []string{nginx}, added: added}, "nginx mine"},
		{"nobody of that name", options{only: []string{"apache"}}, `"apache" is none of`},
		{"no two of one name", options{added: []peer{sidecarPeer(bare, "", "")}}, "two peers"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			peers, err := choose(tt.o)
			got := strings.Join(names(peers), " ")
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A whole run of peers that need nothing but wrk: it ends by itself, its
// measurements count, and the files say what the page says.
func TestRun(t *testing.T) {
	if _, err := measure.Find("wrk"); err != nil || runtime.GOOS != "linux" {
		t.Skip("needs wrk and Linux")
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"-rounds", "1", "-duration", "1s", "-warmup", "0s", "-settle", "0s", "-connections", "4",
		"-peers", tuned + "," + deny, "-out", out,
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
	if len(r.Samples) != 2 {
		t.Fatalf("%d samples, want 2\n%s", len(r.Samples), &stderr)
	}
	for _, s := range r.Samples {
		if s.Failure != "" || s.Requests == 0 || s.PerSecond == 0 || s.Peak == 0 || s.Idle == 0 {
			t.Errorf("sample %+v", s)
		}
		if !strings.Contains(stdout.String(), "| "+s.Peer+" | ") {
			t.Errorf("the page has no line of %s:\n%s", s.Peer, &stdout)
		}
	}
}

func TestRunEndsWhenItIsToldTo(t *testing.T) {
	if _, err := measure.Find("wrk"); err != nil || runtime.GOOS != "linux" {
		t.Skip("needs wrk and Linux")
	}
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &telling{word: tuned, tell: cancel} // once the first measurement is over
	if code := run(ctx, []string{"-rounds", "50", "-duration", "1s", "-warmup", "0s", "-connections", "4", "-peers", tuned, "-out", t.TempDir()}, &bytes.Buffer{}, stderr); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), context.Canceled.Error()) {
		t.Errorf("said %q", stderr.String())
	}
}

// telling calls tell when a line with the word is written.
type telling struct {
	bytes.Buffer
	word string
	tell func()
}

func (w *telling) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.word) {
		w.tell()
	}
	return w.Buffer.Write(p)
}
