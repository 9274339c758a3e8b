package testenv_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

// recorder is a testing.TB that remembers how it ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.ended = "skip: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.ended = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestMissingServer(t *testing.T) {
	tests := []struct{ rule, env, want string }{
		{"plain go test skips", "", "skip: "},
		{"another value of the variable skips", "optional", "skip: "},
		{"make test fails", "required", "fatal: "},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Setenv(testenv.RequiredEnv, tt.env)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				testenv.Find(r, "no-such-program-anywhere", "Example Server")
			}()
			<-done
			if !strings.HasPrefix(r.ended, tt.want) {
				t.Errorf("ended with %q, want %q", r.ended, tt.want)
			}
			for _, part := range []string{"Example Server", "make deps"} {
				if !strings.Contains(r.ended, part) {
					t.Errorf("%q does not say %q", r.ended, part)
				}
			}
		})
	}
}

// helperEnv makes TestHelperProcess start servers and wait to be killed.
const helperEnv = "HANDRAIL_TESTENV_HELPER"

func TestHelperProcess(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		t.Skip("only a process for TestServersEndWithAKilledTest to kill")
	}
	addrs := append(testenv.RedisCluster(t).Addrs(), testenv.Redis(t).Addr(), testenv.Postgres(t).Addr())
	fmt.Println("servers", strings.Join(addrs, " "))
	select {}
}

func TestServersEndWithAKilledTest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a server that its test died")
	}
	testenv.Redis(t) // skips when it is missing
	testenv.Postgres(t)

	// What the killed process leaves lies in a directory of ours, which the
	// user who runs PostgreSQL may enter.
	dir, err := os.MkdirTemp("", "handrail-testenv-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	helper := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	helper.Env = append(os.Environ(), helperEnv+"=1", "TMPDIR="+dir)
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for lines := bufio.NewScanner(out); addrs == nil && lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "servers "); ok {
			addrs = strings.Fields(list)
		}
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // it was killed
	if len(addrs) != 5 {
		t.Fatalf("the helper started servers %v, want 5", addrs)
	}
	for _, addr := range addrs {
		awaitRefused(t, addr)
	}
}

// awaitRefused returns when nothing listens on addr.
func awaitRefused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still answers: %v", addr, err)
		}
		time.Sleep(time.Millisecond)
	}
}
