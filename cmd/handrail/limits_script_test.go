package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/handrail-go/handrail/internal/testenv"
)

// TestLimitScripts runs testdata/limits: a sidecar, a Redis of its own and an
// app for each script. In scripts $APP is the app's URL and $REDIS_URL that of
// Redis. Commands beside the usual ones:
//
//	sidecar NAME [VAR=VALUE...]   starts handrail serve --config NAME.yaml, and sets
//	                              $PUBLIC and $ADMIN to where it listens
//	redis pause|resume|kill|start
//	until PATTERN PROGRAM ARG...  repeats until its output matches
//	logged N TEXT                 the sidecar's log has TEXT in N lines
//	answers NAME FILE [STATUS]    sets $NAME to where FILE is the answer to everything
func TestLimitScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/limits/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			s := &limitScript{t: t, redis: testenv.Redis(t)}
			app := httptest.NewServer(http.HandlerFunc(signIn))
			t.Cleanup(app.Close)
			testscript.Run(t, testscript.Params{
				Files: []string{script}, UpdateScripts: *update, RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("GORACE", "atexit_sleep_ms=0")
					e.Setenv("APP", app.URL)
					e.Setenv("REDIS_URL", s.redis.URL())
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "sidecar": s.sidecar, "redis": s.control, "until": until, "logged": s.logged, "answers": answers,
				},
			})
		})
	}
}

// signIn is an app that answers a failed sign-in with 200, as many do. It tells
// what it got.
func signIn(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if said := r.Header.Get("X-Say"); said != "" {
		w.Header().Set("Handrail-Outcome", said)
	}
	if status, err := strconv.Atoi(r.Header.Get("X-Status")); err == nil {
		w.WriteHeader(status)
	}
	fmt.Fprintf(w, "%s %d %s", r.Header.Get("Content-Type"), r.ContentLength, body)
}

type limitScript struct {
	t       *testing.T
	redis   *testenv.RedisServer
	process *process // the one that was started last
}

func (s *limitScript) sidecar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sidecar name [var=value...]")
	}
	env := append([]string{"REDIS_URL=" + ts.Getenv("REDIS_URL"), "APP=" + ts.Getenv("APP")}, args[1:]...)
	command := []string{"serve", "--config", args[0] + ".yaml"}
	config := readFile(ts, args[0]+".yaml")
	if !strings.Contains(config, "upstream:") {
		command = append(command, "--upstream", ts.Getenv("APP"))
	}
	s.process = launch(s.t, ts.Getenv("WORK"), command, env...)
	s.process.eventually("alive", func() bool { return s.process.status("/livez") == http.StatusOK })
	if !strings.Contains(config, "redis: ''") {
		// The first connection takes a busy machine longer than a decision may.
		s.process.eventually("connected", func() bool {
			return strings.Contains(s.process.do("GET", "/health", "").body, `"redis":"ok"`)
		})
	}
	ts.Setenv("PUBLIC", s.process.public)
	ts.Setenv("ADMIN", s.process.admin)
}

func readFile(ts *testscript.TestScript, name string) string {
	data, err := os.ReadFile(ts.MkAbs(name))
	ts.Check(err)
	return string(data)
}

func (s *limitScript) control(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: redis pause|resume|kill|start")
	}
	do, ok := map[string]func(){
		"pause": s.redis.Pause, "resume": s.redis.Resume, "kill": s.redis.Kill, "start": s.redis.Start,
	}[args[0]]
	if !ok {
		ts.Fatalf("unknown: redis %s", args[0])
	}
	do()
}

// until repeats a program until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until text program [args...]")
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_ = ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never %q; last was:\n%s%s", args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *limitScript) logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged n text")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	deadline := time.Now().Add(10 * time.Second)
	for strings.Count(s.process.logged(), args[1]) < want && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if got := strings.Count(s.process.logged(), args[1]); got != want {
		ts.Fatalf("%q is in the log %d times, want %d", args[1], got, want)
	}
}

func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: answers name file [status]")
	}
	body, status := readFile(ts, args[1]), http.StatusOK
	if len(args) == 3 {
		var err error
		status, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client is gone
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.Listener.Addr().String())
}
