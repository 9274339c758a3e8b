package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// PostgresServer is a private PostgreSQL server of one test. Its methods are
// not safe for concurrent use.
//
// Stop cuts sessions off and rolls transactions back. What was committed is
// there after Start, even after Kill.
type PostgresServer struct {
	server

	bin   string              // where PostgreSQL's programs are
	owner *syscall.Credential // nil: whoever runs the test
}

// Postgres starts a PostgreSQL server with an empty database on a free loopback
// port, where everybody is trusted, and returns when it accepts connections. It
// does not sync to disk, so that it is fast. It is stopped and its data removed
// when the test ends.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	globs := append([]string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}, brew("postgresql")...)
	// What is on PATH may be a link; the other programs lie beside its target.
	initdb, err := filepath.EvalSymlinks(find(t, "initdb", "PostgreSQL", globs...))
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	owner, err := serverOwner()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s := &PostgresServer{
		// SIGINT is PostgreSQL's fast shutdown; SIGQUIT the immediate one: the
		// server takes its own processes and its shared memory with it.
		server: server{t: t, name: "postgres", stopSignal: syscall.SIGINT, parentDeath: syscall.SIGQUIT},
		bin:    filepath.Dir(initdb),
		owner:  owner,
	}
	s.dir = ownedTempDir(t, owner)
	s.command, s.ready = s.postgres, s.accepts
	t.Cleanup(s.cleanup)
	s.initdb()
	s.begin(0)
	return s
}

// DSN is the URL of the server's database, as in
// "postgres://postgres@127.0.0.1:12345/postgres?sslmode=disable". The user is a
// superuser and needs no password.
func (s *PostgresServer) DSN() string {
	return "postgres://postgres@" + s.Addr() + "/postgres?sslmode=disable"
}

func (s *PostgresServer) data() string { return filepath.Join(s.dir, "data") }

// program prepares one of PostgreSQL's programs: as the servers' owner, in a
// directory that the owner may read, and without the PG* variables of the
// environment.
func (s *PostgresServer) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return cmd
}

func (s *PostgresServer) initdb() {
	s.t.Helper()
	out, err := s.program("initdb", "--pgdata", s.data(), "--no-sync", "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--wal-segsize", "1").CombinedOutput()
	if err != nil {
		s.t.Fatalf("testenv: initdb: %v\n%s", err, out)
	}
}

func (s *PostgresServer) postgres() *exec.Cmd {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=",
		"fsync=off", "full_page_writes=off", "shared_buffers=16MB",
		// In the data directory, not in /dev/shm, so that nothing outlives Kill.
		"dynamic_shared_memory_type=mmap",
	} {
		args = append(args, "-c", setting)
	}
	return s.program("postgres", args...)
}

// accepts reports what the server of that process writes about itself in
// postmaster.pid: its process id in the first line, its state in the eighth.
// Asking the port could be answered by a server that is not ours.
func (s *PostgresServer) accepts(pid int) bool {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *PostgresServer) cleanup() {
	if s.killed {
		// A killed server leaves a System V shared memory segment behind, which
		// only a server that starts on the same data removes.
		s.Start()
	}
	s.end(syscall.SIGQUIT)
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("testenv: remove the data of postgres: %v", err)
	}
}
