package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// execConfig is for exec on loopback, without waiting.
const execConfig = `
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0"}
health: {interval: 100ms, timeout: 90ms}
`

// execApp runs 'handrail exec' around the sample app, in a directory with a
// FIFO named "gate".
func execApp(t *testing.T, mode, more string) *process {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "gate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(more, "drain:") {
		more += "\ndrain: {delay: 0s}"
	}
	if err := os.WriteFile(filepath.Join(dir, "handrail.yaml"), []byte(execConfig+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, dir, []string{"exec", "--", os.Args[0]}, "SAMPLEAPP="+mode)
}

// open lets through who waits at the gate.
func (p *process) open() {
	p.t.Helper()
	gate, err := os.OpenFile(filepath.Join(p.cmd.Dir, "gate"), os.O_WRONLY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = gate.Close()
}

func (p *process) says(text string) {
	p.t.Helper()
	p.eventually("in the log: "+text, func() bool { return strings.Contains(p.logged(), text) })
}

func (p *process) ready() {
	p.t.Helper()
	p.eventually("ready", func() bool { return p.status("/readyz") == http.StatusOK })
}

func TestExecIsReadyOnceTheAppAccepts(t *testing.T) {
	p := execApp(t, "late", "")
	if live, ready := p.status("/livez"), p.status("/readyz"); live != 200 || ready != 503 {
		t.Errorf("before the app accepts: /livez %d, /readyz %d", live, ready)
	}
	if a := p.do("GET", "/health", ""); a.status != 503 || !strings.Contains(a.body, `"status":"starting"`) {
		t.Errorf("before the app accepts: /health %d %s", a.status, a.body)
	}
	if a := p.do("GET", "/", ""); a.status != http.StatusBadGateway {
		t.Errorf("before the app accepts: %d", a.status)
	}
	p.open()
	p.ready()
	if a := p.do("POST", "/a/b?c=d", "x"); a.status != 200 || a.body != "POST /a/b?c=d" {
		t.Errorf("through the sidecar: %d %q", a.status, a.body)
	}
	if code := p.stop(); code != 3 {
		t.Errorf("exit code %d, want the app's", code)
	}
}

func TestExecDrainsThenStopsTheApp(t *testing.T) {
	p := execApp(t, "serve", "")
	p.ready()
	got := make(chan answer, 1)
	go func() { got <- p.do("GET", "/slow", "") }()
	p.says("slow request")
	p.signal(syscall.SIGTERM)
	p.eventually("refusing connections", func() bool { return p.status("/readyz") == 0 })
	if strings.Contains(p.logged(), "got terminated") {
		t.Error("the app was stopped while a request was in flight")
	}
	p.open()
	if a := <-got; a.status != 200 || a.body != "whole" {
		t.Errorf("the request in flight: %d %q", a.status, a.body)
	}
	if code := p.wait(); code != 3 {
		t.Errorf("exit code %d, want the app's", code)
	}
	if n := strings.Count(p.logged(), "got terminated"); n != 1 {
		t.Errorf("the app got SIGTERM %d times, want once", n)
	}
}

func TestExecKillsAnAppThatIgnoresSIGTERM(t *testing.T) {
	p := execApp(t, "stubborn", "exec: {stop_timeout: 100ms}")
	p.ready()
	if code := p.stop(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
	if log := p.logged(); !strings.Contains(log, "got terminated") || !strings.Contains(log, "did not stop in time") {
		t.Errorf("no SIGTERM before SIGKILL, or no word of it")
	}
}

// The wait of stop_timeout ends by a second request to end, and by that alone:
// a terminal that changes its size does not kill the app.
func TestExecStopTimeoutEndsByASecondSIGTERM(t *testing.T) {
	p := execApp(t, "stubborn", "exec: {stop_timeout: 1h}")
	p.ready()
	p.signal(syscall.SIGTERM)
	p.says("got terminated")
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGWINCH)
	p.says("got window changed")
	p.signal(syscall.SIGUSR1)
	p.says("got user defined signal 1")
	if code := p.stop(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
}

func TestExecPassesSignalsOnAndKeepsSIGHUP(t *testing.T) {
	p := execApp(t, "serve", "")
	p.ready()
	p.signal(syscall.SIGHUP)
	p.says(`"configuration reloaded"`)
	for sig, name := range map[syscall.Signal]string{
		syscall.SIGUSR1: "user defined signal 1", syscall.SIGUSR2: "user defined signal 2",
		syscall.SIGWINCH: "window changed", syscall.SIGQUIT: "quit",
	} {
		p.signal(sig)
		p.says("got " + name)
	}
	if a := p.do("GET", "/", ""); a.status != 200 {
		t.Errorf("after the reload: %d", a.status)
	}
	p.signal(os.Interrupt)
	if code := p.wait(); code != 3 {
		t.Errorf("exit code %d, want the app's", code)
	}
	if log := p.logged(); strings.Contains(log, "got hangup") || strings.Contains(log, "got interrupt") {
		t.Error("the app got a signal that is the sidecar's")
	}
}

// A drain, and with it the app's end, does not take a signal for the app as
// the second request to end.
func TestExecPassesSignalsOnWhileItDrains(t *testing.T) {
	p := execApp(t, "serve", "")
	p.ready()
	go func() { _ = p.status("/slow") }()
	p.says("slow request")
	p.signal(syscall.SIGTERM)
	p.eventually("refusing connections", func() bool { return p.status("/readyz") == 0 })
	p.signal(syscall.SIGUSR1)
	p.says("got user defined signal 1")
	p.open()
	if code := p.wait(); code != 3 {
		t.Errorf("exit code %d, want the app's", code)
	}
}

func TestExecEndsWithTheAppsCode(t *testing.T) {
	p := execApp(t, "serve", "drain: {delay: 1h}") // nobody is left to drain for
	p.ready()
	if a := p.do("GET", "/exit?code=42", ""); a.status != http.StatusBadGateway {
		t.Errorf("the request during which the app ended: %d", a.status)
	}
	if code := p.wait(); code != 42 {
		t.Errorf("exit code %d, want 42", code)
	}
}

func TestAppGetsASignalWhenTheSidecarIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent is gone")
	}
	p := execApp(t, "serve", "")
	p.ready()
	p.signal(syscall.SIGKILL)
	p.wait() // until the app, too, has let go of stderr
	if !strings.Contains(p.logged(), "got terminated") {
		t.Error("the app was not told")
	}
}

func TestExecLeavesNoGrandchildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the sample app starts its grandchild through /proc")
	}
	for _, tt := range []struct {
		rule string
		end  func(p *process) int
		code int
	}{
		{"after SIGTERM", func(p *process) int { return p.stop() }, 3},
		{"after the app's own end", func(p *process) int { p.status("/exit?code=5"); return p.wait() }, 5},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := execApp(t, "family", "")
			p.ready()
			started := regexp.MustCompile(`app (\d+): started`)
			p.eventually("two generations", func() bool { return len(started.FindAllString(p.logged(), -1)) == 2 })
			if code := tt.end(p); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, m := range started.FindAllStringSubmatch(p.logged(), -1) {
				pid, _ := strconv.Atoi(m[1])
				p.eventually("end of "+m[1], func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
			}
		})
	}
}

// zombie reports whether a process has ended and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}
