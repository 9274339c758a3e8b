package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Bounds on waiting for a server.
const (
	StartTimeout = 15 * time.Second
	StopTimeout  = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// A Program is what a [Process] runs.
type Program struct {
	Name  string
	Dir   string // of its output, also its home
	Path  string
	Args  []string
	Owner *syscall.Credential // nil: whoever runs this program
	End   syscall.Signal      // what ends it in order; zero means SIGTERM
}

// A Process is one running server and what it started.
type Process struct {
	Log  string // file of its output
	end  syscall.Signal
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
}

// Start runs a program with a clean environment. Its output goes to a file in
// dir, which is also its home.
func Start(name, dir, path string, args ...string) (*Process, error) {
	return Program{Name: name, Dir: dir, Path: path, Args: args}.Start()
}

// Start runs the program with a clean environment. The thread that calls it
// must not end before this program does: the servers would end with it.
func (p Program) Start() (*Process, error) {
	path := filepath.Join(p.Dir, p.Name+".log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if p.End == 0 {
		p.End = syscall.SIGTERM
	}
	cmd := exec.Command(p.Path, p.Args...) //nolint:gosec,noctx // our own command lines; Stop ends it in order
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, out, out
	cmd.Env = Environment(p.Dir)
	cmd.SysProcAttr = ChildAttributes(p.End)
	cmd.SysProcAttr.Credential = p.Owner
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	running := &Process{Log: path, end: p.End, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(running.done)
		_ = cmd.Wait() // how it ended, its log tells
	}()
	return running, nil
}

// Environment holds nothing that could tune or redirect a server: no GOGC, no
// REDIS_URL, no HTTP_PROXY.
func Environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + dir,
		"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir,
	}
}

// PID is the process' number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop ends the process and what it started, by force when it must.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(p.end) // or it has ended
	select {
	case <-p.done:
	case <-time.After(StopTimeout):
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // its group
		<-p.done
	}
}

// Await polls until ready, the end of the process or a time limit.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended with code %d: %s", p.cmd.ProcessState.ExitCode(), strings.ReplaceAll(LastLines(p.Log), p.cmd.Dir+"/", ""))
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(pollInterval):
		}
	}
}

// LastLines is the end of a log, in one line.
func LastLines(file string) string {
	const lines = 2
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], " / ")
}

// FreeAddress is a loopback address on which nothing listened a moment ago.
func FreeAddress(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// StartSelf runs this program once more as a server, on an address that it is
// given as its last argument, and returns when ready has nothing to say.
func StartSelf(ctx context.Context, name, dir string, ready func(ctx context.Context, addr string) error, args ...string) (_ *Process, addr string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	if addr, err = FreeAddress(ctx); err != nil {
		return nil, "", err
	}
	p, err := Start(name, dir, self, append(args, addr)...)
	if err != nil {
		return nil, "", err
	}
	if err := p.Await(ctx, func(ctx context.Context) error { return ready(ctx, addr) }); err != nil {
		p.Stop()
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return p, addr, nil
}
