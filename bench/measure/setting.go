package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Setting is when, where and with what a run was made.
type Setting struct {
	Started  time.Time         `json:"started"`
	Took     string            `json:"took"`
	Machine  Machine           `json:"machine"`
	Command  string            `json:"command"`
	Versions map[string]string `json:"versions"`
}

// Machine is what the run had to itself.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Kernel     string `json:"kernel"`
	System     string `json:"system"`
	LoadBefore string `json:"load_before"` // of the last 1, 5 and 15 minutes
	LoadAfter  string `json:"load_after"`
}

// NewSetting is that of a run that begins. Programs are asked for their
// versions with the words given for each; those that are missing are left out.
func NewSetting(ctx context.Context, command string, programs map[string][]string) Setting {
	s := Setting{
		Started: time.Now(), Machine: thisMachine(), Versions: map[string]string{"go": runtime.Version()},
		Command: strings.Join(append([]string{command}, os.Args[1:]...), " "),
	}
	for program, args := range programs {
		path, err := Find(program)
		if err != nil {
			continue
		}
		text, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() //nolint:gosec // looked up by name; wrk -v ends with 1
		s.Versions[filepath.Base(program)], _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	}
	if text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		s.Versions["handrail"] = strings.TrimSpace(string(text))
	}
	return s
}

// Finish is called when the run is over.
func (s *Setting) Finish() {
	s.Took = time.Since(s.Started).Round(time.Second).String()
	s.Machine.LoadAfter = firstLine("/proc/loadavg")
}

// Write tells it to people.
func (s *Setting) Write(b *strings.Builder) {
	m := s.Machine
	fmt.Fprintf(b, "%s, `%s`, took %s.\n", s.Started.Format("2 January 2006"), s.Command, s.Took)
	fmt.Fprintf(b, "%d × %s, Linux %s, %s. Load average %s before, %s after.\n", m.Cores, m.CPU, m.Kernel, m.System, m.LoadBefore, m.LoadAfter)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		versions = append(versions, name+": "+s.Versions[name])
	}
	fmt.Fprintf(b, "%s.\n", strings.Join(versions, "; "))
}

// Keep puts a result into dir, as JSON and as the page for people, and the
// latter on stdout as well. Both files are named by prefix and the start.
func (s *Setting) Keep(dir, prefix string, result any, page string, stdout io.Writer) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	data, err := json.MarshalIndent(result, "", "\t")
	if err != nil {
		return err
	}
	base := filepath.Join(dir, prefix+s.Started.Format("20060102-150405"))
	fmt.Fprint(stdout, page)
	fmt.Fprintf(stdout, "\nKept as %s.json and .md\n", base)
	return errors.Join(
		os.WriteFile(base+".json", append(data, '\n'), 0o600),
		os.WriteFile(base+".md", []byte(page), 0o600),
	)
}

func thisMachine() Machine {
	m := Machine{
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
