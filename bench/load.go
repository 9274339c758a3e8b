package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// loadPath is what the client asks for.
const loadPath = "/api/items?id=7"

// A load is what one run of wrk saw.
type load struct {
	Requests int64 `json:"requests"`
	Micros   int64 `json:"micros"` // how long it took
	Bytes    int64 `json:"bytes"`
	P50      int64 `json:"p50"` // latencies in microseconds
	P90      int64 `json:"p90"`
	P99      int64 `json:"p99"`
	Max      int64 `json:"max"`
	Refused  int64 `json:"refused"` // answers of status 400 and above
	Connect  int64 `json:"connect"` // errors
	Read     int64 `json:"read"`
	Write    int64 `json:"write"`
	Timeout  int64 `json:"timeout"`

	client time.Duration // CPU of wrk itself
}

// generator runs wrk.
type generator struct {
	program string
	script  string
	threads int
}

func newGenerator(dir string, threads int) (*generator, error) {
	program, err := measure.Find("wrk")
	if err != nil {
		return nil, errors.New("wrk is missing; `make bench-deps` installs it (Debian, Ubuntu)")
	}
	g := &generator{program: program, script: filepath.Join(dir, "load.lua"), threads: threads}
	return g, os.WriteFile(g.script, []byte(embedded("load.lua")), 0o600)
}

// run loads addr for whole seconds.
func (g *generator) run(ctx context.Context, addr string, clients, conns int, d time.Duration) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d+measure.StartTimeout)
	defer cancel()
	args := []string{
		"-t", strconv.Itoa(min(g.threads, conns)), "-c", strconv.Itoa(conns),
		"-d", strconv.Itoa(int(d/time.Second)) + "s", "-s", g.script, "http://" + addr + loadPath,
	}
	cmd := exec.CommandContext(ctx, g.program, args...) //nolint:gosec // our own command line
	cmd.Env = append(measure.Environment(filepath.Dir(g.script)), "BENCH_CLIENTS="+strconv.Itoa(clients))
	cmd.SysProcAttr = measure.ChildAttributes(syscall.SIGTERM)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = measure.StopTimeout
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(out.String()))
	}
	l, err := parseLoad(out.Bytes())
	l.client = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return l, err
}

// parseLoad reads the line that load.lua writes after wrk's own report.
func parseLoad(out []byte) (load, error) {
	var l load
	at := bytes.LastIndexByte(out, '{')
	if at < 0 {
		return l, errors.New("wrk wrote no result")
	}
	if err := json.Unmarshal(out[at:], &l); err != nil {
		return l, fmt.Errorf("wrk's result: %w", err)
	}
	if l.Requests <= 0 || l.Micros <= 0 {
		return l, errors.New("wrk got no answer")
	}
	return l, nil
}

// check refuses a load whose answers were not the ones to measure.
func (l load) check(status int) error {
	want := int64(0)
	if status >= 400 {
		want = l.Requests
	}
	if l.Refused != want {
		return fmt.Errorf("%d of %d answers had a status of 400 or more, not %d", l.Refused, l.Requests, want)
	}
	if l.Connect+l.Read+l.Write+l.Timeout > 0 {
		return fmt.Errorf("socket errors: %d connect, %d read, %d write, %d timeout", l.Connect, l.Read, l.Write, l.Timeout)
	}
	return nil
}
