package handrail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/envcheck"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/testenv"
)

// patience is how long a test waits for what has to come. It is long, for
// machines that are busy, and never waited out where all is well.
const patience = time.Minute

// A session carries out the steps of one page.
type session struct {
	t        *testing.T
	owner    owner
	page     *page
	bin, dir string
	ports    map[string]string // of the page → those of the session
	running  []*program        // in the background, the last one is stopped first
	redis    *testenv.RedisServer
	postgres *testenv.PostgresServer
	printed  string // by the last command
	rerun    func() // that command once more, nil where it may not be
}

// pagePorts are the ports that pages speak of. The session puts those that its
// programs have got in their place, so that a page can be tried where they are
// taken.
var pagePorts = regexp.MustCompile(`\b(3000|4000|5432|6379|8080|8081|8082|9090)\b`)

func runPage(t *testing.T, owner owner, path, bin string) {
	s := &session{t: t, owner: owner, page: readPage(t, path), bin: bin, dir: owner.TempDir(), ports: map[string]string{}}
	for i := range s.page.steps {
		s.step(&s.page.steps[i])
	}
	for range s.running {
		s.stop()
	}
}

// local puts the session's ports in place of the page's.
func (s *session) local(text string) string {
	return pagePorts.ReplaceAllStringFunc(text, func(port string) string {
		if s.ports[port] == "" {
			s.ports[port] = strconv.Itoa(testenv.FreePort(s.t))
		}
		return s.ports[port]
	})
}

func (s *session) fatalf(st *step, format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s", s.page.name, st.line, fmt.Sprintf(format, args...))
}

func (s *session) step(st *step) {
	s.t.Helper()
	if name := st.get("needs"); name != "" {
		if _, err := exec.LookPath(name); err != nil {
			s.t.Skipf("%s:%d: %s is not installed: the rest of the page is not tried", s.page.name, st.line, name)
		}
	}
	if name := st.get("file"); name != "" {
		s.write(st, name)
	}
	if path := st.get("from"); path != "" {
		s.fromFile(st, path)
	}
	switch st.lang {
	case "":
		s.act(st)
	case "sh":
		s.shell(st)
	case "text", "json":
		s.compare(st)
	case "yaml":
		s.yaml(st)
	case "dotenv":
		s.schema(st)
	default:
		if !st.has("from") {
			s.fatalf(st, "a block in %s comes from a file in examples: say which", st.lang)
		}
	}
}

func (s *session) act(st *step) {
	s.t.Helper()
	d := st.directives[0]
	switch d.word {
	case "app":
		s.ports[d.rest] = startApp(s.t)
	case "redis":
		s.redis = testenv.Redis(s.t)
		_, s.ports[d.rest], _ = net.SplitHostPort(s.redis.Addr())
	case "redis-stop":
		s.redis.Stop()
	case "postgres":
		s.postgres = testenv.Postgres(s.t)
		_, s.ports[d.rest], _ = net.SplitHostPort(s.postgres.Addr())
	case "postgres-stop":
		s.postgres.Stop()
	case "stop":
		s.stop()
	case "logged":
		s.rerun = nil
		// Lines of the access log come a moment after the answer.
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			s.printed = ""
			for line := range strings.Lines(s.running[len(s.running)-1].logged()) {
				if strings.Contains(line, d.rest) {
					s.printed += line
				}
			}
			if s.printed != "" || time.Now().After(deadline) {
				return
			}
		}
	}
}

func (s *session) write(st *step, name string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.fatalf(st, "%v", err)
	}
	if err := os.WriteFile(path, []byte(s.local(st.text)), 0o600); err != nil {
		s.fatalf(st, "%v", err)
	}
}

// fromFile holds a block to the file that it comes from.
func (s *session) fromFile(st *step, path string) {
	s.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		s.fatalf(st, "%v", err)
	}
	if !strings.Contains("\n"+string(data), "\n"+st.text) {
		s.fatalf(st, "the block is no part of %s", path)
	}
}

// yaml loads a block: flag definitions, or a configuration as check does. A
// configuration without a name is an excerpt, so that whoever is in front of
// the sidecar stays open.
func (s *session) yaml(st *step) {
	s.t.Helper()
	name := st.get("file")
	if strings.HasPrefix(filepath.Base(name), "flags") {
		set, err := flags.Parse(name, []byte(st.text))
		if err != nil {
			s.fatalf(st, "%v", err)
		}
		for _, w := range set.Warnings() {
			s.fatalf(st, "warning: %s", w)
		}
		return
	}
	env := strings.Fields(st.get("env"))
	if name == "" {
		name, env = "excerpt.yaml", append(env, "HANDRAIL_ENV=development")
		s.write(st, name)
		defer func() { _ = os.Remove(filepath.Join(s.dir, name)) }()
	}
	cmd := s.command("handrail", "check", "--config", name)
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.fatalf(st, "handrail check: %v\n%s", err, out)
	}
}

