package health_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/health"
)

func TestTCPAndUnix(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := health.TCP(addr)(t.Context()); err != nil {
		t.Errorf("listening: %v", err)
	}
	l.Close()
	if health.TCP(addr)(t.Context()) == nil {
		t.Error("nobody listens, and it passes")
	}
	sock := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := health.Dial("unix", sock)(t.Context()); err != nil {
		t.Errorf("unix: %v", err)
	}
}

func TestHTTP(t *testing.T) {
	status := 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	check := health.HTTP(srv.URL + "/up?token=hunter2hunter2")
	for _, tt := range []struct {
		status int
		ok     bool
	}{{200, true}, {204, true}, {302, true}, {400, false}, {404, false}, {500, false}, {503, false}} {
		status = tt.status
		if err := check(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%d: %v", tt.status, err)
		}
	}
	srv.Close()
	for _, c := range []func() error{
		func() error { return check(t.Context()) },
		func() error { return health.HTTP("http://user:hunter2hunter2@127.0.0.1:99999/")(t.Context()) },
		func() error { return health.HTTP(":hunter2hunter2")(t.Context()) },
	} {
		if err := c(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want an error without the URL, got %v", err)
		}
	}
}

func TestMemoryAgainstTheLimitOfItsCgroup(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	for _, tt := range []struct {
		rule string
		fs   fstest.MapFS
		warn bool
		want string // in the draft's shape
	}{
		{"no cgroups: ok, nothing observed", fstest.MapFS{}, false, `"mem"`},
		{"v2 without limit: no percentage", fstest.MapFS{
			"proc/self/cgroup":             file("0::/"),
			"sys/fs/cgroup/memory.current": file("1000"),
			"sys/fs/cgroup/memory.max":     file("max"),
			"sys/fs/cgroup/memory.stat":    file("anon 1\ninactive_file 400"),
		}, false, `"mem:workingSet":[{"componentType":"component","observedValue":600,"observedUnit":"bytes"`},
		{"v2: inactive file cache does not count", fstest.MapFS{
			"proc/self/cgroup":             file("0::/"),
			"sys/fs/cgroup/memory.current": file("1000"),
			"sys/fs/cgroup/memory.max":     file("1000"),
			"sys/fs/cgroup/memory.stat":    file("inactive_file 500"),
		}, false, `"mem:utilization":[{"componentType":"component","observedValue":50,"observedUnit":"percent"`},
		{"v2: the limit of a parent counts", fstest.MapFS{
			"proc/self/cgroup":                 file("0::/a/b"),
			"sys/fs/cgroup/a/b/memory.current": file("10"),
			"sys/fs/cgroup/a/b/memory.max":     file("max"),
			"sys/fs/cgroup/a/memory.current":   file("95"),
			"sys/fs/cgroup/a/memory.max":       file("100"),
		}, true, `"observedValue":95,`},
		{"v2: the host's path within a container", fstest.MapFS{
			"proc/self/cgroup":             file("0::/kubepods/pod1/c1"),
			"sys/fs/cgroup/memory.current": file("50"),
			"sys/fs/cgroup/memory.max":     file("100"),
		}, false, `"observedValue":50,`},
		{"v1", fstest.MapFS{
			"proc/self/cgroup": file("5:cpu,cpuacct:/x\n4:memory:/docker/1"),
			"sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes": file("100"),
			"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": file("100"),
			"sys/fs/cgroup/memory/docker/1/memory.stat":           file("total_inactive_file 5"),
		}, true, `"observedValue":95,`},
		{"v1 without limit", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": file("100"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712"),
		}, false, `"mem:workingSet"`},
		{"more cache than usage is no underflow", fstest.MapFS{
			"sys/fs/cgroup/memory.current": file("10"),
			"sys/fs/cgroup/memory.max":     file("100"),
			"sys/fs/cgroup/memory.stat":    file("inactive_file 50"),
		}, false, `"observedValue":0,`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			check := health.MemoryIn(tt.fs)
			err := check(t.Context())
			var w health.Warning
			if errors.As(err, &w) != tt.warn || err != nil && !tt.warn {
				t.Errorf("got %v, want a warning: %v", err, tt.warn)
			}
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "mem", Func: check}}})
				defer start(t, m)()
				time.Sleep(time.Second)
				if body := poll(m.Handler(), "Accept", "application/health+json").Body.String(); !strings.Contains(body, tt.want) {
					t.Errorf("want %s in %s", tt.want, body)
				}
			})
		})
	}
	if err := health.Memory()(t.Context()); err != nil && !errors.As(err, new(health.Warning)) {
		t.Errorf("this machine: %v", err)
	}
}

func TestDiskNeverFails(t *testing.T) {
	if err := health.Disk(t.TempDir())(t.Context()); err != nil && !errors.As(err, new(health.Warning)) {
		t.Errorf("got %v", err)
	}
	if err := health.Disk(filepath.Join(t.TempDir(), "missing"))(t.Context()); !errors.As(err, new(health.Warning)) {
		t.Errorf("a missing directory: got %v, want a warning", err)
	}
}
