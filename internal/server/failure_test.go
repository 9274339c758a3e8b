package server_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// soon is how long a client's leaving may go unseen while its request is young,
// later when it has been waiting for long.
const (
	soon  = 500 * time.Millisecond
	later = 1500 * time.Millisecond
)

func TestClientThatLeavesCancelsItsRequest(t *testing.T) {
	const body = "POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi"
	leave := func(c *wire) { _ = c.Close() }
	for name, tc := range map[string]struct {
		send  string
		after time.Duration
		leave func(*wire)
		limit time.Duration
	}{
		"at once":                {getRoot, 0, leave, soon},
		"after a while":          {getRoot, 300 * time.Millisecond, leave, soon},
		"after long":             {getRoot, 3500 * time.Millisecond, leave, later},
		"by a reset":             {getRoot, 50 * time.Millisecond, func(c *wire) { _ = c.SetLinger(0); _ = c.Close() }, soon},
		"behind a body":          {body, 50 * time.Millisecond, leave, soon},
		"by closing its half":    {getRoot, 50 * time.Millisecond, func(c *wire) { _ = c.CloseWrite() }, soon},
		"behind another request": {probe + getRoot, 50 * time.Millisecond, leave, soon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took := tc.limit + 1
			for range 3 { // a busy machine may be late once
				if took > tc.limit {
					took = leaving(t, tc.send, tc.after, tc.leave)
				}
			}
			if took > tc.limit {
				t.Errorf("seen after %v, want at most %v", took, tc.limit)
			}
		})
	}
}

// leaving is how long it takes until a handler hears that its client has left,
// which it does after a while.
func leaving(t *testing.T, send string, after time.Duration, leave func(*wire)) time.Duration {
	t.Helper()
	begun, seen := make(chan struct{}), make(chan time.Time, 1)
	c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isProbe(w, r) {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		close(begun)
		<-r.Context().Done()
		seen <- time.Now()
	})))
	c.send(send)
	wait(t, "the handler", begun)
	time.Sleep(after)
	left := time.Now()
	leave(c)
	return wait(t, "the context to end", seen).Sub(left)
}

// A client that closes its half, having asked all that it will, may wait for
// the answer.
func TestClientThatClosesItsHalfIsAnswered(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		sayPlain(w, long)
	})))
	c.send("GET / HTTP/1.1\nHost: a\n\nGET /slow HTTP/1.1\nHost: a\n\n")
	_ = c.CloseWrite()
	for range 2 {
		if m, err := c.message(false); err != nil || !strings.HasSuffix(m, "\n\n"+long) {
			t.Errorf("%.100q, %v", m, err)
		}
	}
	if rest, err := io.ReadAll(c.br); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// Who sends on after the answer gets it nevertheless, however late it is read.
func TestClientThatGoesOnSendingGetsTheAnswer(t *testing.T) {
	long := strings.Repeat("x", 300<<10) // more than a client's socket takes at once
	for name, send := range map[string]string{
		"of a body that is too long":    "POST / HTTP/1.1\nHost: a\nContent-Length: 100000000\n\n",
		"of a body without an end":      "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5f5e100\n",
		"of a body that was not wanted": "POST / HTTP/1.1\nHost: a\nContent-Length: 100000\nExpect: 100-continue\n\n",
		"of requests behind the last":   "GET / HTTP/1.1\nHost: a\nConnection: close\n\n",
		"of what is no request":         "nonsense\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { sayPlain(w, long) }))
			conn, err := (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { smallReceiveBuffer(fd) })
			}}).Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			c := wireOf(t, conn)
			c.send(send)
			for range 30 { // for longer than RestTimeout
				time.Sleep(restTimeout / 20)
				if _, err := io.WriteString(c.TCPConn, strings.Repeat("y", 5000)); err != nil {
					t.Fatalf("the connection is gone: %v", err)
				}
			}
			m, err := c.message(false)
			if refused := strings.HasPrefix(m, "HTTP/1.1 400 "); err != nil || !refused && !strings.HasSuffix(m, "\n\n"+long) {
				t.Errorf("%d bytes, %v", len(m), err)
			}
		})
	}
}

// Waiting for a client to close is no work that a drain waits for.
func TestConnectionThatOnlyEndsIsNotBusy(t *testing.T) {
	for name, send := range map[string]string{"behind the last answer": "GET / HTTP/1.1\nHost: a\nConnection: close\n\n", "behind a refusal": "nonsense\n\n"} {
		t.Run(name, func(t *testing.T) {
			srv := server.New(server.Config{
				Handler: http.HandlerFunc(echo), HeaderTimeout: patience, IdleTimeout: patience, ClientTimeout: patience, RestTimeout: time.Hour,
				MaxHeaderBytes: 1 << 10, Log: slog.New(slog.DiscardHandler),
			})
			ln := listen(t)
			var running sync.WaitGroup
			running.Go(func() { _ = srv.Serve(ln) })
			c := dial(t, ln.Addr().String())
			c.send(send)
			if m, err := c.message(false); err != nil {
				t.Errorf("%q, %v", m, err)
			}
			eventually(t, "the server is not busy", func() bool { return !srv.Busy(time.Hour) })
			_ = srv.Close()
			running.Wait()
		})
	}
}

func TestBodyAndAnswerGoTheirOwnWays(t *testing.T) {
	const size = 1 << 20
	addr := serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var reading sync.WaitGroup
		reading.Go(func() {
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != size {
				t.Errorf("read %d, %v", n, err)
			}
		})
		w.Header().Set("Content-Type", "text/plain")
		for range size / 1024 {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1024))
			_ = http.NewResponseController(w).Flush()
		}
		reading.Wait()
	}))
	for name, send := range map[string]string{
		"a length": fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n", size) + strings.Repeat("y", size),
		"chunks":   "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n" + strings.Repeat("400\n"+strings.Repeat("y", 1024)+"\n", size/1024) + "0\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			var sending sync.WaitGroup
			sending.Go(func() { c.send(send) })
			if m, err := c.message(false); err != nil || strings.Count(m, "x") < size {
				t.Errorf("%d bytes, %v", len(m), err)
			}
			sending.Wait()
		})
	}
}

