package sidecar

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit codes of exec when the command cannot be started, as shells have them.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

// A child is the app that exec runs: a process group of its own, so that a
// terminal's Ctrl-C drains first and so that nothing of it is left behind.
type child struct {
	cmd   *exec.Cmd
	addr  string // where it is told to listen
	log   *slog.Logger
	begun chan error    // the result of starting it
	ended chan struct{} // closed when it has ended, or never began
	code  int           // once ended
}

// ChildConfig is the command of exec.
type ChildConfig struct {
	Command []string // with its arguments
	Environ []string // as of the sidecar; HANDRAIL_* is left out
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// Exec starts the app, serves in front of it, drains and stops it. The code is
// that of the app: 128+n when a signal ended it, 126 or 127 when it could not
// be started. An error means that the sidecar itself failed.
func Exec(ctx context.Context, l *Loaded, c ChildConfig, o RunOptions, log io.Writer) (code int, err error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	l.Upstream.URL = "http://127.0.0.1:" + strconv.Itoa(port)
	l.options.childURL = l.Upstream.URL
	s, err := New(ctx, l, log)
	if err != nil {
		return 0, err
	}
	app := newChild(c, port, s.log)
	forwarding, stop := context.WithCancel(ctx)
	defer stop()
	told, launched := o.OnListening, false
	o.OnListening = func(public, admin string) {
		launched = true
		go app.run()
		if err := <-app.begun; err != nil {
			s.log.Error("the app could not be started", "command", c.Command[0], "error", err)
		} else {
			go follow(forwarding, o.Signals.Other, app.signal)
		}
		if told != nil {
			told(public, admin)
		}
	}
	o.AppReady = app.ready
	o.AppEnded = app.ended
	if err = s.Run(ctx, o); !launched {
		return 0, err
	}
	timeout := s.current.Load().loaded.Exec.StopTimeout
	if errors.Is(err, ErrForced) {
		timeout = 0
	}
	app.stop(timeout, o.Signals.Stop)
	return app.code, err
}

// freePort asks the system for a port that nobody listens on.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck // a TCP listener has no other address
}

func newChild(c ChildConfig, port int, log *slog.Logger) *child {
	cmd := exec.Command(c.Command[0], c.Command[1:]...) //nolint:gosec,noctx // exec runs it, and stop ends it in order
	cmd.Env = childEnviron(c.Environ, port)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = childAttr()
	return &child{
		cmd: cmd, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), log: log,
		begun: make(chan error, 1), ended: make(chan struct{}),
	}
}

func childEnviron(environ []string, port int) []string {
	var out []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "HANDRAIL_") && name != "PORT" && name != "HOST" && name != "HOSTNAME" {
			out = append(out, entry)
		}
	}
	return append(out, "PORT="+strconv.Itoa(port), "HOST=127.0.0.1", "HOSTNAME=127.0.0.1")
}

// run starts the app and waits for its end. The thread stays with it: on Linux
// the app is told when the thread that started it dies.
func (c *child) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.ended)
	err := c.cmd.Start()
	c.begun <- err
	if err != nil {
		c.code = exitCannotRun
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			c.code = exitNotFound
		}
		return
	}
	err = c.cmd.Wait()
	c.code = exitCode(c.cmd.ProcessState, err)
	c.log.Info("the app has ended", "code", c.code)
}

func exitCode(state *os.ProcessState, err error) int {
	if state == nil {
		return exitCannotRun
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if err != nil && state.ExitCode() < 0 {
		return exitCannotRun
	}
	return state.ExitCode()
}

// ready waits until the app accepts connections on its port.
func (c *child) ready(ctx context.Context) error {
	begun, warned := time.Now(), false
	dialer := net.Dialer{Timeout: time.Second}
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", c.addr); err == nil {
			_ = conn.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ended:
			return errors.New("the app ended before it accepted connections")
		case <-time.After(50 * time.Millisecond):
		}
		if !warned && time.Since(begun) > 30*time.Second {
			warned = true
			c.log.Warn("the app does not accept connections yet; it has to listen on the address in HOST and PORT", "address", c.addr)
		}
	}
}

func (c *child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// signal passes a signal on to the app alone, not to what it started.
func (c *child) signal(sig os.Signal) {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Signal(sig)
	}
}

// stop asks the app to end, then makes it; a further SIGTERM or SIGINT at once.
// At last, whatever the app has left behind in its process group is killed.
func (c *child) stop(timeout time.Duration, signals <-chan os.Signal) {
	if c.cmd.Process == nil {
		<-c.ended
		return
	}
	group := -c.cmd.Process.Pid
	if !c.hasEnded() {
		_ = syscall.Kill(group, syscall.SIGTERM)
		c.awaitEnd(timeout, signals)
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-c.ended
}

// awaitEnd returns when the app has ended, or has to.
func (c *child) awaitEnd(timeout time.Duration, signals <-chan os.Signal) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-signals:
	case <-timer.C:
		c.log.Warn("the app did not stop in time and is killed", "timeout", timeout.String())
	}
}
