package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSignScripts runs testdata/sign: messages that are signed, sent and
// explained. In scripts $APP is the URL of an app that answers 200 to everything.
// Commands beside the usual ones are exits, sidecar and logged, see
// TestLimitScripts.
func TestSignScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/sign/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			s := &limitScript{t: t}
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprintf(w, "%s %s %d bytes\n", r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type"), len(body))
			}))
			t.Cleanup(app.Close)
			testscript.Run(t, testscript.Params{
				Files: []string{script}, UpdateScripts: *update, RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("GORACE", "atexit_sleep_ms=0")
					e.Setenv("APP", app.URL)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "sidecar": s.sidecar, "logged": s.logged,
				},
			})
		})
	}
}
