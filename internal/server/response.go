package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// pending is how much of an answer of unknown length is held back: one that is
// shorter gets a Content-Length.
const pending = 2 << 10

// A response is the answer to one request. It is never used for another: what a
// handler leaves behind on some goroutine cannot write into a stranger's.
type response struct {
	c      *conn
	body   *body // nil: none
	header http.Header
	isHead bool // of the request, which handlers may change
	isOld  bool // it is HTTP/1.0

	hijacked atomic.Bool // set with mu held

	mu      sync.Mutex
	over    bool // the handler has returned
	asked   bool // a 100 was sent, or none can be any more
	status  int  // 0: not written yet
	head    head
	ending  http1.Kind // of the answer's body, once head is complete
	length  int64      // announced; -1: not
	written int64
	out     *[]byte // what goes out next, not yet complete unless head is
	held    *[]byte // the body so far, while its end is not decided; nil: nothing
	err     error   // of the connection

	request http.Request
	url     url.URL // of request, where it is a plain one
}

func newResponse(c *conn) *response {
	return &response{c: c, header: make(http.Header, 8), length: -1}
}

// serve calls the handler for w.request and sends what is left of the answer. It
// reports whether the connection can carry another.
func (w *response) serve(framed http1.Body) bool {
	c := w.c
	ctx, cancel := context.WithCancel(c.ctx)
	w.request = *w.request.WithContext(ctx)
	r := &w.request
	r.Body = http.NoBody
	w.isHead, w.isOld, w.head.close = r.Method == http.MethodHead, r.ProtoMinor == 0, r.Close
	if framed.Kind != http1.None {
		b := &body{c: c, w: w, r: r, framed: framed}
		_, b.expects = r.Header["Expect"]
		b.expects = b.expects && !w.isOld
		w.body, r.Body = b, b
	}
	c.watch.begin(cancel, w.body)
	returned := c.call(w, r)
	c.watch.end()
	if w.hijacked.Load() {
		return false
	}
	whole := returned && w.finish()
	if w.hijacked.Load() {
		return false
	}
	c.limits.forget()
	if w.body != nil {
		w.body.takeBack()
	}
	switch {
	case !whole:
		return false
	case w.head.close || w.body != nil && !w.body.rest():
		c.linger()
		return false
	}
	return true
}

