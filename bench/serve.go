package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// serveCommand makes this program one of the servers of a run:
//
//	bench serve app|relay|tuned|default|deny|deny-answer LISTEN [APP]
const serveCommand = "serve"

func serve(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("serve: needs a kind and an address")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", args[1])
	if err != nil {
		return err
	}
	var handler http.Handler
	switch kind := args[0]; kind {
	case "app":
		return serveApp(ctx, ln)
	case "deny":
		handler = http.HandlerFunc(denyOnly)
	case "deny-answer":
		handler = http.HandlerFunc(denyAnswer)
	case "relay", "tuned", "default":
		if len(args) < 3 {
			return errors.New("serve: needs the app's address")
		}
		if kind == "relay" {
			return serveRelay(ctx, ln, args[2])
		}
		if handler = newProxy(args[2]); kind == "tuned" {
			handler = newTunedProxy(args[2])
		}
	default:
		return fmt.Errorf("serve: unknown kind %q", kind)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newProxy(app string) *httputil.ReverseProxy {
	target := &url.URL{Scheme: "http", Host: app}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// newTunedProxy is what its documentation leads to: buffers are used again, and
// no connection to the app is closed for lack of a place to wait.
func newTunedProxy(app string) *httputil.ReverseProxy {
	p := newProxy(app)
	p.BufferPool = new(bufferPool)
	p.Transport = &http.Transport{
		MaxIdleConnsPerHost: maxConns, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
	}
	return p
}

// bufferPool is an httputil.BufferPool that allocates nothing once it is warm.
type bufferPool struct{ free sync.Pool }

const bufferBytes = 32 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.free.Get().(*[bufferBytes]byte); ok {
		return b[:]
	}
	return make([]byte, bufferBytes)
}

func (p *bufferPool) Put(b []byte) { p.free.Put((*[bufferBytes]byte)(b)) }

func denyOnly(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusTooManyRequests)
}

// denyAnswer writes what the sidecar answers, and works none of it out.
func denyAnswer(w http.ResponseWriter, _ *http.Request) {
	const body = `{"error":"rate_limited"}` + "\n"
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Type", "application/json")
	h.Set("RateLimit", `"api";r=0;t=3600`)
	h.Set("RateLimit-Policy", `"api";q=1;w=3600`)
	h.Set("Retry-After", "3600")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", "019a0000-0000-7000-8000-000000000000")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = io.WriteString(w, body)
}

// answerBytes is the size of the app's answers, without the header.
const answerBytes = 1024

// echoPath is answered with the request's header, for a look at what an app is
// told.
const echoPath = "/api/echo"

// serveApp is the app behind every peer: as little work as possible, so that
// what is measured is the peer. It reads requests without a body and answers
// 1 KiB of JSON, on connections that stay open.
func serveApp(ctx context.Context, ln net.Listener) error {
	answer := message("application/json", `{"data":"`+strings.Repeat("x", answerBytes-len(`{"data":""}`))+`"}`)
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go serveAppConn(conn, answer) // until the peer or the process ends
	}
}

func serveAppConn(conn net.Conn, answer []byte) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 8<<10)
	for {
		var echo []byte
		line, err := in.ReadSlice('\n')
		if bytes.HasPrefix(line, []byte("GET "+echoPath+" ")) {
			echo = []byte{}
		}
		for err == nil && len(line) > len("\r\n") {
			if echo != nil {
				echo = append(echo, line...)
			}
			line, err = in.ReadSlice('\n')
		}
		if err != nil {
			return
		}
		out := answer
		if echo != nil {
			out = message("text/plain", string(echo))
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func message(contentType, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
}
