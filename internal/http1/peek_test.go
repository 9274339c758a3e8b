//go:build unix

package http1_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// peeked looks until what is there is wanted: bytes take their time on loopback.
func peeked(t *testing.T, raw syscall.RawConn, want http1.Pending) {
	t.Helper()
	got := http1.Unknown
	for end := time.Now().Add(10 * time.Second); got != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := raw.Control(func(fd uintptr) { got = http1.Peek(fd) }); err != nil {
			t.Fatal(err)
		}
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPeek(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { _ = c.Close() },
		"half closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":       func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			raw, err := conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			peeked(t, raw, http1.Nothing)
			if _, err := client.Write([]byte("hi")); err != nil {
				t.Fatal(err)
			}
			peeked(t, raw, http1.Bytes)
			b := make([]byte, 3)
			if n, err := conn.Read(b); n != 2 || err != nil {
				t.Fatalf("what was looked at is gone: %d, %v", n, err)
			}
			peeked(t, raw, http1.Nothing)
			end(client.(*net.TCPConn))
			peeked(t, raw, http1.End)
		})
	}
	if got := http1.Peek(^uintptr(0) >> 1); got != http1.End {
		t.Errorf("no descriptor: %v", got)
	}
}