// abort ends an answer of which not all came: what there is goes out, unless
// that would look like the whole, and the client sees that it was cut.
func (w *response) abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	switch {
	case w.hijacked.Load() || !w.head.complete:
	case w.ending == http1.UntilClose:
		w.c.reset()
	case w.ending == http1.Chunked || w.written < w.length && !w.isHead:
		w.send()
	}
	w.release(&w.out)
	w.release(&w.held)
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. A second final status is ignored.
func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *response) writeHeader(status int) {
	switch {
	case w.over || w.hijacked.Load() || w.status != 0:
	case status < 100 || status > 999:
		panic(fmt.Sprintf("server: invalid status %d", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status)
	default:
		w.status, w.asked = status, true
		w.out = w.c.server.buffers.get()
		w.length = w.announcedLength()
		*w.out = w.head.begin(*w.out, status, w.header)
	}
}

// announcedLength is what the handler says; one that is malformed is dropped.
func (w *response) announcedLength() int64 {
	values := w.header["Content-Length"]
	if len(values) == 0 {
		return -1
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || len(values) > 1 || !http1.IsDigit(values[0][0]) {
		delete(w.header, "Content-Length")
		return -1
	}
	return int64(n)
}

// inform sends an informational answer at once. HTTP/1.0 has none.
func (w *response) inform(status int) {
	if w.isOld {
		return
	}
	w.asked = w.asked || status == http.StatusContinue
	var h head
	b := h.begin(nil, status, w.header)
	w.send(append(b, "\r\n"...))
}

// sayContinue asks for the body.
func (w *response) sayContinue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked && !w.over && !w.hijacked.Load() {
		w.asked = true
		w.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked.Load() {
		return 0, http.ErrHijacked
	}
	if w.over {
		return 0, errOver
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, w.err
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		w.written -= int64(len(p))
		return 0, http.ErrContentLength
	}
	for rest := p; len(rest) > 0; {
		piece := rest[:min(len(rest), maxPiece)]
		if err := w.put(piece); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[len(piece):]
	}
	return len(p), nil
}

// maxPiece is the most that one time limit is for: a client that is slow, but
// takes that much in time, gets the whole.
const maxPiece = 64 << 10

var errOver = errors.New("server: the handler has returned")

// put takes a piece of the body: into a buffer, or out.
func (w *response) put(p []byte) error {
	if !w.head.complete {
		if (w.length < 0 || w.head.guesses()) && w.heldBytes()+len(p) <= pending {
			w.hold(p)
			return nil
		}
		w.complete(p, false)
	}
	switch {
	case w.isHead || w.err != nil:
		return w.err
	case w.ending == http1.Chunked:
		w.chunk(p)
	case len(*w.out)+len(p) <= smallBuffer:
		*w.out = append(*w.out, p...)
	default:
		w.send(p)
	}
	return w.err
}

// sniffed is how much http.DetectContentType looks at.
const sniffed = 512

func (w *response) heldBytes() int {
	if w.held == nil {
		return 0
	}
	return len(*w.held)
}

func (w *response) hold(p []byte) {
	if w.held == nil {
		w.held = w.c.server.buffers.get()
	}
	*w.held = append(*w.held, p...)
}

// chunk adds one chunk.
func (w *response) chunk(p []byte) {
	b := strconv.AppendUint(*w.out, uint64(len(p)), 16)
	b = append(b, "\r\n"...)
	*w.out = b
	if len(b)+len(p)+2 <= smallBuffer {
		*w.out = append(append(b, p...), "\r\n"...)
		return
	}
	w.send(p, crlf)
}

var crlf = []byte("\r\n")

// send writes what is in out, and more, in one system call.
func (w *response) send(more ...[]byte) {
	if w.err != nil {
		return
	}
	parts := 0
	if w.out != nil && w.head.complete && len(*w.out) > 0 {
		w.c.vector[0], parts = *w.out, 1
	}
	for _, p := range more {
		w.c.vector[parts] = p
		parts++
	}
	if parts == 0 {
		return
	}
	w.err = w.c.write(parts)
	if w.out != nil && w.head.complete {
		*w.out = (*w.out)[:0]
	}
}

// complete decides how the body ends, and completes the header; first is what
// comes of the body, behind what is held, and final that nothing follows.
func (w *response) complete(first []byte, final bool) {
	held := []byte(nil)
	if w.held != nil {
		held = *w.held
	}
	if final && w.length < 0 && !w.head.trailers && bodyAllowed(w.status) &&
		(!w.isHead || len(held) > 0) {
		w.length = int64(len(held))
		w.head.announce = true
	}
	sample := held
	if w.head.guesses() {
		sample = append(slices.Clip(held), first[:min(len(first), sniffed)]...)
	}
	w.ending = w.endingOf()
	w.head.close = w.head.close || w.ending == http1.UntilClose ||
		w.c.server.ending.Load() || w.body != nil && w.body.awaited()
	*w.out = w.head.end(*w.out, w, sample)
	if !w.isHead && len(held) > 0 {
		if w.ending == http1.Chunked {
			w.chunk(held)
		} else {
			*w.out = append(*w.out, held...)
		}
	}
	w.release(&w.held)
}

// endingOf tells how the body ends (RFC 9112 section 6.3).
func (w *response) endingOf() http1.Kind {
	switch {
	case !bodyAllowed(w.status):
		return http1.None
	case w.length >= 0:
		return http1.Length
	case w.isHead:
		return http1.None
	case !w.isOld:
		return http1.Chunked
	}
	return http1.UntilClose
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// FlushError is for http.ResponseController: what was written goes out.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked.Load():
		return http.ErrHijacked
	case w.over:
		return errOver
	case w.status == 0:
		w.writeHeader(http.StatusOK)
	}
	if !w.head.complete {
		w.complete(nil, false)
	}
	w.send()
	return w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// finish ends the answer of a handler that returned, and reports whether all of
// it went out.
func (w *response) finish() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked.Load() {
		return false // on another goroutine, at the last moment
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	w.over = true
	if !w.head.complete {
		w.complete(nil, true)
	}
	whole := w.isHead || w.ending != http1.Length || w.written == w.length
	if w.ending == http1.Chunked && !w.isHead {
		*w.out = w.head.trailer(append(*w.out, "0\r\n"...), w.header)
	}
	w.send()
	w.release(&w.out)
	w.release(&w.held)
	return whole && w.err == nil
}

func (w *response) release(b **[]byte) {
	if *b != nil {
		w.c.server.buffers.put(*b)
		*b = nil
	}
}

// SetReadDeadline is for http.ResponseController: reads end at t at the latest,
// until the request is over.
func (w *response) SetReadDeadline(t time.Time) error { return w.deadline(t, w.c.limits.askRead) }

// SetWriteDeadline is SetReadDeadline for writes.
func (w *response) SetWriteDeadline(t time.Time) error { return w.deadline(t, w.c.limits.askWrite) }

func (w *response) deadline(t time.Time, ask func(time.Time) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.hijacked.Load() {
		return errOver
	}
	return ask(t)
}

// EnableFullDuplex is for http.ResponseController: it is never off.
func (w *response) EnableFullDuplex() error { return nil }
