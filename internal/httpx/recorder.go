package httpx

import (
	"bufio"
	"errors"
	"net"
	"net/http"
)

// A Recorder passes a response on and remembers its status and size. It
// implements Unwrap, so that http.ResponseController reaches what lies below.
// It does not implement io.ReaderFrom: io.Copy goes through Write, so that
// status and size are right at any moment, also when the source panics.
// It is meant for one request and is not safe for concurrent use.
type Recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
}

// NewRecorder wraps w.
func NewRecorder(w http.ResponseWriter) *Recorder {
	return &Recorder{ResponseWriter: w}
}

// Reset makes r record w from the start, for recorders kept in a pool.
func (r *Recorder) Reset(w http.ResponseWriter) {
	*r = Recorder{ResponseWriter: w}
}

// Status is the final status written, 101 included; 0 until there is one. A
// handler that returns at 0 leaves it to the server to answer 200.
func (r *Recorder) Status() int { return r.status }

// Bytes counts what the handler wrote of the body. For HEAD the server takes
// such bytes and drops them. What went through a hijacked connection is not
// counted.
func (r *Recorder) Bytes() int64 { return r.bytes }

// Wrote reports whether a final header was written.
func (r *Recorder) Wrote() bool { return r.status != 0 }

// Hijacked reports whether the connection was taken over.
func (r *Recorder) Hijacked() bool { return r.hijacked }

// Unwrap returns the ResponseWriter below.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational statuses other
// than 101 are passed on and not recorded, nor is a status that makes the
// writer below panic, since nothing was written then.
func (r *Recorder) WriteHeader(status int) {
	r.ResponseWriter.WriteHeader(status)
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// FlushError sends what is buffered; it writes the header first when needed,
// which counts as written even when the connection fails. The error is
// http.ErrNotSupported when the writer below cannot flush: nothing was written.
func (r *Recorder) FlushError() error {
	err := flush(r.ResponseWriter)
	if r.status == 0 && !errors.Is(err, http.ErrNotSupported) {
		r.status = http.StatusOK
	}
	return err
}

// flush is http.ResponseController's, which allocates, for the writers that
// need no unwrapping.
func flush(w http.ResponseWriter) error {
	switch w := w.(type) {
	case interface{ FlushError() error }:
		return w.FlushError()
	case http.Flusher:
		w.Flush()
		return nil
	}
	return http.NewResponseController(w).Flush()
}

// Flush implements http.Flusher. An error of the connection shows on the
// next Write.
func (r *Recorder) Flush() { _ = r.FlushError() }

// Hijack implements http.Hijacker. An upgrade that was not announced by
// WriteHeader is recorded as status 101.
func (r *Recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.hijacked = true
		if r.status == 0 {
			r.status = http.StatusSwitchingProtocols
		}
	}
	return conn, rw, err
}
