package handrail_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-go/handrail/internal/demo"
	"github.com/handrail-go/handrail/internal/testenv"
)

// TestPages does what README.md and the pages in docs say, as they say it, with
// the binary that README.md's own command installs.
func TestPages(t *testing.T) {
	t.Parallel()
	around := t
	need(t, "bash", "curl")
	readme := readPage(t, "README.md")
	bin := install(t, readme)
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	for _, path := range append(pages, "README.md") {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			runPage(t, around, path, bin)
		})
	}
	t.Run("demo", func(t *testing.T) { // not beside the other one: both would want port 8080
		code := tryDemo(t, exec.Command(filepath.Join(bin, "handrail"), "demo"), syscall.SIGTERM)
		if code != 0 {
			t.Errorf("exit code %d after SIGTERM", code)
		}
	})
	t.Run("demo as README.md starts it", func(t *testing.T) {
		// Ctrl-C; go run has an exit code of its own then.
		tryDemo(t, exec.Command("bash", "-euo", "pipefail", "-c", block(t, readme, "demo")), syscall.SIGINT)
	})
	t.Run("examples/go-service", func(t *testing.T) {
		t.Parallel()
		tryGoService(t, bin)
	})
	t.Run("examples/node", func(t *testing.T) {
		t.Parallel()
		tryNode(t, around, bin)
	})
}

// need ends a test where a program is missing, as testenv does for servers.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv(testenv.RequiredEnv) == "required" {
			t.Fatalf("%s is not installed: run `make deps`", name)
		}
		t.Skipf("%s is not installed: run `make deps`", name)
	}
}

// block is the one command of a page that is marked with word.
func block(t *testing.T, p *page, word string) string {
	t.Helper()
	i := slices.IndexFunc(p.steps, func(s step) bool { return s.has(word) })
	if i < 0 {
		t.Fatalf("%s has no block for %s", p.name, word)
	}
	return p.steps[i].text
}

// install runs README.md's command in the repository, with a directory of the
// test's own in place of the user's, and builds the examples beside it.
func install(t *testing.T, readme *page) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, command := range []string{
		block(t, readme, "install"),
		"go build -o " + bin + " ./examples/...",
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
		// Whose clone it is does not matter here.
		cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	return bin
}

// TestTestCommand: .ci/run takes the command between two comments of README.md,
// and it is one that the Makefile knows.
func TestTestCommand(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "<!-- test-command -->\n```sh\nmake test\n```\n<!-- /test-command -->\n"
	if strings.Count(string(readme), want) != 1 {
		t.Errorf("README.md does not hold, once:\n%s", want)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^test:`).Match(makefile) {
		t.Error("the Makefile has no goal test")
	}
}

var (
	demoListens = regexp.MustCompile(`Handrail listens on http://(\S+) in front`)
	demoAdmin   = regexp.MustCompile(`msg=listening .*admin=(\S+)`)
	demoEnd     = regexp.MustCompile(`(Ctrl-C ends the demo)`)
)

// tryDemo pastes every command that the demo prints into a shell. It returns
// the exit code after the signal.
func tryDemo(t *testing.T, cmd *exec.Cmd, end syscall.Signal) int {
	t.Helper()
	tmp := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	p := start(t, t, cmd)
	public, admin := p.await(t, demoListens), p.await(t, demoAdmin)
	p.await(t, demoEnd)
	awaitOK(t, "http://"+public+"/readyz") // a person takes longer to paste
	printed := p.logged()
	for _, try := range demo.Tries(public, admin) {
		if !strings.Contains(printed, "\n# "+try.About+"\n"+try.Command+"\n") {
			t.Errorf("the demo does not print %q", try.Command)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, code := output(ctx, exec.Command("bash", "-c", try.Command))
		cancel()
		if code != 0 || !strings.Contains(calm(out), try.Prints) {
			t.Errorf("%s: exit code %d, want %q in\n%s", try.Command, code, try.Prints, out)
		}
	}
	p.signal(t, end)
	code := p.wait()
	if left, _ := filepath.Glob(filepath.Join(tmp, "handrail-demo-*")); len(left) > 0 {
		t.Errorf("the demo leaves %q behind", left)
	}
	if t.Failed() {
		t.Log(p.logged())
	}
	return code
}

// calm is a health answer as it is on a machine with room in memory and on disk.
func calm(answer string) string {
	if strings.Contains(answer, `"memory":"warning"`) || strings.Contains(answer, `"disk":"warning"`) {
		return strings.Replace(answer, `"status":"warning"`, `"status":"ok"`, 1)
	}
	return answer
}
