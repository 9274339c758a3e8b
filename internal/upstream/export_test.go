package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// SetDial puts another dialer in the place of the real one.
func (p *Proxy) SetDial(dial func(context.Context) (net.Conn, error)) { p.dial = dial }

// LastForwarded is lastForwarded, for its fuzz test.
func LastForwarded(s, name string) string { return lastForwarded(s, name) }

// PriorForwarded is priorForwarded.
func PriorForwarded(lines []string) string { return priorForwarded(lines) }

// An Answer is a response as the lean engine reads it, whole.
type Answer struct {
	Status    int
	Header    http.Header
	Kind      string // none, length, chunked or close
	Length    int64  // with Kind length
	KeepAlive bool
	Body      []byte
	Announced []string
	Trailer   http.Header
	Rest      []byte // what had been read beyond it
}

// ReadAnswer reads an answer to a request with the given method.
func ReadAnswer(src io.Reader, method string) (Answer, error) {
	in := new(inboxes).get()
	a, err := in.answer(src, method)
	if err != nil {
		return Answer{}, err
	}
	kinds := map[http1.Kind]string{http1.None: "none", http1.Length: "length", http1.Chunked: "chunked", http1.UntilClose: "close"}
	out := Answer{Status: a.status, Header: a.header, Kind: kinds[a.body.Kind], KeepAlive: a.keepAlive, Announced: a.announced}
	if a.body.Kind == http1.Length {
		out.Length = int64(a.body.Left)
	}
	for !a.body.Over() {
		piece, used, err := a.body.Take(in.unread())
		in.r += used
		if err != nil {
			return Answer{}, err
		}
		out.Body = append(out.Body, piece...)
		if len(piece) > 0 || a.body.Over() {
			continue
		}
		err = in.fill(src)
		if errors.Is(err, io.EOF) && a.body.Kind == http1.UntilClose {
			break
		}
		if err != nil {
			return Answer{}, err
		}
	}
	out.Trailer, out.Rest = a.body.Trailer, in.unread()
	return out, nil
}

// Taken is how many connections of the lean engine are with requests, by its own
// account; 0 for others.
func Taken(p *Proxy) int {
	l, ok := p.engine.(*lean)
	if !ok {
		return 0
	}
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.pool.taken
}

// MaxIdle is maxIdleConns.
const MaxIdle = maxIdleConns

// IdleAfter puts the connections into a pool and returns how many it kept, and
// how to empty it.
func IdleAfter(conns []net.Conn) (kept int, closeIdle func()) {
	p := &linkPool{epoch: time.Now()}
	config := Config{}.withDefaults()
	p.taken = len(conns)
	for _, c := range conns {
		p.put(newLink(c, &config, p.epoch))
	}
	return len(p.idle), p.closeIdle
}
