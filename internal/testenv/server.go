package testenv

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// server is what Redis and PostgreSQL have in common: a program on a port with
// a directory, that can end and start again.
type server struct {
	t           testing.TB
	name        string // of the program, as failures say it
	dir         string
	port        int
	stopSignal  syscall.Signal // ends it as a system does
	parentDeath syscall.Signal // ends it when the test binary dies
	command     func() *exec.Cmd
	ready       func(pid int) bool // whether the server of that process answers
	process     *process           // nil: not running
	killed      bool               // by Kill, and not started again
}

// Addr is the server's address, as in "127.0.0.1:12345".
func (s *server) Addr() string { return loopback(s.port) }

// Stop ends the server as a system does and waits for its end. Clients get a
// refused connection from then on. Stopping a stopped server does nothing.
func (s *server) Stop() {
	s.t.Helper()
	s.end(s.stopSignal)
}

// Kill ends the server by SIGKILL, as a crash does, and waits until all of its
// processes are gone. Killing a stopped server does nothing.
func (s *server) Kill() {
	s.t.Helper()
	s.killed = s.killed || s.process != nil
	s.end(syscall.SIGKILL)
}

// Start starts a server that was stopped or killed, on the same port with what
// is left of its data, and returns when it answers. Starting a running server
// does nothing.
func (s *server) Start() {
	s.t.Helper()
	if s.process != nil {
		return
	}
	if err := s.try(); err != nil {
		s.t.Fatalf("testenv: start %s again: %v\n%s", s.name, err, tail(s.log()))
	}
}

// Restart is Stop followed by Start.
func (s *server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

func (s *server) log() string { return filepath.Join(s.dir, s.name+".log") }

// begin starts the server for the first time, on a port of its own. A port that
// somebody else took meanwhile ends the server at once; the next is tried.
func (s *server) begin(portOffset int) {
	s.t.Helper()
	var err error
	for range startTries {
		s.port = freePort(s.t, portOffset)
		if err = s.try(); !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		s.t.Fatalf("testenv: start %s: %v\n%s", s.name, err, tail(s.log()))
	}
}

func (s *server) try() error {
	p, err := startProcess(s.command(), s.log(), s.parentDeath)
	if err != nil {
		return err
	}
	if err := p.awaitReady(func() bool { return s.ready(p.pid()) }); err != nil {
		return errors.Join(err, p.end(syscall.SIGKILL))
	}
	s.process, s.killed = p, false
	return nil
}

func (s *server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.end(sig); err != nil {
		s.t.Errorf("testenv: stop %s: %v", s.name, err)
	}
	s.process = nil
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatalf("testenv: %s is not running, so it cannot get %v", s.name, sig)
	}
	if err := s.process.signal(sig); err != nil {
		s.t.Fatalf("testenv: send %s %v: %v", s.name, sig, err)
	}
}