func (s *session) schema(st *step) {
	s.t.Helper()
	if _, err := envcheck.ParseSchema(s.page.name, strings.NewReader(st.text)); err != nil {
		s.fatalf(st, "%v", err)
	}
	if !st.has("file") {
		name := "excerpt.schema"
		s.write(st, name)
		defer func() { _ = os.Remove(filepath.Join(s.dir, name)) }()
		out, _ := s.command("handrail", "env", "check", "--schema", name, "--format", "json").CombinedOutput()
		if !bytes.HasPrefix(out, []byte(`{"ok":`)) {
			s.fatalf(st, "handrail env check: %s", out)
		}
	}
}

// command is a program in the page's directory, with nothing of the
// environment but what it needs to be found.
func (s *session) command(name string, args ...string) *exec.Cmd {
	if name == "handrail" {
		name = filepath.Join(s.bin, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "LC_ALL=C"}
	return cmd
}

func (s *session) bash(st *step) *exec.Cmd {
	cmd := s.command("bash", "-euo", "pipefail", "-c", s.local(st.text))
	cmd.Env = append(cmd.Env, strings.Fields(s.local(st.get("env")))...)
	if len(s.running) > 0 { // for commands about the one that runs
		cmd.Env = append(cmd.Env, "HANDRAIL_ADMIN=127.0.0.1:"+s.local("9090"))
	}
	return cmd
}

func (s *session) shell(st *step) {
	s.t.Helper()
	if st.has("file") || st.has("demo") || st.has("install") || st.has("test-command") {
		return // run by another block, by a test of its own, or runs this test
	}
	if st.has("background") {
		s.background(st)
		return
	}
	want := 0
	if code := st.get("exit"); code != "" {
		var err error
		if want, err = strconv.Atoi(code); err != nil {
			s.fatalf(st, "exit: %v", err)
		}
	}
	run := func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		defer cancel()
		cmd := s.bash(st)
		out, code := output(ctx, cmd)
		if code != want {
			s.fatalf(st, "exit code %d, want %d\n%s\n%s", code, want, out, s.logs())
		}
		s.printed = out
	}
	run()
	s.rerun = nil
	if st.has("again") {
		s.rerun = run
	}
}

var listenFlag = regexp.MustCompile(`--listen \S*:(\d+)`)

// background starts handrail on free ports, which stand for those of the page
// from here on.
func (s *session) background(st *step) {
	s.t.Helper()
	public := "8080"
	if m := listenFlag.FindStringSubmatch(st.text); m != nil {
		public = m[1]
	}
	s.ports[public] = "0"
	cmd := s.bash(st)
	cmd.Env = append(cmd.Env, "HANDRAIL_LISTEN=127.0.0.1:0", "HANDRAIL_ADMIN=127.0.0.1:0")
	p := start(s.t, s.owner, cmd)
	s.running, s.printed, s.rerun = append(s.running, p), "", nil
	s.ports[public] = p.awaitReady(s.t)
	if m := adminListens.FindStringSubmatch(p.logged()); m != nil {
		s.ports["9090"] = m[1]
	}
}

var lineEnd = regexp.MustCompile(`(?m)[ \r]+$`)

// output runs a command to its end and returns what it prints, without what
// cannot be seen at the end of a line.
func output(ctx context.Context, cmd *exec.Cmd) (out string, code int) {
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err.Error(), -1
	}
	end := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer end()
	_ = cmd.Wait()
	return lineEnd.ReplaceAllString(b.String(), ""), cmd.ProcessState.ExitCode()
}

// compare holds what was printed to what the page shows.
func (s *session) compare(st *step) {
	s.t.Helper()
	if st.has("file") || st.has("from") {
		return
	}
	want := pattern(s.local(st.text))
	for deadline := time.Now().Add(patience); !want.MatchString(s.printed); time.Sleep(50 * time.Millisecond) {
		if s.rerun == nil || time.Now().After(deadline) {
			s.fatalf(st, "the page shows\n%s\nthe command prints\n%s\n%s", st.text, s.printed, s.logs())
		}
		s.rerun()
	}
}

func (s *session) logs() string {
	var b strings.Builder
	for _, p := range s.running {
		b.WriteString(p.logged())
	}
	return b.String()
}

// stop ends the program that was started last as an operator does.
func (s *session) stop() {
	s.t.Helper()
	last := len(s.running) - 1
	s.running[last].end(s.t, s.owner)
	s.running = s.running[:last]
}

// startApp is the app behind the sidecar of a page.
func startApp(t *testing.T) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if r.URL.Path == "/session" && strings.Contains(string(body), `"right"`) {
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusSeeOther)
		}
		if strings.Contains(string(body), `"customer.deleted"`) {
			w.WriteHeader(http.StatusGone)
		}
		fmt.Fprintf(w, "%s %s\n", r.Method, r.URL.Path)
		for _, name := range []string{"X-Forwarded-For", "Handrail-Flags", "Handrail-Request-Verified", "Idempotency-Key"} {
			if v := r.Header.Get(name); v != "" {
				fmt.Fprintf(w, "%s: %s\n", name, v)
			}
		}
	})}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = server.Close(); wg.Wait() })
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}
