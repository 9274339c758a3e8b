package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// A failingListener fails so many times before it gives what another has.
type failingListener struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		defer l.mu.Unlock()
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

func acceptError(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", err)}
}

func TestWantOfDescriptorsPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		var errs []error
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EPROTO, syscall.ENETDOWN} {
			errs = append(errs, acceptError(errno), acceptError(errno))
		}
		ln := &failingListener{Listener: inner, errs: errs}
		srv := newServer(http.HandlerFunc(echo))
		served := make(chan error)
		begun := time.Now()
		go func() { served <- srv.Serve(ln) }()
		client, conn := net.Pipe()
		inner.conns <- conn
		if d := time.Since(begun); d < 100*time.Millisecond || d > time.Minute {
			t.Errorf("%d failures took %v", len(errs), d)
		}
		c := &pipeClient{client, newReader(client)}
		c.send(t, get)
		if status, _ := c.answer(t); status != 200 {
			t.Error(status)
		}
		_ = client.Close()
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestOtherErrorsOfAcceptEndServe(t *testing.T) {
	broken := errors.New("broken")
	ln := &failingListener{Listener: &pipes{closed: make(chan struct{})}, errs: []error{broken}}
	if err := newServer(http.HandlerFunc(echo)).Serve(ln); !errors.Is(err, broken) {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeAfterClose(t *testing.T) {
	srv := newServer(http.HandlerFunc(echo))
	_ = srv.Close()
	inner := &pipes{closed: make(chan struct{})}
	if err := srv.Serve(inner); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	wait(t, "the listener to be closed", inner.closed)
}

// A lateListener accepts one more connection at the moment it is closed.
type lateListener struct {
	*pipes
	accepting chan struct{}
}

func (l lateListener) Accept() (net.Conn, error) {
	select {
	case l.accepting <- struct{}{}:
		<-l.closed
		return <-l.conns, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func TestConnectionThatIsAcceptedTooLateIsClosed(t *testing.T) {
	client, conn := net.Pipe()
	ln := lateListener{&pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}, make(chan struct{})}
	ln.conns <- conn
	srv := newServer(http.HandlerFunc(echo))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	wait(t, "Accept", ln.accepting)
	_ = srv.Close()
	if err := wait(t, "Serve", served); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	_ = client.SetReadDeadline(time.Now().Add(patience / 10))
	if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestPanicsAreLoggedAndAbortsAreNot(t *testing.T) {
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"a panic":  {"boo", "value=boo"},
		"an error": {errors.New("boo"), "value=boo"},
		"an abort": {http.ErrAbortHandler, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			srv := server.New(server.Config{
				Handler:       http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(tc.value) }),
				HeaderTimeout: patience, IdleTimeout: patience, ClientTimeout: patience, RestTimeout: patience,
				MaxHeaderBytes: 1 << 10, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			ln := listen(t)
			var running sync.WaitGroup
			running.Go(func() { _ = srv.Serve(ln) })
			c := dial(t, ln.Addr().String())
			c.send(getRoot)
			_, _ = io.ReadAll(c.br)
			eventually(t, "the connection is forgotten", func() bool { return !srv.Busy(time.Hour) })
			_ = srv.Close()
			running.Wait()
			if got := log.String(); !strings.Contains(got, tc.want) || (tc.want == "") != (got == "") {
				t.Errorf("logged %q", got)
			}
		})
	}
}

func TestRefusalsAreReported(t *testing.T) {
	type report struct {
		remote, reason string
		status         int
	}
	reports := make(chan report, 1)
	srv := server.New(server.Config{
		Handler: http.HandlerFunc(echo), HeaderTimeout: patience, IdleTimeout: patience, ClientTimeout: patience, RestTimeout: restTimeout,
		MaxHeaderBytes: 1 << 10, Log: slog.New(slog.DiscardHandler),
		OnRefused: func(remote string, status int, reason error) {
			reports <- report{remote, reason.Error(), status}
		},
	})
	ln := listen(t)
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	defer running.Wait()
	defer srv.Close()
	for send, status := range map[string]int{
		"GET / HTTP/1.1\nSecret: s3cret\n\n":                                    400,
		"GET /s3cret s3cret HTTP/1.1\nHost: a\n\n":                              400,
		"GET / HTTP/1.1\nHost: s3cret/\n\n":                                     400,
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: s3cret\n\n":               501,
		"GET / HTTP/1.1\nHost: a\nX: " + strings.Repeat("s3cret", 500) + "\n\n": 431,
		"GET / HTTP/1.1\nHost: a\nExpect: s3cret\n\n":                           417,
	} {
		c := dial(t, ln.Addr().String())
		c.send(send)
		if got := wait(t, "the report", reports); got.status != status || got.remote != c.LocalAddr().String() || strings.Contains(got.reason, "s3cret") {
			t.Errorf("%q: %+v", send, got)
		}
		_ = c.Close()
	}
}

// nowhere is a connection whose other end was reset before it was accepted.
type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return nil }

func TestConnectionWithoutAnAddressIsServed(t *testing.T) {
	near, far := net.Pipe()
	ln := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conns <- nowhere{far}
	srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "from "+r.RemoteAddr) }))
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	defer running.Wait()
	defer srv.Close()
	c := &pipeClient{near, bufio.NewReader(near)}
	c.send(t, get)
	if status, body := c.answer(t); status != http.StatusOK || body != "from " {
		t.Errorf("%d %q", status, body)
	}
}

// Else a proxy would write to the app once for each of them.
func TestSmallChunksAreReadTogether(t *testing.T) {
	const chunks = 200
	reads := make(chan int, 1)
	srv := newServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, buf := 0, make([]byte, 1<<10)
		for err := error(nil); err == nil; n++ {
			_, err = r.Body.Read(buf)
		}
		reads <- n
	}))
	near, far := net.Pipe()
	ln := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conns <- far
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	defer running.Wait()
	defer srv.Close()
	c := &pipeClient{near, bufio.NewReader(near)}
	c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nx\r\n", chunks)+"0\r\n\r\n")
	if status, _ := c.answer(t); status != http.StatusOK {
		t.Errorf("%d", status)
	}
	if n := <-reads; n > 3 {
		t.Errorf("%d reads of %d chunks that had come together", n, chunks)
	}
}
