package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// A reloadable sidecar and the file that it reads.
type reloadable struct {
	*running
	file string
	head string
}

// reloadableSidecar stands in front of app, with more in its file.
func reloadableSidecar(t *testing.T, app, more string) *reloadable {
	t.Helper()
	r := &reloadable{head: fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}\nupstream: {url: %q}\ndrain: {delay: 0s}\n", app)}
	r.file = writeFile(t, t.TempDir(), "handrail.yaml", r.head+more)
	r.running = runSidecar(t, sidecar.Options{File: r.file, Getenv: env{}.get})
	return r
}

// change puts other content into the file, at once.
func (r *reloadable) change(more string) {
	r.t.Helper()
	next := writeFile(r.t, r.t.TempDir(), "next", r.head+more)
	if err := os.Rename(next, r.file); err != nil {
		r.t.Fatal(err)
	}
}

// reload puts other content into the file and into force.
func (r *reloadable) reload(more string) {
	r.t.Helper()
	r.change(more)
	r.sidecar.Reload(r.t.Context(), nil)
}

func (r *running) get(path string) int {
	r.t.Helper()
	status, _ := ask(r.t, "tcp", r.public, path, "h", "")
	return status
}

func echoApp(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.RequestURI())
	}))
	t.Cleanup(app.Close)
	return app.URL
}

const oneRequest = "rate_limits: [{name: a, match: {paths: [/x]}, limit: 1, window: 1h}]\n"

