package testenv

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// RedisServer is a private redis-server of one test. Its methods are not safe
// for concurrent use.
type RedisServer struct {
	server

	program string
	args    []string
	bus     int         // offset of a second port that must be free, 0 for none
	tls     *tls.Config // of a client; nil: the server speaks without
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
	s := &RedisServer{
		server:  server{t: t, name: "redis-server", stopSignal: syscall.SIGTERM, parentDeath: syscall.SIGKILL},
		program: find(t, "redis-server", "Redis", brew("redis")...),
	}
	s.dir = t.TempDir()
	s.command, s.ready = s.redis, s.answers
	for _, opt := range opts {
		opt(s)
	}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	s.begin(s.bus)
	return s
}

// URL is the server's address as go-redis parses it, as in
// "redis://127.0.0.1:12345/0", or "rediss://…" under TLS.
func (s *RedisServer) URL() string {
	if s.tls != nil {
		return "rediss://" + s.Addr() + "/0"
	}
	return "redis://" + s.Addr() + "/0"
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

func (s *RedisServer) redis() *exec.Cmd {
	port := "--port"
	if s.tls != nil {
		port = "--tls-port"
	}
	args := []string{
		"--port", "0", port, strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--daemonize", "no", "--save", "", "--appendonly", "no",
	}
	return exec.Command(s.program, append(args, s.args...)...)
}

// answers reports whether the server of that process answers, with its data
// loaded. Another process may hold the port and answer in our server's stead.
func (s *RedisServer) answers(pid int) bool {
	info, err := s.do("INFO")
	return err == nil && containsLine(info, fmt.Sprintf("process_id:%d", pid)) && containsLine(info, "loading:0")
}

func containsLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

func containsPrefix(text, prefix string) bool {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
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
