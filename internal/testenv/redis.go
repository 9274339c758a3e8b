package testenv

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// RedisServer is a private redis-server of one test. It is not safe for
// concurrent use; its clients are, of course.
type RedisServer struct {
	t       testing.TB
	program string
	dir     string
	port    int
	args    []string
	bus     int // offset of a second port that must be free, 0 for none
	process *process
}

// RedisOption changes how Redis starts its server.
type RedisOption func(*RedisServer)

// Persistent makes the server keep its data across Restart, Stop and Kill: an
// append-only file, synced on every write.
func Persistent() RedisOption {
	return RedisArgs("--appendonly", "yes", "--appendfsync", "always")
}

// RedisArgs appends arguments to the server's command line, as in
// RedisArgs("--maxmemory", "8mb"). A server that asks for a password is never
// found ready, so "--requirepass" does not work here.
func RedisArgs(args ...string) RedisOption {
	return func(s *RedisServer) { s.args = append(s.args, args...) }
}

// Redis starts an empty redis-server on a free loopback port, without
// persistence unless an option asks for it, and returns when it answers. It is
// stopped and its data removed when the test ends.
func Redis(t testing.TB, opts ...RedisOption) *RedisServer {
	t.Helper()
	s := &RedisServer{t: t, program: find(t, "redis-server", "Redis", brew("redis")...), dir: t.TempDir()}
	for _, opt := range opts {
		opt(s)
	}
	t.Cleanup(func() {
		if s.process != nil {
			s.stop(syscall.SIGKILL)
		}
	})
	var err error
	for range startTries {
		s.port = freePort(t, s.bus)
		if err = s.start(); !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		t.Fatalf("testenv: start redis-server: %v\n%s", err, tail(s.log()))
	}
	return s
}

// Addr is the server's address, as in "127.0.0.1:12345".
func (s *RedisServer) Addr() string { return loopback(s.port) }

// URL is the server's address as go-redis parses it, as in
// "redis://127.0.0.1:12345/0".
func (s *RedisServer) URL() string { return "redis://" + s.Addr() + "/0" }

// Stop ends the server as a system does (SIGTERM) and waits for its end. Clients
// get a refused connection from then on. Stopping a stopped server does nothing.
func (s *RedisServer) Stop() {
	s.t.Helper()
	s.stop(syscall.SIGTERM)
}

// Kill ends the server by SIGKILL and waits for its end.
func (s *RedisServer) Kill() {
	s.t.Helper()
	s.stop(syscall.SIGKILL)
}

// Start starts a server that was stopped or killed, on the same port, empty
// unless it is Persistent, and returns when it answers. Starting a running
// server does nothing.
func (s *RedisServer) Start() {
	s.t.Helper()
	if s.process != nil {
		return
	}
	if err := s.start(); err != nil {
		s.t.Fatalf("testenv: start redis-server again: %v\n%s", err, tail(s.log()))
	}
}

// Restart is Stop followed by Start.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Pause stops the server from running (SIGSTOP) without closing anything: the
// kernel still accepts connections, and nobody answers.
func (s *RedisServer) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Resume lets a paused server go on.
func (s *RedisServer) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *RedisServer) log() string { return filepath.Join(s.dir, "redis.log") }

func (s *RedisServer) start() error {
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--daemonize", "no", "--save", "", "--appendonly", "no",
	}, s.args...)
	p, err := startProcess(exec.Command(s.program, args...), s.log(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	// Another process may hold the port and answer in our server's stead, so the
	// answer must name our process.
	self := fmt.Sprintf("process_id:%d", p.pid())
	err = p.awaitReady(func() bool {
		info, err := s.do("INFO", "server")
		return err == nil && containsLine(info, self)
	})
	if err != nil {
		return errors.Join(err, p.end(syscall.SIGKILL))
	}
	s.process = p
	return nil
}

func (s *RedisServer) stop(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.end(sig); err != nil {
		s.t.Errorf("testenv: stop redis-server: %v", err)
	}
	s.process = nil
}

func (s *RedisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatalf("testenv: redis-server is not running, so it cannot get %v", sig)
	}
	if err := s.process.signal(sig); err != nil {
		s.t.Fatalf("testenv: send redis-server %v: %v", sig, err)
	}
}

func containsLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

// brew lists where Homebrew keeps the programs of a formula and of its versions.
func brew(formula string) []string {
	return []string{
		"/opt/homebrew/opt/" + formula + "*/bin",
		"/usr/local/opt/" + formula + "*/bin",
	}
}
