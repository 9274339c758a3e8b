package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestFlagScripts runs testdata/flags: an operator, a sidecar and its flags.
// Commands beside the usual ones:
//
//	sidecar NAME [VAR=VALUE...]   starts handrail serve --config NAME.yaml, and sets
//	                              $PUBLIC and $ADMIN to where it listens
//	until PATTERN PROGRAM ARG...  repeats until its output matches
//	logged N TEXT                 the sidecar's log has TEXT in N lines
//	answers NAME FILE [STATUS]    sets $NAME to where FILE is the answer to everything
func TestFlagScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/flags/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			s := &limitScript{t: t}
			app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(app.Close)
			testscript.Run(t, testscript.Params{
				Files: []string{script}, UpdateScripts: *update, RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("GORACE", "atexit_sleep_ms=0")
					e.Setenv("APP", app.URL)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "sidecar": s.sidecar, "until": until, "logged": s.logged, "answers": answers,
				},
			})
		})
	}
}
