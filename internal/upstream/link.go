package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A link is a connection of the lean engine. It carries one request at a time,
// and none while it is in a pool.
type link struct {
	conn net.Conn // replaced at most before the first byte of an answer
	look look
	turn turn // of the present request
	dog  watchdog
	used bool // it has carried a request

	mu      sync.Mutex
	aborted bool

	idleSince time.Duration // since the epoch; guarded by the pool
}

// newLink returns a link whose times count from epoch.
func newLink(c net.Conn, config *Config, epoch time.Time) *link {
	k := &link{conn: c}
	k.look.at(c)
	k.dog.prepare(epoch, config.Timeout, config.IdleTimeout, k.abort)
	return k
}

// abort ends whatever waits for the link, for good.
func (k *link) abort() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.aborted = true
	_ = k.conn.SetDeadline(time.Unix(1, 0))
}

// replace puts c in the place of a connection that was found dead.
func (k *link) replace(c net.Conn) {
	k.mu.Lock()
	old := k.conn
	k.conn = c
	if k.aborted {
		_ = c.SetDeadline(time.Unix(1, 0))
	}
	k.mu.Unlock()
	k.look.at(c)
	_ = old.Close()
}

func (k *link) close() {
	k.dog.stop()
	_ = k.conn.Close() // what was on it is known, or lost
}

// readWithin reads, for a limited time. late: no byte came.
func (k *link) readWithin(p []byte, limit time.Duration) (n int, late bool, err error) {
	if n, again, err := k.look.read(p); !again {
		return n, false, err // the usual way, without a clock
	}
	if !k.readDeadline(time.Now().Add(limit)) {
		return 0, false, os.ErrDeadlineExceeded
	}
	n, err = k.conn.Read(p)
	if !k.readDeadline(time.Time{}) {
		return n, false, err
	}
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, true, nil
	}
	return n, false, err
}

// readDeadline reports false when the link was aborted, whose deadline stays.
func (k *link) readDeadline(t time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.aborted {
		_ = k.conn.SetReadDeadline(t)
	}
	return !k.aborted
}

// A look reads from a connection without waiting.
type look struct {
	raw   syscall.RawConn // nil: that is not possible
	into  []byte
	n     int
	again bool // nothing was there
	err   error
	probe [1]byte
	once  func(fd uintptr) bool
}

func (l *look) at(c net.Conn) {
	l.raw = nil
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			l.raw = raw
		}
	}
	if l.once == nil {
		l.once = func(fd uintptr) bool {
			l.n, l.again, l.err = readFD(fd, l.into)
			return true // do not wait
		}
	}
}

// read reads what is there. again: nothing is, or that cannot be told.
func (l *look) read(p []byte) (n int, again bool, err error) {
	if l.raw == nil {
		return 0, true, nil
	}
	l.into = p
	err = l.raw.Read(l.once)
	l.into = nil
	switch {
	case err != nil:
		return 0, false, err
	case l.err == nil && l.n == 0 && !l.again:
		return 0, false, io.EOF
	}
	return l.n, l.again, l.err
}

// usable reports whether a connection without a request can carry the next one:
// the upstream has neither closed it nor sent bytes that nobody asked for. A
// connection that cannot be looked at is taken to be usable.
func (l *look) usable() bool {
	_, again, err := l.read(l.probe[:])
	return again && err == nil
}
