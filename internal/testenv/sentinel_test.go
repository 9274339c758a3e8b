package testenv_test

import (
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
)

func TestSentinelMakesTheReplicaTheMaster(t *testing.T) {
	t.Parallel()
	g := testenv.RedisSentinel(t)
	do(t, g.Master(), "OK", "SET", "key", "value")
	do(t, g.Master(), "1", "WAIT", "1", "10000")
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
