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

// A load is what one run of wrk saw.
type load struct {
	Requests int64 `json:"requests"`
	Micros   int64 `json:"micros"` // how long it took
	Bytes    int64 `json:"bytes"`
	P50      int64 `json:"p50"` // latencies in microseconds
	P99      int64 `json:"p99"`
	Refused  int64 `json:"refused"` // answers of status 400 and above
	Broken   int64 `json:"broken"`  // connections and time-outs

	client time.Duration // CPU of wrk itself
}

// generator runs wrk.
type generator struct{ program, script string }

func newGenerator(dir string) (*generator, error) {
	program, err := measure.Find("wrk")
	if err != nil {
		return nil, errors.New("wrk is missing; `make bench-deps` installs it (Debian, Ubuntu)")
	}
	text, err := conf.ReadFile("conf/load.lua")
	if err != nil {
		return nil, err
	}
	g := &generator{program: program, script: filepath.Join(dir, "load.lua")}
	return g, os.WriteFile(g.script, text, 0o600)
}

// run loads a path of addr for whole seconds, as a client that knows the answer
// with an ETag unless that is empty.
func (g *generator) run(ctx context.Context, addr, path, known string, conns int, d time.Duration) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d+measure.StartTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.program, //nolint:gosec // our own command line
		"-t", "1", "-c", strconv.Itoa(conns), "-d", strconv.Itoa(int(d/time.Second))+"s", "-s", g.script, "http://"+addr+evaluate+path)
	cmd.Env = append(measure.Environment(filepath.Dir(g.script)), "BENCH_BODY="+body, "BENCH_KNOWN="+known)
	cmd.SysProcAttr = measure.ChildAttributes(syscall.SIGTERM)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = measure.StopTimeout
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	l, err := parseLoad(out)
	l.client = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return l, err
}

// parseLoad reads the line that load.lua writes after wrk's own report. A load
// with any other answer than those to measure is none.
func parseLoad(out []byte) (load, error) {
	var l load
	at := bytes.LastIndexByte(out, '{')
	if at < 0 {
		return l, errors.New("wrk wrote no result")
	}
	if err := json.Unmarshal(out[at:], &l); err != nil {
		return l, fmt.Errorf("wrk's result: %w", err)
	}
	switch {
	case l.Requests <= 0 || l.Micros <= 0:
		return l, errors.New("wrk got no answer")
	case l.Refused+l.Broken > 0:
		return l, fmt.Errorf("of %d answers %d had a status of 400 or more, and %d connections broke", l.Requests, l.Refused, l.Broken)
	}
	return l, nil
}
