package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// PostgresServer is a private PostgreSQL server of one test. It is not safe for
// concurrent use; its clients are, of course.
type PostgresServer struct {
	t       testing.TB
	bin     string
	dir     string
	owner   *syscall.Credential // nil: whoever runs the test
	port    int
	process *process
	killed  bool // by Kill, and not started again
}

// Postgres starts a PostgreSQL server with an empty database on a free loopback
// port, where everybody is trusted, and returns when it accepts connections. It
// does not sync to disk, so that it is fast; what was committed still survives
// Kill. It is stopped and its data removed when the test ends.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	globs := append([]string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}, brew("postgresql")...)
	initdb := find(t, "initdb", "PostgreSQL", globs...)
	// Debian links programs into PATH; the others lie beside what is linked to.
	initdb, err := filepath.EvalSymlinks(initdb)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	owner, err := serverOwner()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s := &PostgresServer{t: t, bin: filepath.Dir(initdb), owner: owner}
	s.dir = ownedTempDir(t, owner)
	t.Cleanup(s.cleanup)
	s.initdb(initdb)
	for range startTries {
		s.port = FreePort(t)
		if err = s.start(); !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		t.Fatalf("testenv: start postgres: %v\n%s", err, tail(s.log()))
	}
	return s
}

// Addr is the server's address, as in "127.0.0.1:12345".
func (s *PostgresServer) Addr() string { return loopback(s.port) }

// DSN is the URL of the server's database, as in
// "postgres://postgres@127.0.0.1:12345/postgres?sslmode=disable". The user is a
// superuser and needs no password.
func (s *PostgresServer) DSN() string {
	return "postgres://postgres@" + s.Addr() + "/postgres?sslmode=disable"
}

// Stop ends the server as a system does: sessions are cut off, transactions
// rolled back, the data directory left clean. It waits for the end. Stopping a
// stopped server does nothing.
func (s *PostgresServer) Stop() {
	s.t.Helper()
	s.stop(syscall.SIGINT)
}

// Kill ends the server by SIGKILL, as a crash does, and waits until all of its
// processes are gone. What was committed is there after Start.
func (s *PostgresServer) Kill() {
	s.t.Helper()
	s.killed = s.process != nil || s.killed
	s.stop(syscall.SIGKILL)
}

// Start starts a server that was stopped or killed, on the same port with the
// same data, and returns when it accepts connections. Starting a running server
// does nothing.
func (s *PostgresServer) Start() {
	s.t.Helper()
	if s.process != nil {
		return
	}
	if err := s.start(); err != nil {
		s.t.Fatalf("testenv: start postgres again: %v\n%s", err, tail(s.log()))
	}
}

func (s *PostgresServer) data() string { return filepath.Join(s.dir, "data") }
func (s *PostgresServer) log() string  { return filepath.Join(s.dir, "postgres.log") }

// command prepares a PostgreSQL program: as the servers' owner, in a directory
// that the owner may read, and without the PG* variables of the environment.
func (s *PostgresServer) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return cmd
}

func (s *PostgresServer) initdb(program string) {
	s.t.Helper()
	out, err := s.command(program, "--pgdata", s.data(), "--no-sync", "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--wal-segsize", "1").CombinedOutput()
	if err != nil {
		s.t.Fatalf("testenv: initdb: %v\n%s", err, out)
	}
}

func (s *PostgresServer) start() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=",
		"fsync=off", "full_page_writes=off", "shared_buffers=16MB",
		// In the data directory, not in /dev/shm, so that nothing outlives Kill.
		"dynamic_shared_memory_type=mmap",
	} {
		args = append(args, "-c", setting)
	}
	// SIGQUIT is PostgreSQL's immediate shutdown: the server takes its own
	// processes and its shared memory with it.
	p, err := startProcess(s.command(filepath.Join(s.bin, "postgres"), args...), s.log(), syscall.SIGQUIT)
	if err != nil {
		return err
	}
	if err := p.awaitReady(func() bool { return s.ready(p.pid()) }); err != nil {
		return errors.Join(err, p.end(syscall.SIGKILL))
	}
	s.process, s.killed = p, false
	return nil
}

// ready reports what the server of that process writes about itself in
// postmaster.pid: its process id in the first line, its state in the eighth.
// Asking the port could be answered by a server that is not ours.
func (s *PostgresServer) ready(pid int) bool {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *PostgresServer) stop(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.end(sig); err != nil {
		s.t.Errorf("testenv: stop postgres: %v", err)
	}
	s.process = nil
}

func (s *PostgresServer) cleanup() {
	if s.killed {
		// A killed server leaves a System V shared memory segment behind, which
		// only a server that starts on the same data removes.
		s.Start()
	}
	s.stop(syscall.SIGQUIT)
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("testenv: remove the data of postgres: %v", err)
	}
}
