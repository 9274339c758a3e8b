package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// appCommand makes this program the app of a run:
//
//	webhooks app LISTEN
const appCommand = "app"

const (
	// waitHeader is how long the app takes, as in "300ms".
	waitHeader = "X-Bench-Wait"
	// callsPath is answered with the number of calls so far.
	callsPath = "/calls"
)

func listenApp(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return serveApp(ctx, ln)
}

// serveApp is the app: as little work as possible. It counts requests by POST,
// which it reads and answers with status 200 and a small body.
func serveApp(ctx context.Context, ln net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	calls := new(atomic.Int64)
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() { // until the peer or the process ends
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 8<<10)
			for err == nil {
				err = answerOne(in, conn, calls)
			}
		}()
	}
}

func answerOne(in *bufio.Reader, out io.Writer, calls *atomic.Int64) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	call := bytes.HasPrefix(line, []byte("POST "))
	count := bytes.HasPrefix(line, []byte("GET "+callsPath+" "))
	h, err := readHeader(in)
	if err != nil {
		return err
	}
	if call && h.length < 0 {
		return errors.New("a body without a length")
	}
	if _, err := in.Discard(max(h.length, 0)); err != nil {
		return err
	}
	body := `{"received":true}`
	switch {
	case call:
		calls.Add(1)
		time.Sleep(h.wait)
	case count:
		body = strconv.FormatInt(calls.Load(), 10)
	}
	_, err = fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// header is what the app and the client of a run look at.
type header struct {
	length int // of the body; -1 when it is not given
	wait   time.Duration
	mark   string // Handrail-Webhook
	closes bool   // the connection
}

func readHeader(in *bufio.Reader) (header, error) {
	h := header{length: -1}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !ok {
			return h, nil // the empty line
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			h.length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte(waitHeader)):
			h.wait, err = time.ParseDuration(string(value))
		case bytes.EqualFold(name, []byte("Handrail-Webhook")):
			h.mark = string(value)
		case bytes.EqualFold(name, []byte("Connection")):
			h.closes = bytes.EqualFold(value, []byte("close"))
		}
		if err != nil {
			return h, err
		}
	}
}

// callsOf asks the app how often it was called.
func callsOf(ctx context.Context, addr string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+callsPath, nil)
	if err != nil {
		return 0, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
