//go:build unix

package upstream_test

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used, in user and system mode: unlike the
// time on the clock, it is much the same on a busy machine.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
