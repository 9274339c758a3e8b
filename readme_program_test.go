package handrail_test

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program runs in the background. It and whatever it has started end with
// the test that owns it at the latest.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// Write takes what the program prints.
func (p *program) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(data)
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// An owner is the test of which a program and its directory are a part: the one
// that uses it, or one around that, so that nobody waits while it drains.
type owner interface {
	Cleanup(func())
	Errorf(format string, args ...any)
	TempDir() string
}

// start starts a program for t, which fails when that does not work.
func start(t *testing.T, owner owner, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	owner.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	})
	return p
}

// signal reaches the program's whole group, as Ctrl-C in a terminal does.
func (p *program) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		t.Fatalf("%v\n%s", err, p.logged())
	}
}

// wait returns the exit code, -1 when the program does not end.
func (p *program) wait() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		return -1
	}
}

// end sends SIGTERM. The owner sees to it that the program drains and ends with
// 0, which nobody else has to wait for.
func (p *program) end(t *testing.T, owner owner) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	name := t.Name()
	owner.Cleanup(func() {
		if code := p.wait(); code != 0 {
			owner.Errorf("%s: exit code %d after SIGTERM\n%s", name, code, p.logged())
		}
	})
}

// await returns the first submatch of what the program prints, once it does.
func (p *program) await(t *testing.T, re *regexp.Regexp) string {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.logged()); m != nil {
			return m[1]
		}
		select {
		case <-p.done:
			t.Fatalf("it ended with code %d:\n%s", p.cmd.ProcessState.ExitCode(), p.logged())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never prints %s:\n%s", re, p.logged())
		}
	}
}

var (
	listens      = regexp.MustCompile(`"msg":"listening".*"listen":"127\.0\.0\.1:(\d+)"`)
	adminListens = regexp.MustCompile(`"msg":"listening".*"admin":"127\.0\.0\.1:(\d+)"`)
)

// awaitReady returns the port of handrail, once it is ready.
func (p *program) awaitReady(t *testing.T) (port string) {
	t.Helper()
	port = p.await(t, listens)
	awaitOK(t, "http://127.0.0.1:"+port+"/readyz")
	return port
}

// awaitOK waits until a page is answered with 200.
func awaitOK(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("%s is never answered with 200", url)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