func TestBadFileChangesNothingAndSaysSo(t *testing.T) {
	r := reloadableSidecar(t, echoApp(t), oneRequest)
	for rule, bad := range map[string]string{
		"an unknown key":           oneRequest + "colour: blue\n",
		"no YAML":                  "rate_limits: [",
		"a variable that is unset": oneRequest + "namespace: ${NOWHERE}\n",
		"a flag file with errors":  oneRequest + "flags: {source: nowhere.yaml}\n",
		"a store that cannot open": oneRequest + "webhooks: [{name: s, path: /s, provider: stripe, secrets: [whsec_hunter2]}]\ndata_dir: handrail.yaml\n",
	} {
		t.Run(rule, func(t *testing.T) {
			if strings.Contains(bad, "data_dir") {
				// data_dir is read at the start alone: make the running one useless.
				if err := os.WriteFile(filepath.Join(filepath.Dir(r.file), "handrail-data"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := len(r.log.String())
			r.reload(bad)
			log := r.log.String()[before:]
			if !strings.Contains(log, "configuration not reloaded, the one before stays") || strings.Contains(log, "configuration reloaded") {
				t.Errorf("log: %s", log)
			}
			if strings.Contains(log, "hunter2") {
				t.Errorf("a secret in the log: %s", log)
			}
			if body := health(t, r.running); !strings.Contains(body, `"configuration":"warning"`) {
				t.Errorf("health: %s", body)
			}
			if status := r.get("/y"); status != 200 {
				t.Errorf("requests: %d", status)
			}
			r.reload(oneRequest)
			if body := health(t, r.running); strings.Contains(body, "configuration") {
				t.Errorf("health after a good file: %s", body)
			}
		})
	}
	if first, second := r.get("/x"), r.get("/x"); first != 200 || second != 429 {
		t.Errorf("the rules of the first file: %d, %d", first, second)
	}
}

func TestGoodFileIsInForceAtOnce(t *testing.T) {
	r := reloadableSidecar(t, echoApp(t), "rate_limits: []\n")
	if status := r.get("/a%2fb"); status != 400 {
		t.Fatalf("before: %d", status)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer other.Close()
	r.head = strings.Replace(r.head, "upstream: {url: ", "upstream: {url: '"+other.URL+"' } #", 1)
	r.reload("rate_limits: [{name: n, match: {paths: [/new]}, limit: 1, window: 1h}]\npaths: {encoded_slash: keep}\nhealth: {path: /up}\n")
	for path, want := range map[string]int{"/a%2fb": 418, "/new": 418, "/up": 503, "/health": 418} {
		if got := r.get(path); got != want && (path != "/up" || got != 200) {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := r.get("/new"); got != 429 {
		t.Errorf("the new limit: %d", got)
	}
}

func TestFlagsOfTheCommandLineStayInForce(t *testing.T) {
	app, none := echoApp(t), "none"
	file := writeFile(t, t.TempDir(), "handrail.yaml", "upstream: {url: 'http://127.0.0.1:1'}\ntrusted_proxies: [loopback]\nlisten: 127.0.0.1:0\nadmin: {listen: ''}\ndrain: {delay: 0s}\n"+oneRequest)
	r := runSidecar(t, sidecar.Options{File: file, Upstream: &app, TrustedProxies: &none, Getenv: env{}.get})
	r.sidecar.Reload(t.Context(), nil)
	for i, want := range []int{200, 429} {
		req, err := http.NewRequest("GET", "http://"+r.public+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
}

func TestCountsSurviveAReload(t *testing.T) {
	two := strings.Replace(oneRequest, "limit: 1", "limit: 2", 1)
	r := reloadableSidecar(t, echoApp(t), two)
	if status := r.get("/x"); status != 200 {
		t.Fatalf("the first: %d", status)
	}
	r.reload(two + "paths: {encoded_slash: keep}\n")
	if second, third := r.get("/x"), r.get("/x"); second != 200 || third != 429 {
		t.Errorf("after the reload: %d, %d; want 200, 429", second, third)
	}
	r.reload(strings.Replace(two, "limit: 2", "limit: 3", 1))
	if fourth, fifth := r.get("/x"), r.get("/x"); fourth != 200 || fifth != 429 {
		t.Errorf("with a higher limit: %d, %d; want 200, 429", fourth, fifth)
	}
}

func TestCountsSurviveAnotherNameOfTheService(t *testing.T) {
	r := reloadableSidecar(t, echoApp(t), oneRequest+"observe: {service: one}\n")
	if got := r.get("/x"); got != 200 {
		t.Fatalf("first: %d", got)
	}
	r.reload(oneRequest + "observe: {service: two}\n")
	if got := r.get("/x"); got != 429 {
		t.Errorf("after the service was renamed: %d", got)
	}
	r.reload(oneRequest + "namespace: three\n")
	if got := r.get("/x"); got != 429 {
		t.Errorf("in another namespace: %d", got)
	}
}

// A store that only the new configuration has is one after a restart.
func TestAReloadLeavesDeliveriesWhereTheyAre(t *testing.T) {
	const hook = oneRequest + "webhooks: [{name: s, path: /s, provider: stripe, secrets: [whsec_x]}]\n"
	r := reloadableSidecar(t, echoApp(t), hook)
	r.reload(strings.Replace(hook, "limit: 1", "limit: 2", 1) + "redis: 'redis://127.0.0.1:1'\n")
	if first, second := r.get("/x"), r.get("/x"); first != 200 || second != 200 {
		t.Errorf("the rest is not in force: %d, %d", first, second)
	}
	if status, _ := ask(t, "tcp", r.public, "POST /s", "h", ""); status != 400 {
		t.Errorf("a delivery without a signature: %d", status)
	}
}

func TestRequestsInFlightFinishInTheConfigurationTheyBeganIn(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "first ")
		_ = http.NewResponseController(w).Flush()
		close(entered)
		<-leave
		fmt.Fprint(w, "last")
	}))
	defer app.Close()
	r := reloadableSidecar(t, app.URL, "rate_limits: []\n")
	got := make(chan string, 1)
	go func() {
		_, body := ask(t, "tcp", r.public, "/slow", "h", "")
		got <- body
	}()
	<-entered
	r.head = strings.Replace(r.head, app.URL, echoApp(t), 1)
	for range 3 {
		r.reload("rate_limits: []\n")
	}
	if status := r.get("/new"); status != 200 {
		t.Errorf("a new request: %d", status)
	}
	close(leave)
	if body := <-got; body != "first last" {
		t.Errorf("the request in flight: %q", body)
	}
}

func TestKeysThatNeedARestartAreNamed(t *testing.T) {
	base := "metrics: {listen: ''}\n"
	for key, change := range map[string]func(head, more string) (string, string){
		"listen": func(h, m string) (string, string) {
			return strings.Replace(h, "listen: 127.0.0.1:0", "listen: 127.0.0.2:0", 1), m
		},
		"admin":          func(h, m string) (string, string) { return strings.Replace(h, "admin:", "#admin:", 1), m },
		"metrics":        func(h, _ string) (string, string) { return h, "metrics: {listen: '127.0.0.1:0'}\n" },
		"environment":    func(h, m string) (string, string) { return h, m + "environment: staging\n" },
		"redis":          func(h, m string) (string, string) { return h, m + "redis: redis://127.0.0.1:1\n" },
		"database":       func(h, m string) (string, string) { return h, m + "database: postgres://127.0.0.1:1/x\n" },
		"data_dir":       func(h, m string) (string, string) { return h, m + "data_dir: elsewhere\n" },
		"flags.source":   func(h, m string) (string, string) { return h, m + "flags: {source: other.yaml}\n" },
		"env.schema":     func(h, m string) (string, string) { return h, m + "env: {schema: other.schema}\n" },
		"health.timeout": func(h, m string) (string, string) { return h, m + "health: {timeout: 90ms}\n" },
		"health.checks": func(h, m string) (string, string) {
			return h, m + "health: {checks: [{name: a, type: tcp, address: '127.0.0.1:1'}]}\n"
		},
		"observe.log.format": func(h, m string) (string, string) { return h, m + "observe: {log: {format: text}}\n" },
		"observe.release":    func(h, m string) (string, string) { return h, m + "observe: {release: r2}\n" },
	} {
		t.Run(key, func(t *testing.T) {
			r := reloadableSidecar(t, "http://127.0.0.1:1", base)
			writeFile(t, filepath.Dir(r.file), "other.yaml", "a: {rolloutPercentage: 1}\n")
			writeFile(t, filepath.Dir(r.file), "other.schema", "A=\n")
			head, more := change(r.head, base)
			r.head = head
			r.reload(more)
			log := r.log.String()
			if !strings.Contains(log, "a changed key takes effect after a restart") || !strings.Contains(log, key) || !strings.Contains(log, "configuration reloaded") {
				t.Errorf("log: %s", log)
			}
			if n := strings.Count(log, "after a restart"); n != 1 {
				t.Errorf("%d keys named, want one: %s", n, log)
			}
		})
	}
}

func TestKeysThatDoNotNeedARestartAreNotNamed(t *testing.T) {
	r := reloadableSidecar(t, "http://127.0.0.1:1", "")
	r.reload(oneRequest + `
trusted_proxies: [private]
upstream: {url: "http://127.0.0.1:2", timeout: 2s, idle_timeout: 2s}
paths: {encoded_slash: keep}
underscore_headers: keep
forwarded_header: Forwarded
health: {path: /up}
drain: {delay: 1ms, timeout: 2s}
exec: {stop_timeout: 3s}
observe: {log: {level: warn}, routes: ["/users/{id}"]}
webhooks: [{name: s, path: /s, provider: stripe, secrets: [x], store: memory}]
`)
	if log := r.log.String(); strings.Contains(log, "after a restart") {
		t.Errorf("log: %s", log)
	}
}

// The usual name is read when it is there; once it was, its end is no return to
// the defaults.
func TestRemovedFileChangesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	app := echoApp(t)
	e := env{"HANDRAIL_UPSTREAM": app, "HANDRAIL_LISTEN": "127.0.0.1:0", "HANDRAIL_ADMIN": "127.0.0.1:0"}
	writeFile(t, ".", "handrail.yaml", oneRequest+"drain: {delay: 0s}\n")
	r := runSidecar(t, sidecar.Options{Getenv: e.get})
	if status := r.get("/x"); status != 200 {
		t.Fatal(status)
	}
	if err := os.Remove("handrail.yaml"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word about it", func() bool {
		return strings.Contains(r.log.String(), "handrail.yaml: cannot be read: no such file or directory")
	})
	if status := r.get("/x"); status != 429 {
		t.Errorf("the rules are gone with the file: %d", status)
	}
	if body := health(t, r); !strings.Contains(body, `"configuration":"warning"`) {
		t.Errorf("health: %s", body)
	}
	writeFile(t, ".", "handrail.yaml", oneRequest+"drain: {delay: 0s}\n")
	eventually(t, "all is well again", func() bool { return !strings.Contains(health(t, r), "configuration") })
}

// As Kubernetes mounts a ConfigMap: a link to a link, swapped as a whole.
func TestSwappedDirectoryIsRead(t *testing.T) {
	dir := t.TempDir()
	version := func(name, more string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), "handrail.yaml", quietConfig+"drain: {delay: 0s}\n"+more)
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "rate_limits: []\n")
	file := filepath.Join(dir, "handrail.yaml")
	if err := os.Symlink(filepath.Join("..data", "handrail.yaml"), file); err != nil {
		t.Fatal(err)
	}
	r := runSidecar(t, sidecar.Options{File: file, Getenv: env{}.get})
	version("..2", "rate_limits: []\npaths: {encoded_slash: keep}\n")
	eventually(t, "the new version", func() bool { return r.get("/a%2fb") == http.StatusBadGateway })
}

