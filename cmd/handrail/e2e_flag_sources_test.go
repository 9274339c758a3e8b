package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
)

const operatorsToken = "token-of-the-operators"

// remoteFlags is a folder with a configuration of flags that are elsewhere.
func remoteFlags(t *testing.T, upstream, more string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "handrail.yaml"), []byte(config(upstream, more)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// put makes a flag through the admin listener.
func put(t *testing.T, p *process, key, definition string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+p.admin+"/api/v1/flags/"+key, strings.NewReader(definition))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorsToken)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-None-Match", "*")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
}

// told reports whether the app is told of a flag.
func told(p *process, key string) func() bool {
	return func() bool { return strings.Contains(p.do("GET", "/flags", "").body, `"`+key+`"`) }
}

func TestFlagsInRedisOutlastIt(t *testing.T) {
	server := testenv.Redis(t, testenv.RedisArgs("--appendonly", "yes", "--appendfsync", "always"))
	dir := remoteFlags(t, newApp(t).URL, "redis: "+server.URL()+"\nflags: {source: redis}\n")
	args, env := []string{"serve", "--config", "handrail.yaml"}, "HANDRAIL_ADMIN_TOKEN="+operatorsToken
	one := launch(t, dir, args, env)
	if status := one.status("/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("ready without definitions: %d", status)
	}
	put(t, one, "first", `{"rolloutPercentage": 100}`)
	one.eventually("ready", func() bool { return one.status("/readyz") == http.StatusOK })
	if !told(one, "first")() {
		t.Fatal("the first flag is not on")
	}
	two := start(t, remoteFlags(t, newApp(t).URL, "redis: "+server.URL()+"\nflags: {source: redis}\n"), args, env)
	put(t, two, "second", `{"rolloutPercentage": 100}`)
	one.eventually("pushed to the other", told(one, "second"))

	server.Kill()
	if !told(one, "second")() {
		t.Error("flags are gone with Redis")
	}
	one.eventually("a warning", func() bool { return strings.Contains(one.ask(t, "/health?verbose"), `"flags":"warning"`) })
	one.stop()
	again := start(t, dir, args, env) // out of the snapshot
	if !told(again, "second")() {
		t.Error("the snapshot does not answer")
	}
	server.Start()
	put(t, two, "third", `{"rolloutPercentage": 100}`)
	again.eventually("followed after the restart of Redis", told(again, "third"))
}

func TestFlagsFromAServerThatComesUpLater(t *testing.T) {
	var up atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-the-flags" || !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"flags": {"far": {"rolloutPercentage": 100}}}`)
	}))
	defer server.Close()
	dir := remoteFlags(t, newApp(t).URL, "flags: {source: '"+server.URL+"/flags.json', token: of-the-flags, interval: 1s}\n")
	p := launch(t, dir, []string{"serve", "--config", "handrail.yaml"})
	if status := p.status("/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("ready without definitions: %d", status)
	}
	if got := p.do("GET", "/flags", ""); got.status != http.StatusOK {
		t.Errorf("the app is not asked meanwhile: %d", got.status)
	}
	up.Store(true)
	p.eventually("ready", func() bool { return p.status("/readyz") == http.StatusOK })
	if !told(p, "far")() {
		t.Error("the flag is not on")
	}
	if log := p.logged(); strings.Contains(log, "of-the-flags") {
		t.Errorf("the token is in the log: %s", log)
	}
}
