package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// A body is a request's, as its handler reads it. It may be read on another
// goroutine than the answer is written, also while the handler returns.
type body struct {
	c       *conn
	w       *response
	r       *http.Request // whose Trailer is filled at the end
	expects bool          // the client waits to be asked
	over    atomic.Bool   // all of it has come

	mu     sync.Mutex // held while the connection is read from
	framed http1.Body
	piece  []byte // of the connection's buffer, not read yet
	err    error  // what ended it
}

// Read implements io.Reader. A client that sends nothing for ClientTimeout ends
// the body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.expects {
		b.expects = false
		b.w.sayContinue()
	}
	n, err := b.read(p)
	b.err = err
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	limit := b.c.server.cfg.ClientTimeout
	for len(b.piece) == 0 {
		if n := b.framed.Plain(); n > 0 && b.c.in.empty() && len(p) >= smallBuffer/2 {
			return b.readThrough(p[:min(uint64(len(p)), n)], limit)
		}
		switch err := b.take(); {
		case err != nil:
			return 0, err
		case len(b.piece) > 0:
		case b.framed.Over():
			return 0, b.end()
		default:
			if err := b.c.fill(limit); err != nil {
				return 0, unexpected(err)
			}
		}
	}
	n := 0
	for { // all that is there, however small the chunks
		m := copy(p[n:], b.piece)
		b.piece = b.piece[m:]
		n += m
		if n == len(p) || b.c.in.empty() || b.take() != nil || len(b.piece) == 0 {
			break // an error comes again
		}
	}
	if len(b.piece) == 0 && b.framed.Over() {
		return n, b.end()
	}
	return n, nil
}

// readThrough reads into p, which is no longer than what needs no taking apart.
func (b *body) readThrough(p []byte, limit time.Duration) (int, error) {
	n, err := b.c.read(p, limit)
	b.framed.Skip(uint64(n))
	switch {
	case b.framed.Over():
		return n, b.end()
	case n > 0:
		return n, nil // the error comes again
	}
	return 0, unexpected(err)
}

// take finds the next piece in what the connection's buffer holds.
func (b *body) take() error {
	piece, used, err := b.framed.Take(b.c.in.unread())
	b.c.in.r += used
	b.piece = piece
	return err
}

// end marks the body as whole. Only what was announced counts as a trailer.
func (b *body) end() error {
	for name := range b.r.Trailer {
		b.r.Trailer[name] = b.framed.Trailer[name]
	}
	b.over.Store(true)
	return io.EOF
}

// unexpected is the error of a body that ends before its time.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close implements io.Closer. What is left is dealt with after the handler.
func (b *body) Close() error { return nil }

// takeBack ends reading for everybody but the connection, for which all errors
// but that of a body that is malformed are forgotten.
func (b *body) takeBack() {
	if !b.mu.TryLock() {
		b.c.abortRead() // one that goes on after the handler
		b.mu.Lock()
		b.c.resumeRead()
	}
	b.err = http.ErrBodyReadAfterClose
	b.mu.Unlock()
}

// awaited reports whether more of the body has to come than is worth reading on
// for, or than will come: the client was not asked, or the body has failed.
// While somebody reads, it is not.
func (b *body) awaited() bool {
	if b.over.Load() || !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.expects || b.err != nil || b.framed.Kind == http1.Length && b.framed.Left > maxRest
}

// maxRest is how much of a body is read for nobody, to keep the connection.
const maxRest = 256 << 10

// rest reads what is left, and reports whether that was all of it. The body was
// taken back.
func (b *body) rest() bool {
	if b.over.Load() {
		return true
	}
	until := time.Now().Add(b.c.server.cfg.RestTimeout)
	for n := 0; n < maxRest; {
		b.piece = nil
		if b.take() != nil {
			return false
		}
		n += len(b.piece)
		if b.framed.Over() {
			return true
		}
		if len(b.piece) == 0 && b.c.fill(time.Until(until)) != nil {
			return false
		}
	}
	return false
}
