package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// States of a connection. One that was taken over is no longer the server's.
const (
	stateNew     int32 = iota // has had no request
	stateIdle                 // waits for the next one
	stateActive               // has one, from its first byte on
	stateLeaving              // was told to end while it waited; a request in hand is served
	stateEnding               // has none, and gets none
)

// A conn is one client's connection. Its goroutine owns it, and calls the
// handler.
type conn struct {
	server   *Server
	nc       net.Conn
	raw      syscall.RawConn // nil: cannot be looked at
	ctx      context.Context // that of its requests begin with
	remote   string
	accepted time.Time
	state    atomic.Int32
	in       input
	scan     headScan
	limits   limits
	watch    watch
	vector   [3][]byte
	buffers  net.Buffers // of vector, to be written
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, ctx: contextOf(nc), accepted: time.Now()}
	if remote := nc.RemoteAddr(); remote != nil { // nil: reset before it was accepted
		c.remote = remote.String()
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.scan.max = s.cfg.MaxHeaderBytes
	c.limits.nc = nc
	c.watch.conn = c
	return c
}

// serve serves one request after the other until the connection ends.
func (c *conn) serve() {
	taken := false
	defer func() { // also when a handler ends the goroutine
		c.watch.stop()
		c.server.forget(c)
		if !taken {
			_ = c.nc.Close()
		}
	}()
	for first := true; ; first = false {
		err := c.header(first)
		var w *response
		var framed http1.Body
		if err == nil {
			w = newResponse(c)
			framed, err = c.request(w)
		}
		if err != nil {
			if e, ok := errors.AsType[*refusal](err); ok {
				c.refuse(e)
			}
			return
		}
		next := w.serve(framed)
		if taken = w.hijacked.Load(); taken || !next || c.in.empty() && !c.idle() {
			return
		}
	}
}

// idle reports false when no further request is to be waited for.
func (c *conn) idle() bool {
	c.state.Store(stateIdle)
	return !c.server.ending.Load() || !c.endIdle()
}

// endIdle ends the connection if it is idle, and reports whether it was. One with
// a request on it that is not read yet is not; one that is just being read goes on
// to be served.
func (c *conn) endIdle() bool {
	if c.peek() == http1.Bytes {
		return false
	}
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	if !c.state.CompareAndSwap(stateIdle, stateLeaving) {
		return false
	}
	c.limits.abort()
	return true
}

// activate is called with the first bytes of a request in hand.
func (c *conn) activate() {
	if c.state.CompareAndSwap(stateIdle, stateActive) || c.state.CompareAndSwap(stateNew, stateActive) {
		return
	}
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	if c.state.CompareAndSwap(stateLeaving, stateActive) {
		c.limits.aborted = false
	}
}

// peek tells what there is to be read on the connection.
func (c *conn) peek() http1.Pending {
	p := http1.Unknown
	if c.raw != nil && c.raw.Control(func(fd uintptr) { p = http1.Peek(fd) }) != nil {
		p = http1.End
	}
	return p
}

// header reads the header of the next request. An error that is no *refusal
// needs no answer.
func (c *conn) header(first bool) error {
	cfg := &c.server.cfg
	c.scan.reset()
	wait := cfg.IdleTimeout
	if first {
		wait = cfg.HeaderTimeout
	}
	for skipped := first; ; {
		for c.in.empty() || !skipped && string(c.in.unread()) == "\r" {
			if err := c.fill(wait); err != nil {
				return err
			}
		}
		if skipped || !bytes.HasPrefix(c.in.unread(), crlf) {
			break
		}
		skipped = true // one empty line behind a body (RFC 9112 section 2.2)
		c.in.r += len(crlf)
	}
	c.activate()
	var until time.Time
	if first {
		until = c.accepted.Add(cfg.HeaderTimeout)
	}
	for {
		done, err := c.scan.next(c.in.unread())
		if done || err != nil {
			return err
		}
		if until.IsZero() {
			until = time.Now().Add(cfg.HeaderTimeout)
		}
		if err := c.fill(time.Until(until)); err != nil {
			return err
		}
	}
}

// request makes w's request of the header that was read, and tells how its body
// ends.
func (c *conn) request(w *response) (http1.Body, error) {
	framed, err := c.scan.request(c.in.unread(), &w.request, &w.url)
	if err != nil {
		return framed, err
	}
	w.request.RemoteAddr = c.remote
	c.in.r += c.scan.fields.At
	if c.scan.fields.Cap() > maxKeptSpans {
		c.scan.fields = http1.Fields{}
	}
	return framed, nil
}

