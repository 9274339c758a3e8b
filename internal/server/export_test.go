package server

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// A ReadRequest is a request as the server reads it, whole.
type ReadRequest struct {
	Request *http.Request
	Body    []byte
	BodyErr error
	Rest    []byte // what was read beyond it
}

// A Requests reads one request after the other from a connection.
type Requests struct {
	conn  *conn
	begun bool
}

// NewRequests reads from nc with generous limits.
func NewRequests(nc net.Conn, maxHeaderBytes int) *Requests {
	s := New(Config{
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute, ClientTimeout: time.Minute, RestTimeout: time.Minute,
		MaxHeaderBytes: maxHeaderBytes,
	})
	return &Requests{conn: newConn(s, nc)}
}

// Next reads one request. The status is that of the refusal, 0 when the
// connection ended instead.
func (q *Requests) Next() (read ReadRequest, status int, err error) {
	w := newResponse(q.conn)
	var framed http1.Body
	if err = q.conn.header(!q.begun); err == nil {
		framed, err = q.conn.request(w)
	}
	q.begun = true
	if err != nil {
		if e, ok := err.(*refusal); ok { //nolint:errorlint // as it was returned
			status = e.status
		}
		return read, status, err
	}
	b := &body{c: q.conn, w: w, r: &w.request, framed: framed}
	read.Request = &w.request
	if framed.Kind != http1.None {
		read.Body, read.BodyErr = io.ReadAll(b)
	}
	read.Rest = append(read.Rest, b.piece...)
	read.Rest = append(read.Rest, q.conn.in.unread()...)
	return read, 0, nil
}
