package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// Config says what a Server does. Every time must be positive.
type Config struct {
	Handler http.Handler

	HeaderTimeout time.Duration // for a request's header, from its first byte, or from the start of a connection
	IdleTimeout   time.Duration // between the requests of a connection
	ClientTimeout time.Duration // for the client to send the next bytes of a body, or to take those of an answer
	RestTimeout   time.Duration // for the rest of a body that the handler left, before the connection ends

	MaxHeaderBytes int // of a request, its first line included

	// Log gets panics of the handler, other than http.ErrAbortHandler.
	Log *slog.Logger

	// OnRefused is told of what is not a request, with the address that it came
	// from and the status that answers it. Reason holds nothing of what the
	// client sent. May be nil.
	OnRefused func(remote string, status int, reason error)
}

// A Server serves HTTP/1.1 and 1.0. It is safe for concurrent use.
type Server struct {
	cfg     Config
	date    dateCache
	buffers bufferPool
	closed  atomic.Bool
	ending  atomic.Bool // no connection is kept any more

	mu        sync.Mutex
	conns     map[*conn]struct{}
	listeners map[net.Listener]struct{}
}

// New returns a Server that listens on nothing yet.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, conns: map[*conn]struct{}{}, listeners: map[net.Listener]struct{}{}}
}

// Limits of the pause after an Accept that failed, as for want of file
// descriptors.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections until ln is closed, and closes it. The error is
// http.ErrServerClosed after Close, else Accept's.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.listen(ln) {
		return http.ErrServerClosed
	}
	defer s.unlisten(ln)
	pause := minAcceptPause
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = minAcceptPause
			s.start(nc)
		case s.closed.Load():
			return http.ErrServerClosed
		case !passes(err):
			return err
		default:
			s.cfg.Log.Error("accept", "error", err, "pause", pause.String())
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// passes reports whether a later Accept may succeed: when memory or descriptors
// are short, when a firewall forbids, or with what was wrong with one connection
// alone, but not when the listener is none any more.
func passes(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	return errno != syscall.EBADF && errno != syscall.EINVAL && errno != syscall.ENOTSOCK
}

func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) unlisten(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// EndKeepAlive closes the connections that wait for a request, and every other
// one after its present answer. Connections that are new have their first
// request first.
func (s *Server) EndKeepAlive() {
	s.ending.Store(true)
	for _, c := range s.open() {
		c.endIdle()
	}
}

// Busy reports whether a request is under way, or may be about to come on a
// connection that is younger than grace and has had none. Connections that were
// taken over are their handler's.
func (s *Server) Busy(grace time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		switch c.state.Load() {
		case stateActive, stateLeaving:
			return true
		case stateNew:
			if time.Since(c.accepted) < grace || c.peek() == http1.Bytes {
				return true
			}
		case stateIdle: // one that was sent and is not read yet
			if c.peek() == http1.Bytes {
				return true
			}
		}
	}
	return false
}

// Close closes the listeners and all connections but those that were taken
// over, and cancels the requests on them. It does not wait for handlers.
func (s *Server) Close() error {
	s.closed.Store(true)
	s.mu.Lock()
	var errs []error
	for ln := range s.listeners {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.mu.Unlock()
	for _, c := range s.open() {
		_ = c.nc.Close() // which ends what waits for it
		c.leave()
	}
	return errors.Join(errs...)
}

func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

// contextOf is what the requests of a connection begin with: net/http's value
// for the address they came to.
func contextOf(nc net.Conn) context.Context {
	return context.WithValue(context.Background(), http.LocalAddrContextKey, nc.LocalAddr())
}
