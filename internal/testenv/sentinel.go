package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// MasterName is what the sentinel of a SentinelGroup calls its master.
const MasterName = "main"

// SentinelGroup is a master with one replica of one test, and a sentinel that
// makes the replica the master when the master is gone for half a second.
type SentinelGroup struct {
	t        testing.TB
	servers  [2]*RedisServer
	sentinel *RedisServer
}

// RedisSentinel starts a SentinelGroup and returns when the replica is up to date
// and known to the sentinel.
func RedisSentinel(t testing.TB) *SentinelGroup {
	t.Helper()
	// Else the first copy to a replica waits some seconds for others.
	atOnce := RedisArgs("--repl-diskless-sync-delay", "0")
	g := &SentinelGroup{t: t}
	g.servers[0] = Redis(t, atOnce)
	g.servers[1] = Redis(t, atOnce, RedisArgs("--replicaof", "127.0.0.1", strconv.Itoa(g.servers[0].port)))
	g.await("an up-to-date replica", func() bool {
		info, err := g.servers[1].do("INFO", "replication")
		return err == nil && containsLine(info, "master_link_status:up")
	})
	g.startSentinel()
	g.await("a sentinel that knows the replica", func() bool {
		info, err := g.sentinel.do("INFO", "sentinel")
		return err == nil && containsLine(info, fmt.Sprintf(
			"master0:name=%s,status=ok,address=%s,slaves=1,sentinels=1", MasterName, g.servers[0].Addr()))
	})
	return g
}

// Addr is the address of the sentinel.
func (g *SentinelGroup) Addr() string { return g.sentinel.Addr() }

// Master is the server that was the master at first.
func (g *SentinelGroup) Master() *RedisServer { return g.servers[0] }

// Replica is the server that was the replica at first.
func (g *SentinelGroup) Replica() *RedisServer { return g.servers[1] }

// AwaitFailover returns when the replica is the master and the sentinel says so.
func (g *SentinelGroup) AwaitFailover() {
	g.t.Helper()
	g.await("a failover", func() bool {
		info, err := g.servers[1].do("INFO", "replication")
		if err != nil || !containsLine(info, "role:master") {
			return false
		}
		info, err = g.sentinel.do("INFO", "sentinel")
		return err == nil && containsPrefix(info, fmt.Sprintf("master0:name=%s,status=ok,address=%s,", MasterName, g.servers[1].Addr()))
	})
}

func (g *SentinelGroup) startSentinel() {
	g.t.Helper()
	s := &RedisServer{
		server:  server{t: g.t, name: "redis-sentinel", stopSignal: syscall.SIGTERM, parentDeath: syscall.SIGKILL},
		program: g.servers[0].program,
	}
	s.dir = g.t.TempDir()
	s.ready = func(pid int) bool {
		info, err := s.do("INFO", "server")
		return err == nil && containsLine(info, fmt.Sprintf("process_id:%d", pid))
	}
	s.command = func() *exec.Cmd {
		return exec.Command(s.program, filepath.Join(s.dir, "sentinel.conf"), "--sentinel", "--port", strconv.Itoa(s.port))
	}
	// A sentinel keeps what it knows in its configuration file.
	config := fmt.Sprintf(`bind 127.0.0.1
dir %q
sentinel monitor %[2]s 127.0.0.1 %[3]d 1
sentinel down-after-milliseconds %[2]s 500
sentinel failover-timeout %[2]s 5000
`, s.dir, MasterName, g.servers[0].port)
	if err := os.WriteFile(filepath.Join(s.dir, "sentinel.conf"), []byte(config), 0o600); err != nil {
		g.t.Fatalf("testenv: %v", err)
	}
	g.t.Cleanup(func() { s.end(syscall.SIGKILL) })
	s.begin(0)
	g.sentinel = s
}

func (g *SentinelGroup) await(what string, done func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(startTimeout); !done(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			g.t.Fatalf("testenv: no %s within %v\n%s", what, startTimeout, tail(g.servers[1].log()))
		}
	}
}
