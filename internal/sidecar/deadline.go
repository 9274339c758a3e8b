package sidecar

import (
	"bufio"
	"errors"
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
	restTimeout    = time.Second / 2   // for the rest of a body that nobody reads
	maxHeaderBytes = 64 << 10
)

// withDeadlines gives every read of the request's body and every write of the
// response its own deadline, so that a client that stops costs one connection
// for a minute. That includes what the server does by itself: before it sends
// an answer, and after the handler, it reads what is left of a short body.
func withDeadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &deadlineWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		if r.Body != nil && r.Body != http.NoBody {
			d.body = &deadlineBody{ReadCloser: r.Body, control: d.control}
			// A copy: the server goes by the type of its own request's body when
			// it decides whether to read on before it answers.
			inner := *r
			inner.Body = d.body
			r = &inner
		}
		next.ServeHTTP(d, r)
		d.end()
	})
}

// end is called when the handler has returned: the server may have to read what
// is left of the body, and to write what is left of the answer.
func (d *deadlineWriter) end() {
	if d.hijacked {
		return
	}
	if d.body != nil {
		d.body.end()
	}
	_ = d.control.SetWriteDeadline(time.Now().Add(clientTimeout))
}

type deadlineBody struct {
	io.ReadCloser
	control *http.ResponseController

	mu    sync.Mutex
	over  bool // read to its end
	ended bool // the handler has returned
}

// Read sets a deadline for the bytes to come.
func (b *deadlineBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.finish()
	}
	return n, err
}

// extend does nothing, and reports so, once the body is over, or the handler
// has returned: a proxy may still be reading then, and the connection belongs
// to the next request.
func (b *deadlineBody) extend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.ended {
		return false
	}
	_ = b.control.SetReadDeadline(time.Now().Add(clientTimeout))
	return true
}

// finish takes the deadline back at the end of the body: from there on the
// server reads ahead to see the client leave, and a deadline would look like
// that. After any other error it stays, for the server's own reading.
func (b *deadlineBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Time{})
	}
}

// end bounds the server's own reading of a body that the handler left: an
// answer such as 429 does not wait for a client that never sends it.
func (b *deadlineBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if !b.over {
		_ = b.control.SetReadDeadline(time.Now().Add(restTimeout))
	}
}

type deadlineWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	body     *deadlineBody // nil without one
	hijacked bool
}

// extend sets the deadline of the next write. Where the server may wait for the
// body first, the answer has its time after that.
func (d *deadlineWriter) extend() {
	deadline := time.Now().Add(clientTimeout)
	if d.body != nil && d.body.extend() {
		deadline = deadline.Add(clientTimeout)
	}
	_ = d.control.SetWriteDeadline(deadline)
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
