package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
)

// serveRelay passes requests without a body to the app as they came, and the
// answers back, on one connection to the app for each client's: what the
// connections alone cost a program in Go.
func serveRelay(ctx context.Context, ln net.Listener, app string) error {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		client, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go relay(ctx, client, app) // until the client or the process ends
	}
}

func relay(ctx context.Context, client net.Conn, app string) {
	defer client.Close()
	upstream, err := new(net.Dialer).DialContext(ctx, "tcp", app)
	if err != nil {
		return
	}
	defer upstream.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := readUntil(client, buf, func(b []byte) (int, error) { return len(b), nil })
		if err != nil {
			return
		}
		if _, err := upstream.Write(buf[:n]); err != nil {
			return
		}
		if n, err = readUntil(upstream, buf, answerEnd); err != nil {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

var headerEnd = []byte("\r\n\r\n")

// readUntil reads one message: a header, and what end finds to belong to it.
func readUntil(r io.Reader, buf []byte, end func(header []byte) (int, error)) (int, error) {
	for n := 0; n < len(buf); {
		got, err := r.Read(buf[n:])
		if err != nil {
			return 0, err
		}
		n += got
		if at := bytes.Index(buf[:n], headerEnd); at >= 0 {
			if size, err := end(buf[:at+len(headerEnd)]); err != nil || n == size {
				return n, err
			}
		}
	}
	return 0, errors.New("relay: a message that is too long")
}

// answerEnd is the size of an answer with the given header.
func answerEnd(header []byte) (int, error) {
	const name = "Content-Length: "
	_, rest, ok := bytes.Cut(header, []byte(name))
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err := strconv.Atoi(string(value))
	if !ok || err != nil {
		return 0, errors.New("relay: an answer without a length")
	}
	return len(header) + length, nil
}
