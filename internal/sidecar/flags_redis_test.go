package sidecar_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
	"github.com/handrail-go/handrail/internal/testenv"
)

// redisDesk is a sidecar of the service "shop" whose flags are in Redis.
func redisDesk(t *testing.T, server *testenv.RedisServer) *flagDesk {
	t.Helper()
	app, d := newRawApp(t), &flagDesk{dir: t.TempDir()}
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0', token: %s}\nupstream: {url: %q}\n"+
		"drain: {delay: 0s}\nredis: %q\nnamespace: shop\nrate_limits: []\nflags: {source: redis}\n", token, app.url, server.URL())
	d.running = runSidecar(t, sidecar.Options{File: writeFile(t, d.dir, "handrail.yaml", config), Getenv: env{}.get})
	return d
}

// What one sidecar changes in Redis the others follow; who made it is in the
// audit log of Redis, and in that of the sidecar that was asked.
func TestFlagsInRedisAreChangedForAllSidecars(t *testing.T) {
	server := testenv.Redis(t)
	one, two := redisDesk(t, server), redisDesk(t, server)
	change := func(d *flagDesk, method, body, condition string) (int, string) {
		status, _, answer := d.do(t, method, sidecar.FlagsPath+"/new-checkout", body, condition, "Handrail-Actor: ann")
		return status, answer
	}
	eventually(t, "Redis answers", func() bool { // the first connection takes a busy machine long
		status, body := change(one, "PATCH", `{"enabled": true}`, "If-Match: *")
		return status == 503 && strings.Contains(body, redisflags.ErrMissing.Error())
	})
	if status, body := change(one, "PUT", `{"rolloutPercentage": 5}`, "If-None-Match: *"); status != 201 || !strings.Contains(body, `"in_force": true`) {
		t.Fatalf("the first flag of all: %d %s", status, body)
	}
	shown := func(d *flagDesk) string {
		_, _, body := d.do(t, "GET", sidecar.FlagsPath+"/new-checkout", "")
		return body
	}
	eventually(t, "the other one follows", func() bool { return strings.Contains(shown(two), `"rolloutPercentage": 5`) })
	if status, body := change(two, "PATCH", `{"rolloutPercentage": 7}`, two.etag(t, "new-checkout")); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	eventually(t, "the first one follows", func() bool { return strings.Contains(shown(one), `"rolloutPercentage": 7`) })
	if status, body := change(one, "PUT", `{"rolloutPercentage": 9}`, "If-None-Match: *"); status != 412 {
		t.Errorf("it is there by now: %d %s", status, body)
	}
	eventually(t, "it is recorded as another's", func() bool {
		entries := one.audit(t)
		return len(entries) == 2 && entries[0].What == flagaudit.Seen && string(entries[0].After) == `{"rolloutPercentage":7}`
	})
	lines := auditInRedis(t, server)
	if len(lines) != 2 || !strings.Contains(lines[0], `"actor":"ann"`) || !strings.Contains(lines[0], `"after":{"rolloutPercentage":7}`) {
		t.Errorf("the audit log of Redis: %q", lines)
	}
	server.Kill()
	if status, body := change(one, "PATCH", `{"rolloutPercentage": 8}`, "If-Match: *"); status != 503 {
		t.Errorf("without Redis: %d %s", status, body)
	}
	if !strings.Contains(shown(one), `"rolloutPercentage": 7`) {
		t.Error("the last good definitions are gone")
	}
}

// auditInRedis are the lines that Redis has, the newest first.
func auditInRedis(t *testing.T, server *testenv.RedisServer) (lines []string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	defer client.Close()
	source, err := redisflags.New(redisflags.Config{Client: client, Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := source.Audit(context.WithoutCancel(t.Context()), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		lines = append(lines, string(e.Line))
	}
	return lines
}
