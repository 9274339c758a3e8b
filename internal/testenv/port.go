package testenv

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Ports come from below the range that Linux (32768 up) and macOS (49152 up)
// give to outgoing connections, so that a server that was stopped finds its
// port free when it starts again. They are dealt out in blocks: a process
// listens on the first port of a block for as long as it lives, which keeps
// the rest of the block from every other process that asks here.
//
// busOffset is where Redis Cluster listens for the other nodes, relative to a
// node's port: above all blocks, and below 32768.
const (
	lowestPort = 10240
	blockSize  = 50
	blockCount = 200
	busOffset  = blockSize * blockCount
)

var ports struct {
	sync.Mutex
	left   []int          // of the newest block, not handed out yet
	blocks int            // that were tried
	guards []net.Listener // never closed: they end with the process
}

// FreePort returns a loopback TCP port on which nothing listened a moment ago.
// No two calls get the same one, in this process or in another that runs now.
func FreePort(t testing.TB) int {
	t.Helper()
	return freePort(t, 0)
}

// freePort is FreePort for a port whose neighbour at port+offset is free, too.
func freePort(t testing.TB, offset int) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		if len(ports.left) == 0 && !takeBlock() {
			t.Fatalf("testenv: no free port among %d from %d", blockSize*blockCount, lowestPort)
		}
		port := ports.left[0]
		ports.left = ports.left[1:]
		if portFree(port) && (offset == 0 || portFree(port+offset)) {
			return port
		}
	}
}

// takeBlock is called with ports locked.
func takeBlock() bool {
	for ports.blocks < blockCount {
		first := lowestPort + blockSize*((os.Getpid()+ports.blocks)%blockCount)
		ports.blocks++
		guard, err := net.Listen("tcp4", loopback(first))
		if err != nil {
			continue
		}
		ports.guards = append(ports.guards, guard)
		for port := first + 1; port < first+blockSize; port++ {
			ports.left = append(ports.left, port)
		}
		return true
	}
	return false
}

// portFree listens for a moment. It lets no process be forked meanwhile: until
// the new one has replaced its program, it would hold the port as well.
func portFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return false
	}
	return errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 1),
		syscall.Close(fd),
	) == nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