// SIGHUP reads anew what the file refers to, although it did not change.
func TestSIGHUPReadsSecretsAnew(t *testing.T) {
	app := echoApp(t)
	dir := t.TempDir()
	writeFile(t, dir, "limit", "5\n")
	file := writeFile(t, dir, "handrail.yaml", "listen: 127.0.0.1:0\nadmin: {listen: ''}\ndrain: {delay: 0s}\nupstream: {url: '"+app+"'}\n"+
		strings.Replace(oneRequest, "limit: 1", `limit: "${file:limit}"`, 1))
	r := runSidecar(t, sidecar.Options{File: file, Getenv: env{}.get})
	if status := r.get("/x"); status != 200 {
		t.Fatal(status)
	}
	writeFile(t, dir, "limit", "1\n")
	r.signals <- syscall.SIGHUP
	eventually(t, "the new limit", func() bool { return r.get("/x") == 429 })
}

func TestReloadsUnderLoadFailNoRequest(t *testing.T) {
	r := reloadableSidecar(t, echoApp(t), "rate_limits: []\n")
	var requests atomic.Int64
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for i := range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				path := fmt.Sprintf("/%d/%d", i, requests.Add(1))
				resp, err := client.Get("http://" + r.public + path)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(body) != path {
					t.Errorf("%s: %d %q %v", path, resp.StatusCode, body, err)
					return
				}
			}
		})
	}
	var reloads sync.WaitGroup
	for i := range 3 {
		reloads.Go(func() {
			for j := range 20 {
				if i == 0 {
					r.change([]string{"rate_limits: []\n", "rate_limits: [", "rate_limits: []\npaths: {encoded_slash: keep}\n"}[j%3])
				}
				r.sidecar.Reload(t.Context(), nil)
			}
		})
	}
	reloads.Wait()
	eventually(t, "requests", func() bool { return requests.Load() > 100 || t.Failed() })
	stop()
	wg.Wait()
	t.Logf("%d requests during 60 reloads", requests.Load())
}

func TestReloadsLeaveNothingBehind(t *testing.T) {
	r := reloadableSidecar(t, echoApp(t), "rate_limits: []\n")
	use := func() {
		r.sidecar.Reload(t.Context(), nil)
		r.get("/")
	}
	for range 5 {
		use()
	}
	before := runtime.NumGoroutine()
	for range 100 {
		use()
	}
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// What a configuration file holds while it is being written is nobody's intention.
func TestAFileThatKeepsChangingIsNotReloaded(t *testing.T) {
	app := newRawApp(t)
	content := "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nupstream: {url: '" + app.url + "'}\ndrain: {delay: 0s}\n"
	file := writeFile(t, t.TempDir(), "handrail.yaml", content)
	r := runSidecar(t, sidecar.Options{File: file, Getenv: env{}.get})
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		out, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Close()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = fmt.Fprintf(out, "# %d\nno_such_key: 1\n", i)
			}
		}
	})
	defer writing.Wait()
	defer close(done)
	eventually(t, "said", func() bool {
		_, body := ask(t, "tcp", r.admin, "/health?verbose", "127.0.0.1", "")
		return strings.Contains(body, "the file keeps changing")
	})
}
