package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

var errStopped = errors.New("the answer came before the body")

// A requestBody is the client's body on its way to the upstream.
type requestBody struct {
	io.Reader // not its Close: httputil.ReverseProxy closes what it wrapped
	ex        *exchange
	trailer   http.Header // of the outbound request; filled at the end
	left      int64       // to come; negative: unknown
	touched   atomic.Bool // a byte of it may be gone
	ended     atomic.Bool // all of it was read

	reading chan struct{} // holds one token while the client is read from
	stopped bool          // by whoever has the token

	mu   sync.Mutex
	err  error
	busy bool // the client is read from
	cut  bool // the upstream has hung up
}

func newRequestBody(ex *exchange, out *http.Request) *requestBody {
	return &requestBody{
		Reader: out.Body, ex: ex, trailer: out.Trailer, left: out.ContentLength,
		reading: make(chan struct{}, 1),
	}
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.ex.refused() {
		// Reading would ask the client for the body, and failing would close
		// the connection below the answer.
		<-b.ex.Done()
		return 0, errStopped
	}
	b.reading <- struct{}{}
	defer func() { <-b.reading }()
	if b.stopped || !b.begin() {
		return 0, errStopped
	}
	b.touched.Store(true)
	if b.ex.expect.asked {
		b.ex.sayContinue()
	}
	b.ex.dog.bodyWait()
	n, err := b.Reader.Read(p)
	b.ex.dog.bodyMoved()
	if b.left > 0 {
		if b.left -= int64(n); b.left <= 0 {
			b.ended.Store(true)
		}
	}
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
		copyTrailer(b.trailer, b.ex.in.Trailer)
	}
	return n, b.over(err)
}

// begin reports whether the client may be read from.
func (b *requestBody) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = !b.cut
	return b.busy
}

// over notes how a read has ended.
func (b *requestBody) over(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case b.cut:
		return errStopped
	default:
		b.err = err
	}
	return err
}

// hangUp is called when the upstream has hung up without an answer: a client
// that pauses in its body is not waited for. http.Transport would.
func (b *requestBody) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut = b.err == nil && !b.ended.Load(); b.cut && b.busy {
		_ = http.NewResponseController(b.ex.w).SetReadDeadline(time.Unix(1, 0))
	}
}

func (b *requestBody) wasCut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

// Close does nothing, so that an unread body survives a failed attempt.
func (b *requestBody) Close() error { return nil }

// stop ends reading, and waits for a read that is under way, up to limit.
func (b *requestBody) stop(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case b.reading <- struct{}{}:
		b.stopped = true
		<-b.reading
	case <-timer.C: // a body that is not the connection's
	}
}

// failed returns the error that ended the body before its time.
func (b *requestBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// An answerBody is the upstream's body on its way to the client.
type answerBody struct {
	io.ReadCloser
	ex  *exchange
	res *http.Response // its trailer is complete at the end of the body
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.ex.dog.answerWait()
	n, err := b.ReadCloser.Read(p)
	b.ex.dog.answerMoved()
	if err != nil {
		b.ex.endConn()
	}
	switch {
	case errors.Is(err, io.EOF):
		removeReserved(b.ex.config, b.res.Trailer)
	case err != nil:
		b.ex.readErr = err
	}
	return n, err
}

// A tunnel is the upstream's side of an upgraded connection.
type tunnel struct {
	io.ReadWriteCloser
	ex *exchange
}

func (t *tunnel) Read(p []byte) (int, error) {
	t.ex.dog.answerWait()
	n, err := t.ReadWriteCloser.Read(p)
	t.ex.dog.answerWait()
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	t.ex.dog.answerWait()
	return t.ReadWriteCloser.Write(p)
}

// CloseWrite passes the client's half-close on.
func (t *tunnel) CloseWrite() error { return closeWrite(t.ReadWriteCloser) }

// An upgradeWriter knows whether the connection was taken over, and hands over
// what the client has sent ahead of the answer, which httputil.ReverseProxy
// would lose.
type upgradeWriter struct{ *httpx.Recorder }

// Hijack implements http.Hijacker.
func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.Recorder.Hijack()
	if err == nil && rw.Reader.Buffered() > 0 {
		c = &clientConn{Conn: c, ahead: rw.Reader}
	}
	return c, rw, err
}

// A clientConn is the client's side of an upgraded connection that has begun
// with bytes in a buffer.
type clientConn struct {
	net.Conn
	ahead *bufio.Reader // until it is empty
}

func (c *clientConn) Read(p []byte) (int, error) {
	if n := c.ahead.Buffered(); n > 0 {
		return c.ahead.Read(p[:min(n, len(p))])
	}
	return c.Conn.Read(p)
}

// CloseWrite passes the upstream's half-close on.
func (c *clientConn) CloseWrite() error { return closeWrite(c.Conn) }
