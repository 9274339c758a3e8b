package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// RequiredEnv is the environment variable that turns a missing server from a
// skipped test into a failed one when its value is "required".
const RequiredEnv = "HANDRAIL_TEST_SERVERS"

// find returns the path of the named server program, looked up on PATH and then
// in the directories that the globs name, the highest version first. A missing
// program ends the test: skipped, or failed when servers are required.
func find(t testing.TB, program, server string, globs ...string) string {
	t.Helper()
	if path, ok := lookup(program, globs); ok {
		return path
	}
	if os.Getenv(RequiredEnv) == "required" {
		t.Fatalf("testenv: %s is not installed (no %s on PATH) and %s=required: run `make deps`", server, program, RequiredEnv)
	}
	t.Skipf("testenv: %s is not installed (no %s on PATH): run `make deps`", server, program)
	return ""
}

func lookup(program string, globs []string) (string, bool) {
	if path, err := exec.LookPath(program); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path, true
		}
	}
	var found []string
	for _, glob := range globs {
		// The only error of Glob is a malformed pattern; ours are constants.
		dirs, _ := filepath.Glob(glob)
		for _, dir := range dirs {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				found = append(found, path)
			}
		}
	}
	if len(found) == 0 {
		return "", false
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), true
}

// version is the first number in a path such as /usr/lib/postgresql/15/bin/initdb,
// 0 when there is none.
func version(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, err := strconv.Atoi(digits[0])
	if err != nil {
		return 0
	}
	return n
}
