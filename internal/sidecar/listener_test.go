package sidecar_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/server"
	"github.com/handrail-go/handrail/internal/sidecar"
)

func drainable(t *testing.T) *sidecar.DrainListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		t.Fatalf("%T", ln)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return sidecar.NewDrainListener(tcp)
}

func connect(t *testing.T, ln net.Listener) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", c)
	}
	return tcp
}

// Health checks and scanners reset connections before anybody accepts them.
func TestDrainHandsOutWhatWaitsButForWhatWasReset(t *testing.T) {
	ln := drainable(t)
	gone, kept := connect(t, ln), connect(t, ln)
	_ = gone.SetLinger(0)
	_ = gone.Close()
	ln.Drain()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := c.RemoteAddr().String(), kept.LocalAddr().String(); got != want {
		t.Errorf("accepted %s, want %s", got, want)
	}
	select {
	case <-ln.Emptied():
		t.Error("empty before the last was followed by another Accept")
	default:
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want net.ErrClosed", err)
	}
	<-ln.Emptied()
}

// On one core the server may not have read, or accepted, what came just before
// a drain.
func TestRequestsFromBeforeADrainAreAnswered(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name string
		kept bool
	}{{"on a new connection", false}, {"on one that was kept", true}} {
		t.Run(tt.name, func(t *testing.T) {
			ln := drainable(t)
			srv := server.New(server.Config{
				Handler:       http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") }),
				HeaderTimeout: time.Minute, IdleTimeout: time.Minute, ClientTimeout: time.Minute, RestTimeout: time.Second,
				MaxHeaderBytes: 1 << 10, Log: slog.New(slog.DiscardHandler),
			})
			served := make(chan struct{})
			go func() { defer close(served); _ = srv.Serve(ln) }()
			ask, answer := func(c net.Conn) { _, _ = io.WriteString(c, request) }, make([]byte, 1<<10)
			c := connect(t, ln)
			if tt.kept {
				ask(c)
				if _, err := c.Read(answer); err != nil {
					t.Fatal(err)
				}
			}
			ask(c)
			ln.Drain()
			<-ln.Emptied()
			srv.EndKeepAlive()
			for srv.Busy(time.Second) {
				time.Sleep(time.Millisecond)
			}
			_ = srv.Close()
			if n, err := c.Read(answer); n == 0 {
				t.Errorf("no answer: %v", err)
			}
			<-served
		})
	}
}
