package testenv_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

func do(t *testing.T, s *testenv.RedisServer, want string, args ...string) {
	t.Helper()
	got, err := s.Do(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	if got != want {
		t.Fatalf("%v: got %q, want %q", args, got, want)
	}
}

func TestRedisEndings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule string
		opts []testenv.RedisOption
		end  func(*testenv.RedisServer)
		keys string // left after the server ended and started again
	}{
		{"Stop empties", nil, (*testenv.RedisServer).Stop, "0"},
		{"Kill empties", nil, (*testenv.RedisServer).Kill, "0"},
		{"Restart empties", nil, (*testenv.RedisServer).Restart, "0"},
		{"Persistent survives Stop", []testenv.RedisOption{testenv.Persistent()}, (*testenv.RedisServer).Stop, "1"},
		{"Persistent survives Kill", []testenv.RedisOption{testenv.Persistent()}, (*testenv.RedisServer).Kill, "1"},
		{"a paused server can be stopped", nil, func(s *testenv.RedisServer) { s.Pause(); s.Stop() }, "0"},
		{"a paused server can be killed", nil, func(s *testenv.RedisServer) { s.Pause(); s.Kill() }, "0"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			s := testenv.Redis(t, tt.opts...)
			addr := s.Addr()
			do(t, s, "0", "DBSIZE")
			do(t, s, "OK", "SET", "key", "value")
			tt.end(s)
			s.Start()
			if s.Addr() != addr {
				t.Fatalf("moved from %s to %s", addr, s.Addr())
			}
			do(t, s, tt.keys, "DBSIZE")
		})
	}
}

func TestRedisIsPrivate(t *testing.T) {
	t.Parallel()
	a, b := testenv.Redis(t), testenv.Redis(t)
	do(t, a, "OK", "SET", "key", "value")
	do(t, b, "0", "DBSIZE")
	a.Stop()
	a.Stop() // does nothing
	awaitRefused(t, a.Addr())
	do(t, b, "PONG", "PING")
	if want := "redis://" + b.Addr() + "/0"; b.URL() != want {
		t.Errorf("URL %q, want %q", b.URL(), want)
	}
}

func TestRedisArgs(t *testing.T) {
	t.Parallel()
	s := testenv.Redis(t, testenv.RedisArgs("--maxmemory", "8mb"))
	info, err := s.Do("INFO", "memory")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(info, "maxmemory:8388608\r\n") {
		t.Errorf("maxmemory is not 8 MiB:\n%s", info)
	}
}

func TestRedisPauseAnswersNobody(t *testing.T) {
	t.Parallel()
	s := testenv.Redis(t)
	s.Pause()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatalf("a paused server refuses connections: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, len("+PONG\r\n"))
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(reply); !os.IsTimeout(err) {
		t.Fatalf("a paused server answered %q, %v", reply, err)
	}
	s.Resume()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(reply); string(reply[:n]) != "+PONG\r\n" {
		t.Fatalf("after Resume: %q, %v", reply[:n], err)
	}
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	c := testenv.RedisCluster(t)
	if n := len(c.Addrs()); n != 3 {
		t.Fatalf("%d masters, want 3", n)
	}
	redirected := 0
	for i := range 3 {
		_, err := c.Master(i).Do("SET", "key", "value")
		if err != nil && strings.HasPrefix(err.Error(), "MOVED ") {
			redirected++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if redirected != 2 {
		t.Fatalf("%d of 3 masters redirect a key, want 2", redirected)
	}

	c.KillMaster(1)
	awaitRefused(t, c.Addrs()[1])
	do(t, c.Master(0), "PONG", "PING")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		info, err := c.Master(0).Do("CLUSTER", "INFO")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info, "cluster_state:fail") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a dead master is not noticed:\n%s", info)
		}
	}
	c.Master(1).Start()
	c.AwaitOK()
}
