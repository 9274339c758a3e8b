package testenv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds on waiting for a server. They are what a loaded two-core machine with
// the race detector needs, not what is usual: a server is ready in well under a
// second.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 5 * time.Millisecond
	startTries   = 5
)

// process is one running server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the process and all that it started ended
}

type launch struct {
	cmd   *exec.Cmd
	reply chan error
}

// launcher starts every server of this test binary from one thread that lives
// as long as the binary: the parent-death signal of Linux is tied to the thread
// that created the child, and the runtime ends threads as it likes.
var launcher = sync.OnceValue(func() chan<- launch {
	requests := make(chan launch)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.reply <- r.cmd.Start()
		}
	}()
	return requests
})

// startProcess starts cmd so that the kernel sends it parentDeath when the test
// binary dies, where the system can. The process appends its output to the file
// logPath.
func startProcess(cmd *exec.Cmd, logPath string, parentDeath syscall.Signal) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// A writer that is not a file makes Wait read a pipe until its last holder is
	// gone, so that the end of a killed server is also the end of its children.
	out := struct{ io.Writer }{log}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = stopTimeout
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	setParentDeath(cmd.SysProcAttr, parentDeath)

	request := launch{cmd: cmd, reply: make(chan error, 1)}
	launcher() <- request
	if err := <-request.reply; err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		// How a server exits is of no interest: it was told to, or it was
		// noticed by the one that waits for it to be ready.
		_ = cmd.Wait()
		_ = log.Close()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// end sends s, and SIGKILL when the process has not ended within stopTimeout.
// It returns once the process and its children are gone; a process that had to
// be killed is an error.
func (p *process) end(s syscall.Signal) error {
	if err := p.signal(s); err != nil {
		return err
	}
	// A paused process gets its signal when it goes on.
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("process %d did not end within %v of %v and was killed", p.pid(), stopTimeout, s)
}

// awaitReady polls ready until it is true. It returns errExited when the
// process ended first.
func (p *process) awaitReady(ready func() bool) error {
	deadline := time.Now().Add(startTimeout)
	for !ready() {
		if !p.running() {
			return errExited
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready within %v", startTimeout)
		}
		time.Sleep(pollInterval)
	}
	return nil
}

var errExited = errors.New("the server ended before it was ready")

// tail is the end of a server's log, for a failure's message.
func tail(path string) string {
	const lines = 15
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
