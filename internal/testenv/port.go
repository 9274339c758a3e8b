package testenv

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ports come from below the range that Linux (32768 up) and macOS (49152 up)
// give to outgoing connections, so that a server that was stopped finds its
// port free when it starts again. busOffset is where Redis Cluster listens for
// the other nodes, relative to a node's port; both stay below 32768.
const (
	lowestPort = 10240
	portCount  = 12000
	busOffset  = 10000
)

// handedOut counts the ports this process was given: a port is a resource of
// the process, and no two calls in it may get the same one.
var handedOut atomic.Uint32

// FreePort returns a loopback TCP port on which nothing listened a moment ago.
// One process never gets the same port twice (until it asked for thousands);
// another process may still take it before the caller does.
func FreePort(t testing.TB) int {
	t.Helper()
	return freePort(t, 0)
}

// freePort is FreePort for a port whose neighbour at port+offset is free, too.
func freePort(t testing.TB, offset int) int {
	t.Helper()
	// A stride by process id keeps test binaries that run side by side apart.
	start := os.Getpid() * 131
	for range portCount {
		port := lowestPort + (start+int(handedOut.Add(1)))%portCount
		if portFree(port) && (offset == 0 || portFree(port+offset)) {
			return port
		}
	}
	t.Fatalf("testenv: no free port among %d from %d", portCount, lowestPort)
	return 0
}

func portFree(port int) bool {
	l, err := net.Listen("tcp4", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
