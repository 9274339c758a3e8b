package sidecar

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A drainListener can be closed without losing a connection that the system
// has accepted already: closing a listener resets those that still wait to be
// handed to the program.
type drainListener struct {
	*net.TCPListener
	drained chan struct{} // closed once no more connections come

	empty chan struct{} // closed once Accept has handed out all of them
	once  sync.Once

	mu      sync.Mutex
	waiting []net.Conn // what waited when it was drained
}

func newDrainListener(ln *net.TCPListener) *drainListener {
	return &drainListener{TCPListener: ln, drained: make(chan struct{}), empty: make(chan struct{})}
}

// Accept returns what was waiting after Drain, then net.ErrClosed.
func (l *drainListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err == nil {
		return conn, nil
	}
	select {
	case <-l.drained:
	default:
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.once.Do(func() { close(l.empty) })
		return nil, net.ErrClosed
	}
	conn = l.waiting[0]
	l.waiting = l.waiting[1:]
	return conn, nil
}

// Drain takes what waits and stops listening, in two system calls that follow
// each other at once, and wakes Accept.
func (l *drainListener) Drain() {
	raw, err := l.SyscallConn()
	l.mu.Lock() // Accept waits for what is collected
	close(l.drained)
	if err == nil {
		_ = raw.Control(func(fd uintptr) {
			for {
				conn, err := acceptRaw(int(fd))
				if err != nil {
					break
				}
				if conn.RemoteAddr() == nil { // reset meanwhile
					_ = conn.Close()
					continue
				}
				l.waiting = append(l.waiting, conn)
			}
			_ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR)
		})
	}
	l.mu.Unlock()
	_ = l.SetDeadline(time.Unix(1, 0))
}

// acceptRaw accepts without blocking: sockets of package net do not block.
func acceptRaw(listener int) (net.Conn, error) {
	syscall.ForkLock.RLock()
	fd, _, err := syscall.Accept(listener)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "accepted")
	defer file.Close() // FileConn works on a copy
	return net.FileConn(file)
}