// What a handler leaves behind reaches neither the next request nor its answer.
func TestNothingOfARequestReachesTheNext(t *testing.T) {
	var w1 http.ResponseWriter
	var body io.ReadCloser
	use := func(t *testing.T) {
		rc := http.NewResponseController(w1)
		past := time.Now().Add(-time.Hour)
		_, err := w1.Write([]byte("poison"))
		failing := []error{err, rc.SetReadDeadline(past), rc.SetWriteDeadline(past), rc.Flush()}
		_, _, err = rc.Hijack()
		failing = append(failing, err)
		_, err = body.Read(make([]byte, 100))
		for i, err := range append(failing, err) {
			if err == nil {
				t.Errorf("use %d: no error", i)
			}
		}
		w1.Header().Set("X-Poison", "1")
		w1.WriteHeader(103)
		w1.WriteHeader(500)
		w1.(http.Flusher).Flush()
		_ = body.Close()
	}
	for name, send := range map[string]string{
		"a body that was read":     "POST /first HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi",
		"a body that was not read": "POST /unread HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi",
		"chunks":                   "POST /unread HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n",
		"no body":                  "GET /first HTTP/1.1\nHost: a\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/first", "/unread":
					w1, body = w, r.Body
					if r.URL.Path == "/first" {
						_, _ = io.ReadAll(r.Body)
					}
					sayPlain(w, "ok")
				default:
					use(t)
					b, err := io.ReadAll(r.Body)
					use(t)
					sayPlain(w, fmt.Sprintf("%s %v", b, err))
					use(t)
				}
			})))
			c.send(send + "POST /second HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello")
			_, _ = c.message(false)
			want := "HTTP/1.1 200 OK\nContent-Length: 11\nContent-Type: text/plain\n\nhello <nil>"
			if m, err := c.message(false); m != want || err != nil {
				t.Errorf("%q, %v", m, err)
			}
			use(t)
			c.send(send)
			if m, err := c.message(false); !strings.HasSuffix(m, "\n\nok") || err != nil {
				t.Errorf("%q, %v", m, err)
			}
		})
	}
}

// The body's reader gets an error, the connection the rest of the body, and then
// the next request.
func TestReadsThatGoOnAfterTheHandlerAreEnded(t *testing.T) {
	got := make(chan string, 1)
	srv := server.New(server.Config{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isProbe(w, r) {
				return
			}
			reading := make(chan struct{})
			go func() {
				_, _ = r.Body.Read(make([]byte, 2))
				close(reading)
				b, err := io.ReadAll(r.Body)
				got <- fmt.Sprintf("%q %v", b, err != nil)
			}()
			<-reading
			sayPlain(w, "early")
		}),
		HeaderTimeout: patience, IdleTimeout: patience, ClientTimeout: patience, RestTimeout: patience, MaxHeaderBytes: 1 << 10,
		Log: slog.New(slog.DiscardHandler),
	})
	ln := listen(t)
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	defer running.Wait()
	defer srv.Close()
	for name, tc := range map[string]struct{ send, rest string }{
		"a length": {"POST / HTTP/1.1\nHost: a\nContent-Length: 50\n\nhi", strings.Repeat("y", 48)},
		"chunks":   {"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n32\nhi", strings.Repeat("y", 48) + "\n0\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, ln.Addr().String())
			c.send(tc.send)
			if m, err := c.message(false); err != nil || !strings.HasSuffix(m, "\n\nearly") {
				t.Errorf("%q, %v", m, err)
			}
			if s := wait(t, "the reader", got); s != `"" true` {
				t.Error(s)
			}
			c.send(tc.rest)
			if f := c.fate(); f != "kept" {
				t.Error(f)
			}
			_ = c.Close()
		})
	}
}

// Neither while the handler runs nor afterwards is a connection that it took
// the server's to close, to wait for, or to watch.
func TestHijackedConnectionIsItsHandlers(t *testing.T) {
	conns, release, returned := make(chan net.Conn, 1), make(chan struct{}), make(chan error, 1)
	srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		conns <- conn
		<-release
		returned <- r.Context().Err()
	}))
	ln := listen(t)
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	c := dial(t, ln.Addr().String())
	c.send(getRoot)
	conn := wait(t, "the connection", conns)
	defer conn.Close()
	if srv.Busy(time.Hour) {
		t.Error("the server is busy with it")
	}
	srv.EndKeepAlive()
	_ = srv.Close()
	running.Wait()
	speak := func() {
		c.send("hello\n")
		b := make([]byte, 7)
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if line, err := c.br.ReadString('\n'); line != "hello\r\n" {
			t.Errorf("%q, %v", line, err)
		}
	}
	speak()
	_ = c.CloseWrite()
	time.Sleep(soon)
	close(release)
	if err := wait(t, "the handler", returned); err != nil {
		t.Errorf("the client's closing its half was taken for the request's end: %v", err)
	}
	if _, err := conn.Write([]byte("bye\n")); err != nil {
		t.Error(err)
	}
	if line, err := c.br.ReadString('\n'); line != "bye\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestHandlerThatEndsItsGoroutineEndsItsConnection(t *testing.T) {
	c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sayPlain(w, "x")
		runtime.Goexit()
	})))
	c.send(getRoot)
	if rest, err := io.ReadAll(c.br); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}
