package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is the real program: the test binary, run again as handrail.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	public string // addresses once it listens
	admin  string
	done   chan struct{}
	code   int

	mu  sync.Mutex
	log bytes.Buffer
}

// serve runs 'handrail serve' with a configuration and waits until it is ready.
func serve(t *testing.T, config string, env ...string) *process {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "handrail.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, dir, []string{"serve", "--config", file}, env...)
}

// start runs handrail and waits until it is ready.
func start(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	p := launch(t, dir, args, env...)
	p.eventually("ready", func() bool { return p.status("/readyz") == http.StatusOK })
	return p
}

// launch runs handrail and waits until it listens.
func launch(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"HANDRAIL_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go p.follow(out, listening)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of handrail:\n%s", p.logged())
		}
	})
	select {
	case <-listening:
	case <-p.done:
		t.Fatalf("handrail ended with code %d:\n%s", p.code, p.logged())
	case <-time.After(30 * time.Second):
		t.Fatalf("handrail does not listen:\n%s", p.logged())
	}
	return p
}

// follow keeps the log and finds the addresses in it.
func (p *process) follow(out io.Reader, listening chan<- struct{}) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.keep(scanner.Bytes())
		if p.public != "" {
			continue
		}
		var line struct{ Msg, Listen, Admin string }
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Msg == "listening" {
			p.public, p.admin = line.Listen, line.Admin
			close(listening)
		}
	}
	_ = p.cmd.Wait()
	p.code = p.cmd.ProcessState.ExitCode()
	close(p.done)
}

func (p *process) keep(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log.Len() < 1<<20 {
		p.log.Write(append(line, '\n'))
	}
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop sends SIGTERM and returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait()
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		p.t.Fatalf("handrail does not end:\n%s", p.logged())
	}
	return p.code
}

// eventually waits for a state that is reached by itself.
func (p *process) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("never: %s\n%s", what, p.logged())
		}
	}
}

func (p *process) url(path string) string { return "http://" + p.public + path }

// status asks on a connection of its own; 0 when nobody answers.
func (p *process) status(path string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get(p.url(path))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// An answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (p *process) do(method, path, body string, header ...string) answer {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url(path), bytes.NewReader([]byte(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

// An app is a real service behind the sidecar. It remembers what it got.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

type seen struct {
	method, path string
	header       http.Header
	sum          [sha256.Size]byte
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		a.mu.Lock()
		a.seen = append(a.seen, seen{r.Method, r.URL.RequestURI(), r.Header.Clone(), sha256.Sum256(body)})
		a.mu.Unlock()
		fmt.Fprint(w, r.Header.Get("Handrail-Flags"))
	}))
	t.Cleanup(a.Close)
	return a
}

// requests are those for path so far.
func (a *app) requests(path string) []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []seen
	for _, s := range a.seen {
		if s.path == path {
			out = append(out, s)
		}
	}
	return out
}

// config is a configuration for the tests: loopback, free ports, no waiting.
func config(upstream, more string) string {
	return fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0"}
upstream: {url: %q}
health: {interval: 200ms, timeout: 150ms}
drain: {delay: 0s}
observe: {service: e2e}
%s`, upstream, more)
}