// maxKeptSpans bounds the room for fields that an idle connection keeps.
const maxKeptSpans = 64

// fill reads once into the buffer, within limit.
func (c *conn) fill(limit time.Duration) error {
	n, err := c.read(c.in.room(), limit)
	c.in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// read reads once, within limit.
func (c *conn) read(p []byte, limit time.Duration) (int, error) {
	if !c.limits.read(limit) {
		return 0, os.ErrDeadlineExceeded
	}
	return c.nc.Read(p)
}

// write writes what is in c.vector, within the limit.
func (c *conn) write(parts int) error {
	c.limits.write(c.server.cfg.ClientTimeout)
	var err error
	if parts == 1 {
		_, err = c.nc.Write(c.vector[0])
	} else {
		c.buffers = c.vector[:parts]
		_, err = c.buffers.WriteTo(c.nc)
	}
	clear(c.vector[:])
	return err
}

// call calls the handler and reports whether it returned as usual.
func (c *conn) call(w *response, r *http.Request) (returned bool) {
	defer func() {
		if returned {
			return
		}
		v := recover()
		w.abort()
		if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // as net/http compares
			c.server.cfg.Log.Error("panic", "value", v, "stack", string(debug.Stack()))
		}
	}()
	c.server.cfg.Handler.ServeHTTP(w, r)
	return true
}

// leave tells the request at hand, if there is one, that its client has gone.
func (c *conn) leave() { c.watch.leave() }

// linger lets a client that is still sending have the answer: closing a
// connection with something unread on it resets it (RFC 9112 section 9.6).
func (c *conn) linger() {
	c.state.Store(stateEnding)
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	rest := c.server.cfg.RestTimeout
	until := time.Now().Add(lingerTimes * rest)
	for {
		c.in.r = c.in.w
		if c.fill(min(rest, time.Until(until))) != nil {
			return
		}
	}
}

// lingerTimes RestTimeout are the most that a connection lives on after its last
// answer; RestTimeout is the most between two pieces of what is still sent.
const lingerTimes = 20

// reset makes the client see that what it got was not the whole.
func (c *conn) reset() {
	if tcp, ok := c.nc.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.nc.Close()
}

// limits are the deadlines of a connection. They are moved when a second, or a
// quarter of the limit, is gained at least: a connection that is busy moves them
// once a second, and a time limit may be short by as much.
type limits struct {
	nc net.Conn

	mu      sync.Mutex
	reads   time.Time // as they were set; zero: none
	writes  time.Time
	asked   [2]time.Time // by the handler, for reads and writes; zero: not
	aborted bool
}

const slack = time.Second

// read sets the deadline of the next read. It reports false when reading was
// aborted.
func (l *limits) read(limit time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted {
		return false
	}
	if until := earlier(time.Now().Add(limit), l.asked[0]); moves(l.reads, until, limit) {
		l.reads = until
		_ = l.nc.SetReadDeadline(until)
	}
	return true
}

// write sets the deadline of the next write.
func (l *limits) write(limit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := earlier(time.Now().Add(limit), l.asked[1]); moves(l.writes, until, limit) {
		l.writes = until
		_ = l.nc.SetWriteDeadline(until)
	}
}

func earlier(t, asked time.Time) time.Time {
	if !asked.IsZero() && asked.Before(t) {
		return asked
	}
	return t
}

func moves(from, to time.Time, limit time.Duration) bool {
	gained := to.Sub(from)
	return from.IsZero() || gained < 0 || gained >= min(slack, limit/4)
}

// askRead sets a deadline that no read goes beyond, until the next request.
func (l *limits) askRead(until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[0] = until; until.IsZero() || l.aborted {
		return nil
	}
	l.reads = until
	return l.nc.SetReadDeadline(until)
}

// askWrite is askRead for writes.
func (l *limits) askWrite(until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[1] = until; until.IsZero() {
		return nil
	}
	l.writes = until
	return l.nc.SetWriteDeadline(until)
}

// forget drops what the handler asked for.
func (l *limits) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = [2]time.Time{}
}

// abortRead ends a read that waits, and all others until resumeRead.
func (c *conn) abortRead() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abort()
}

func (l *limits) abort() {
	l.aborted = true
	l.reads = time.Unix(1, 0)
	_ = l.nc.SetReadDeadline(l.reads)
}

func (c *conn) resumeRead() {
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	c.limits.aborted = false
}
