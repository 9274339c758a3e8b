package testenv_test

import (
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

func TestSentinelMakesTheReplicaTheMaster(t *testing.T) {
	t.Parallel()
	g := testenv.RedisSentinel(t)
	do(t, g.Master(), "OK", "SET", "key", "value")
	// WAIT would have to come on the connection that wrote.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got, err := g.Replica().Do("GET", "key"); err == nil && got == "value" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the replica never had what the master was told")
		}
	}
	g.Master().Kill()
	g.AwaitFailover()
	do(t, g.Replica(), "value", "GET", "key")
	do(t, g.Replica(), "OK", "SET", "key", "other")
}

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	s := testenv.Redis(t, testenv.TLS(testenv.NewCA(t)))
	do(t, s, "PONG", "PING")
	if want := "rediss://" + s.Addr() + "/0"; s.URL() != want {
		t.Errorf("URL %q, want %q", s.URL(), want)
	}
}
