package upstream

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// headDelay is how long the header waits for the first piece of the body,
	// to go with it in one write.
	headDelay = 2 * time.Millisecond

	mostHead  = copyBufferSize / 2 // of a header that goes with a piece of the body
	chunkSize = len("7fff\r\n")    // of the line before a chunk, at most
	chunkTail = len("\r\n")
)

// An upload is the body of one request on its way to the upstream, on a
// goroutine that ends with the body, with the connection, or with the reading
// that the server stops.
type upload struct {
	link    *link
	body    *requestBody
	pool    *bufferPool
	buf     []byte
	base    int   // of the data in buf: the header and a chunk's size have room before it
	left    int64 // of the body to be sent; negative: it is sent in chunks
	expects bool  // the upstream is asked before the body is read

	started bool
	have    chan struct{} // closed when there is a first piece
	piece   piece

	next  chan step   // one, from the handler
	allow chan bool   // one: whether the body is wanted
	gone  atomic.Bool // all of it was sent
}

// A piece of a body, with its framing.
type piece struct {
	bytes []byte
	from  int   // in buf; negative: elsewhere
	last  bool  // it ends the body
	err   error // that ended the body after it, before its time
}

// A step tells the upload where to go on.
type step struct {
	conn net.Conn // nil: nowhere
	sent bool     // the first piece went with the header
}

func newUpload(c *call) *upload {
	u := &upload{
		link: c.link, body: c.body, pool: &c.lean.buffers, buf: c.lean.buffers.Get(),
		base: chunkSize, left: c.in.ContentLength, expects: c.expect.asked,
		have: make(chan struct{}), next: make(chan step, 1), allow: make(chan bool, 1),
	}
	if len(c.inbox.head) <= mostHead {
		u.base += len(c.inbox.head)
	}
	return u
}

// first returns what to send first: head, and the first piece of the body when
// that comes soon. It can be called again when nothing of it could be sent.
func (u *upload) first(head []byte) (message []byte, withPiece bool, err error) {
	if !u.started {
		u.started = true
		go u.run()
	}
	if u.expects {
		return head, false, nil
	}
	timer := time.NewTimer(headDelay)
	defer timer.Stop()
	select {
	case <-u.have:
	case <-timer.C:
		return head, false, nil
	}
	p := &u.piece
	switch {
	case p.err != nil && len(p.bytes) == 0:
		return nil, false, p.err
	case p.from < len(head):
		return head, false, nil
	}
	start := p.from - len(head)
	copy(u.buf[start:], head)
	return u.buf[start : p.from+len(p.bytes)], true, nil
}

// goOn sends the rest on conn, after the header; sent: the first piece is gone.
func (u *upload) goOn(conn net.Conn, sent bool) {
	if sent && u.piece.last {
		u.gone.Store(true)
	}
	u.next <- step{conn, sent}
}

// grant lets an upload begin that waits to be allowed to.
func (u *upload) grant() { u.say(true) }

// refuse keeps it from beginning.
func (u *upload) refuse() { u.say(false) }

func (u *upload) say(wanted bool) {
	select {
	case u.allow <- wanted:
	default: // the first word counts
	}
}

// giveUp ends an upload that waits for its handler.
func (u *upload) giveUp() {
	if !u.started {
		return
	}
	u.refuse()
	select {
	case u.next <- step{}:
	default:
	}
}

func (u *upload) run() {
	defer func() { u.pool.Put(u.buf) }()
	if !u.expects {
		u.piece = u.read()
		close(u.have)
	}
	to := <-u.next
	if to.conn == nil || u.expects && !u.allowed() {
		return
	}
	if u.expects {
		u.piece = u.read()
	}
	for p, sent := u.piece, to.sent; ; p, sent = u.read(), false {
		if !sent && len(p.bytes) > 0 {
			if _, err := to.conn.Write(p.bytes); err != nil {
				if !hungUp(err) { // else there may be an answer
					u.link.abort()
				}
				return
			}
		}
		switch {
		case p.err != nil:
			u.link.abort() // the request cannot be completed
			return
		case p.last:
			u.gone.Store(true)
			return
		}
	}
}

// allowed waits until the body is wanted, or was waited for long enough.
func (u *upload) allowed() bool {
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case wanted := <-u.allow:
		return wanted
	case <-timer.C:
		return true
	}
}

// read reads the next piece from the client.
func (u *upload) read() piece {
	data := u.buf[u.base : len(u.buf)-chunkTail]
	if u.left >= 0 {
		data = data[:min(int64(len(data)), u.left)]
	}
	n, err := u.body.Read(data)
	if u.left >= 0 {
		u.left -= int64(n)
		return u.sized(data[:n], err)
	}
	return u.chunk(data[:n], err)
}

func (u *upload) sized(data []byte, err error) piece {
	p := piece{bytes: data, from: u.base, last: u.left == 0}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if !p.last {
		p.err = err
	}
	return p
}

func (u *upload) chunk(data []byte, err error) piece {
	p := piece{from: u.base, last: errors.Is(err, io.EOF)}
	end := u.base + len(data)
	if len(data) > 0 {
		var size [chunkSize]byte
		line := append(strconv.AppendInt(size[:0], int64(len(data)), 16), "\r\n"...)
		p.from -= len(line)
		copy(u.buf[p.from:], line)
		end += copy(u.buf[end:], "\r\n")
	}
	p.bytes = u.buf[p.from:end]
	if p.last {
		p.bytes = appendTrailer(p.bytes, u.body.trailer)
		if len(p.bytes) > len(u.buf)-p.from {
			p.from = -1
		}
	} else {
		p.err = err
	}
	return p
}
