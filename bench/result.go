package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A result is all that a run found out, as it is written.
type result struct {
	Started  time.Time         `json:"started"`
	Took     string            `json:"took"`
	Machine  machine           `json:"machine"`
	Options  options           `json:"options"`
	Command  string            `json:"command"`
	Versions map[string]string `json:"versions"`
	Peers    map[string]string `json:"peers"`   // name → how it is set up
	Missing  map[string]string `json:"missing"` // name → why
	Samples  samples           `json:"samples"`

	order    []string
	sidecars map[string]bool // that answer from the app
}

type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Kernel     string `json:"kernel"`
	System     string `json:"system"`
	LoadBefore string `json:"load_before"` // of the last 1, 5 and 15 minutes
	LoadAfter  string `json:"load_after"`
}

func newResult(ctx context.Context, b *bench, peers []peer) *result {
	r := &result{
		Started: time.Now(), Options: b.options, Command: strings.Join(append([]string{"go run ./bench"}, os.Args[1:]...), " "),
		Machine: thisMachine(), Versions: versions(ctx), Peers: map[string]string{}, Missing: b.skipped, order: names(peers),
		sidecars: map[string]bool{},
	}
	for _, p := range peers {
		r.Peers[p.Name] = p.About
		r.sidecars[p.Name] = p.sidecar && p.status == http.StatusOK
	}
	return r
}

func (r *result) finish() {
	r.Took = time.Since(r.Started).Round(time.Second).String()
	r.Machine.LoadAfter = firstLine("/proc/loadavg")
}

func thisMachine() machine {
	m := machine{
		CPU: "unknown", Cores: runtime.NumCPU(), LoadBefore: firstLine("/proc/loadavg"),
		Kernel: firstLine("/proc/sys/kernel/osrelease") + " " + runtime.GOARCH,
	}
	for _, file := range []struct {
		path, key string
		into      *string
	}{{"/proc/cpuinfo", "model name", &m.CPU}, {"/etc/os-release", "PRETTY_NAME", &m.System}} {
		text, err := os.ReadFile(file.path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			name, value, ok := strings.Cut(strings.Replace(line, "=", ":", 1), ":")
			if ok && strings.TrimSpace(name) == file.key {
				*file.into = strings.Trim(strings.TrimSpace(value), `"`)
				break
			}
		}
	}
	return m
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// versions asks each program for its own.
func versions(ctx context.Context) map[string]string {
	out := map[string]string{"go": runtime.Version()}
	for program, args := range map[string][]string{
		"nginx": {"-v"}, "haproxy": {"-v"}, "caddy": {"version"}, "redis-server": {"--version"}, "wrk": {"-v"},
	} {
		path, err := find(program)
		if err != nil {
			continue
		}
		text, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() //nolint:gosec // looked up by name; wrk -v ends with 1
		out[program], _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	}
	if text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		out[handrailProgram] = strings.TrimSpace(string(text))
	}
	return out
}

// write puts the result into dir, as JSON and as Markdown, and the latter on
// stdout as well.
func (r *result) write(dir string, stdout io.Writer) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	page := r.markdown()
	base := filepath.Join(dir, r.Started.Format("20060102-150405"))
	fmt.Fprint(stdout, page)
	fmt.Fprintf(stdout, "\nKept as %s.json and .md\n", base)
	return errors.Join(
		os.WriteFile(base+".json", append(data, '\n'), 0o600),
		os.WriteFile(base+".md", []byte(page), 0o600),
		r.measuredSidecar(),
	)
}

// measuredSidecar is an error when what the run is about is not in it. Other
// peers may be missing.
func (r *result) measuredSidecar() error {
	if slices.Contains(r.order, bare) && !slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Peer == bare && s.Failure == "" }) {
		return errors.New("no measurement of the sidecar counts")
	}
	return nil
}
