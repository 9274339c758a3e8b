package sidecar

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Timeouts of the listener. There is no total: uploads, streams and WebSockets
// live as long as bytes move.
const (
	headerTimeout  = 10 * time.Second  // for a request's header
	idleTimeout    = 120 * time.Second // between requests of a connection
	clientTimeout  = 60 * time.Second  // for the client to send or take the next bytes
	maxHeaderBytes = 64 << 10
)

// withDeadlines gives every read of the request's body and every write of the
// response its own deadline, so that a client that stops costs one connection
// for a minute.
func withDeadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &deadlineWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		if r.Body != nil && r.Body != http.NoBody {
			body := &deadlineBody{ReadCloser: r.Body, control: d.control}
			defer body.end()
			r.Body = body
		}
		next.ServeHTTP(d, r)
		if !d.hijacked {
			d.extend() // for what the server itself writes after the handler
		}
	})
}

type deadlineBody struct {
	io.ReadCloser
	control *http.ResponseController

	mu    sync.Mutex
	ended bool
}

// Read sets a deadline for the bytes to come. At the end of the body it is
// taken back: from there on the server reads ahead to see the client leave,
// and a deadline would look like that.
func (b *deadlineBody) Read(p []byte) (int, error) {
	b.set(time.Now().Add(clientTimeout))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.set(time.Time{})
	}
	return n, err
}

// set does nothing once the handler has returned: a proxy may still be reading
// then, and the connection belongs to the next request.
func (b *deadlineBody) set(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(t)
	}
}

func (b *deadlineBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

type deadlineWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	hijacked bool
}

func (d *deadlineWriter) extend() {
	_ = d.control.SetWriteDeadline(time.Now().Add(clientTimeout))
}

// Unwrap is for http.ResponseController.
func (d *deadlineWriter) Unwrap() http.ResponseWriter { return d.ResponseWriter }

func (d *deadlineWriter) WriteHeader(status int) {
	d.extend()
	d.ResponseWriter.WriteHeader(status)
}

func (d *deadlineWriter) Write(p []byte) (int, error) {
	d.extend()
	return d.ResponseWriter.Write(p)
}

// FlushError implements what http.ResponseController looks for.
func (d *deadlineWriter) FlushError() error {
	d.extend()
	return d.control.Flush()
}

// Hijack implements http.Hijacker. The deadlines end with it.
func (d *deadlineWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := d.control.Hijack()
	d.hijacked = d.hijacked || err == nil
	return conn, rw, err
}
