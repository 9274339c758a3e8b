package main

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
	startTimeout = 15 * time.Second
	stopTimeout  = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// A process is one running server and what it started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // file of its output
	done chan struct{} // closed when it ended
}

// start runs a program with a clean environment. Its output goes to a file in
// dir, which is also its home.
func start(name, dir, program string, args ...string) (*process, error) {
	path := filepath.Join(dir, name+".log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // our own command lines; stop ends it in order
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = environment(dir)
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, log: path, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended, its log tells
	}()
	return p, nil
}

// environment holds nothing that could tune or redirect a server: no GOGC, no
// REDIS_URL, no HTTP_PROXY.
func environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + dir,
		"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir,
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and what it started, by force when it must.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // or it has ended
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // its group
		<-p.done
	}
}

// await polls until ready, the end of the process or a time limit.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended with code %d: %s", p.cmd.ProcessState.ExitCode(), strings.ReplaceAll(lastLines(p.log), p.cmd.Dir+"/", ""))
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(pollInterval):
		}
	}
}

// lastLines is the end of a log, in one line.
func lastLines(file string) string {
	const lines = 2
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], " / ")
}

// freeAddress is a loopback address on which nothing listened a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// startRedis starts an empty server without persistence.
func startRedis(ctx context.Context, dir, addr string) (*process, error) {
	program, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := start("redis", dir, program, "--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		answer := make([]byte, len("+PONG"))
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" {
			return fmt.Errorf("answered %q: %w", answer, err)
		}
		return nil
	}
	if err := p.await(ctx, ready); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}
