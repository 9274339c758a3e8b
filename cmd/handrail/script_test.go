package main

import (
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

// TestMain lets the test binary stand in for three programs: handrail when it
// is called by that name (scripts) or with HANDRAIL_TEST_MAIN=1, and an app
// behind it when it is called sampleapp or with SAMPLEAPP set. exec keeps
// HANDRAIL_* from its child, so that one environment can hold both variables.
func TestMain(m *testing.M) {
	if os.Getenv("HANDRAIL_TEST_MAIN") == "1" {
		main()
	}
	if mode := os.Getenv("SAMPLEAPP"); mode != "" {
		os.Exit(sampleApp(mode))
	}
	testscript.Main(m, map[string]func(){
		"handrail":  main,
		"sampleapp": func() { os.Exit(sampleApp(os.Args[1])) },
	})
}

// TestScripts runs testdata/script: what an operator types, reads and gets as
// exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update,
		RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each success takes a second
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"taken": taken,
		},
	})
}

// exits is "exits CODE PROGRAM [ARG...]": the program ends with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, err := 0, ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// taken is "taken NAME": a port on which somebody listens, into a variable.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: taken name")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
	ts.Setenv(args[0], strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
}
