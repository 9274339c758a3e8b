package server_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func controllerRows() []row {
	return []row{
		answered("which interfaces a writer has", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			_, flusher := w.(http.Flusher)
			_, hijacker := w.(http.Hijacker)
			n.add("%v %v", flusher, hijacker)
			sayPlain(w, "ok")
		}),
		answered("all of it works", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			soon := time.Now().Add(time.Minute)
			n.add("%v %v %v", rc.EnableFullDuplex(), rc.SetReadDeadline(soon), rc.SetWriteDeadline(soon))
			sayPlain(w, "ok")
			n.add("%v", rc.Flush())
		}),
		{
			name: "a read deadline ends a read", send: "POST / HTTP/1.1\n" + host + "Content-Length: 5\nConnection: close\n\nhe",
			handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
				n.add("%v", http.NewResponseController(w).SetReadDeadline(time.Now().Add(20*time.Millisecond)))
				b, err := io.ReadAll(r.Body)
				n.add("%q %v", b, errors.Is(err, os.ErrDeadlineExceeded))
				sayPlain(w, "ok")
			},
		},
		answered("a read deadline does not reach the next request", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			n.add("%v", http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour)))
			sayPlain(w, "ok")
		}),
		answered("a write deadline that has passed", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			n.add("%v", rc.SetWriteDeadline(time.Now().Add(-time.Second)))
			sayPlain(w, "ok")
			n.add("%v", errors.Is(rc.Flush(), os.ErrDeadlineExceeded))
		}),
		answered("a write deadline that is taken back", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			n.add("%v %v", rc.SetWriteDeadline(time.Now().Add(-time.Second)), rc.SetWriteDeadline(time.Time{}))
			sayPlain(w, "ok")
			n.add("%v", rc.Flush())
		}),
		{
			name: "a read deadline that is taken back", send: "POST / HTTP/1.1\n" + host + "Content-Length: 5\n\nhello",
			handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				n.add("%v %v", rc.SetReadDeadline(time.Now().Add(-time.Second)), rc.SetReadDeadline(time.Time{}))
				b, err := io.ReadAll(r.Body)
				n.add("%q %v", b, err)
				sayPlain(w, "ok")
			},
		},
		answered("a second flush of nothing", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			n.add("%v %v", rc.Flush(), rc.Flush())
		}),
	}
}

func hijackRows() []row {
	take := func(before func(http.ResponseWriter)) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, r *http.Request) {
			if before != nil {
				before(w)
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				n.add("%v", err)
				return
			}
			defer conn.Close()
			_, err = w.Write([]byte("x"))
			n.add("write: %v", errors.Is(err, http.ErrHijacked))
			_, _, err = http.NewResponseController(w).Hijack()
			n.add("again: %v", errors.Is(err, http.ErrHijacked))
			w.WriteHeader(500)
			line, err := rw.ReadString('\n')
			n.add("ahead: %q %v, %d left", line, err, rw.Reader.Buffered())
			_, err = r.Body.Read(make([]byte, 1))
			n.add("body: %v", err != nil)
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")
			n.add("%v", rw.Flush())
		}
	}
	return []row{
		{name: "what was sent ahead is in the reader", send: getRoot + "ahead\nmore", handler: take(nil)},
		{
			name: "behind a body that was not read", send: "POST / HTTP/1.1\n" + host + "Content-Length: 7\n\nahead\nmore", handler: take(nil),
			differs: []string{"body: false", "body: true"}, why: "who took the connection reads it; the body is no second reader",
		},
		{name: "behind a part of chunks", send: "POST / HTTP/1.1\n" + host + "Transfer-Encoding: chunked\n\n7\nahead\n\n0\n\n", handler: take(nil)},
		{
			name: "behind a part of a chunk that was read", send: "POST / HTTP/1.1\n" + host + "Transfer-Encoding: chunked\n\n9\n12ahead\n\n0\n\n",
			handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadFull(r.Body, make([]byte, 2))
				n.add("%d %v", got, err)
				take(nil)(n, w, r)
			},
			differs: []string{"body: false", "body: true"}, why: "as above",
		},
		{name: "behind 101 by the server", send: getRoot + "ahead\n", answers: 2, handler: take(func(w http.ResponseWriter) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "x")
			w.WriteHeader(101)
		})},
		{
			name: "behind 101 with keep-alive among the options", send: getRoot + "ahead\n", answers: 2, handler: take(func(w http.ResponseWriter) {
				w.Header().Set("Connection", "keep-alive, Upgrade")
				w.Header().Set("Upgrade", "x")
				w.WriteHeader(101)
			}),
			differs: []string{"keep-alive, ", ""}, why: "keep-alive is the server's to say",
		},
		{name: "behind 101 to a request that asks for close", send: "GET / HTTP/1.1\n" + host + "Connection: Upgrade, close\n\nahead\n", answers: 2, handler: take(func(w http.ResponseWriter) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "x")
			w.WriteHeader(101)
		})},
		{name: "a long line sent ahead", send: getRoot + longLine + "\n", handler: take(nil)},
		{name: "a handler that panics with it", send: getRoot, handler: func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				defer conn.Close()
			}
			panic(http.ErrAbortHandler)
		}},
	}
}

var longLine = strings.Repeat("x", 10000)
