package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Hijack implements http.Hijacker. What the client has sent ahead is in the
// reader. The connection has no deadlines then, and is no longer the server's.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.body != nil {
		w.body.takeBack() // not with mu held, which a reader may wait for
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked.Load():
		return nil, nil, http.ErrHijacked
	case w.over:
		return nil, nil, errOver
	}
	if w.status != 0 {
		if !w.head.complete {
			w.complete(nil, false)
		}
		w.send()
	}
	w.hijacked.Store(true)
	w.release(&w.out)
	w.release(&w.held)
	c := w.c
	c.watch.release()
	c.server.forget(c)
	_ = c.nc.SetDeadline(time.Time{})
	return c.nc, bufio.NewReadWriter(w.ahead(), bufio.NewWriterSize(c.nc, smallBuffer)), nil
}

// ahead is a reader of the connection with what has come already in its buffer.
func (w *response) ahead() *bufio.Reader {
	c := w.c
	text := string(c.in.unread())
	if w.body != nil {
		text = string(w.body.piece) + text
	}
	c.in = input{}
	if text == "" {
		return bufio.NewReaderSize(c.nc, smallBuffer)
	}
	r := bufio.NewReaderSize(io.MultiReader(strings.NewReader(text), c.nc), max(len(text), smallBuffer))
	_, _ = r.Peek(1)
	return r
}
