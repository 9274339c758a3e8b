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
	wrote atomic.Bool // a byte of the present request was, or is being, written
	deaf  atomic.Bool // the peer reads no more
}

// begin marks the start of a request.
func (c *conn) begin() { c.wrote.Store(false) }

func (c *conn) Write(p []byte) (int, error) {
	midway := c.wrote.Load()
	if c.deaf.Load() {
		if midway {
			return len(p), nil
		}
		return 0, syscall.EPIPE
	}
	c.wrote.Store(true)
	n, err := c.Conn.Write(p)
	switch {
	case err == nil:
	case n == 0 && !midway:
		c.wrote.Store(false)
	case errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET):
		c.deaf.Store(true)
		return len(p), nil
	}
	return n, err
}

// CloseWrite ends the sending side, for upgraded connections.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
