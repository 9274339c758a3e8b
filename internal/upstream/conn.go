package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// A dialFunc opens a connection to the upstream that can carry HTTP at once.
type dialFunc func(ctx context.Context) (net.Conn, error)

func newDialer(t target, config Config) dialFunc {
	plain := &net.Dialer{Timeout: config.DialTimeout}
	if t.scheme != "https" {
		return func(ctx context.Context) (net.Conn, error) {
			return plain.DialContext(ctx, t.network, t.address)
		}
	}
	secure := &tls.Dialer{NetDialer: plain, Config: &tls.Config{
		RootCAs:    config.RootCAs,
		NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS12,
	}}
	return func(ctx context.Context) (net.Conn, error) {
		return secure.DialContext(ctx, t.network, t.address)
	}
}

// A conn is a connection that carries one HTTP/1.1 request at a time. It knows
// whether a byte of the present one was handed to the kernel.
//
// When the upstream stops reading in the middle of a request, the rest is
// dropped without an error: an upstream that refuses an upload answers first
// and then closes, and that answer is what the client should get. Reading tells
// whether there is one.
type conn struct {
	net.Conn
	ex     atomic.Pointer[exchange]    // the present one
	wrote  atomic.Pointer[atomic.Bool] // of the present request: a byte of it was, or is being, written
	heard  atomic.Pointer[atomic.Bool] // the wrote of the request after which bytes came last
	deaf   atomic.Bool                 // the peer reads no more
	last   atomic.Bool                 // the present request is its last one
	spoilt atomic.Bool                 // nothing on it can be trusted
}

// begin marks the start of a request, which learns through ex.wrote.
func (c *conn) begin(ex *exchange) {
	c.ex.Store(ex)
	c.wrote.Store(&ex.wrote)
}

// spoil ends the connection, for every request that has got hold of it.
func (c *conn) spoil() {
	c.spoilt.Store(true)
	_ = c.Close()
}

// surplus reports whether no byte has come since the request of wrote was
// written: what looks like its answer is what the one before has left over.
func (c *conn) surplus(wrote *atomic.Bool) bool { return c.heard.Load() != wrote }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		if wrote := c.wrote.Load(); wrote != nil && wrote.Load() {
			c.heard.Store(wrote)
		}
	}
	if err != nil && !errors.Is(err, net.ErrClosed) { // not by us
		if ex := c.ex.Load(); ex != nil {
			ex.hungUp()
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	wrote := c.wrote.Load()
	midway := wrote.Load()
	if c.deaf.Load() {
		if midway {
			return len(p), nil
		}
		return 0, syscall.EPIPE
	}
	wrote.Store(true)
	n, err := c.Conn.Write(p)
	switch {
	case err == nil:
	case n == 0 && !midway:
		wrote.Store(false)
	case errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET):
		c.deaf.Store(true)
		return len(p), nil
	}
	return n, err
}

// CloseWrite ends the sending side, for upgraded connections.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c any) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
