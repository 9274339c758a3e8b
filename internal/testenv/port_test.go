package testenv_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
)

const portsWanted = "HANDRAIL_TESTENV_PORTS"

func TestFreePortNeverRepeats(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port := testenv.FreePort(t)
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatalf("a free port that cannot be listened on: %v", err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}

// A process that is just being started has whatever was open when it was forked,
// until its own program runs.
func TestFreePortIsFreeWhileProcessesStart(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.CommandContext(t.Context(), "true").Run()
				}
			}
		})
	}
	defer starting.Wait()
	defer close(done)
	for range 500 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)))
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
}

// Test binaries of several packages run side by side, and nothing listens on
// their ports yet while they get them.
func TestFreePortOfSeveralProcessesNeverRepeats(t *testing.T) {
	seen := map[int]bool{}
	for range 4 {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPortsForAnotherProcess$")
		c.Env = append(os.Environ(), portsWanted+"=120")
		in, err := c.StdinPipe() // its end ends the process
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
		lines := bufio.NewReader(out)
		for range 120 {
			var port int
			if _, err := fmt.Fscanf(lines, "port %d\n", &port); err != nil {
				t.Fatal(err)
			}
			if seen[port] {
				t.Fatalf("port %d for two processes", port)
			}
			seen[port] = true
		}
	}
}

func TestPortsForAnotherProcess(t *testing.T) {
	var n int
	if _, err := fmt.Sscan(os.Getenv(portsWanted), &n); err != nil {
		return // not the process that is meant
	}
	for range n {
		fmt.Printf("port %d\n", testenv.FreePort(t))
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
}
