package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// drip sends text byte by byte, and returns how long the server bore it.
func (c *pipeClient) drip(text string, every time.Duration) time.Duration {
	begun := time.Now()
	for i := range text {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			break
		}
		time.Sleep(every)
	}
	return time.Since(begun)
}

// A header takes HeaderTimeout in all, however its bytes come, the first one of
// a connection and every other.
func TestHeaderByDropsIsCut(t *testing.T) {
	long := "GET / HTTP/1.1\r\nHost: h\r\nX-Drip: " + strings.Repeat("x", 1000)
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		for name, before := range map[string]string{"the first": "", "the second": get} {
			c := dial()
			c.send(t, before)
			if before != "" {
				c.answer(t)
				time.Sleep(idleTimeout - time.Second)
			}
			if d := c.drip(long, time.Second); d < headerTimeout-time.Second || d > headerTimeout+2*time.Second {
				t.Errorf("%s header: cut after %v, want %v", name, d, headerTimeout)
			}
		}
		c := dial()
		time.Sleep(headerTimeout - 2*time.Second)
		if d := c.drip(long, time.Second); d > 4*time.Second {
			t.Errorf("a header on a connection that was silent first: cut after %v", d)
		}
	})
}

// An empty line in front of a request is no way to hold on to a connection.
func TestEmptyLinesDoNotKeepAConnection(t *testing.T) {
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, get)
		c.answer(t)
		begun := time.Now()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() {
			for {
				if _, err := io.WriteString(c, "\r\n"); err != nil {
					return
				}
				time.Sleep(idleTimeout / 2)
			}
		})
		c.ended()
		if d := time.Since(begun); d > 3*idleTimeout {
			t.Errorf("lived for %v", d)
		}
	})
}

// A chunked body whose bytes are all overhead is no way either.
func TestTrailerByDropsIsCut(t *testing.T) {
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n")
		begun := time.Now()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() {
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: 1\r\n", i); err != nil {
					return
				}
				time.Sleep(clientTimeout / 2)
			}
		})
		if status, _ := c.answer(t); status != http.StatusRequestTimeout {
			t.Errorf("%d", status)
		}
		c.ended()
		if d, most := time.Since(begun), 600*clientTimeout/2; d > most { // 4 KiB of trailers
			t.Errorf("lived for %v, want at most %v", d, most)
		}
	})
}

// A client that takes its answer slowly gets it whole as long as it takes some.
func TestSlowReaderGetsTheWhole(t *testing.T) {
	const size = 1 << 20
	withServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", itoa(size))
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Errorf("write: %v", err)
		}
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, get)
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		for b, got := make([]byte, 8<<10), 0; got < size; {
			n, err := io.ReadFull(resp.Body, b)
			if got += n; err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			time.Sleep(clientTimeout / 10)
		}
	})
}

// A client that stops reading in the middle of a stream is cut, and its handler
// told.
func TestStreamThatNobodyReadsIsCut(t *testing.T) {
	withServer(t, func(w http.ResponseWriter, _ *http.Request) {
		begun := time.Now()
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("write: %v", err)
				}
				break
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				break
			}
		}
		if d := time.Since(begun); d < clientTimeout-time.Second || d > clientTimeout {
			t.Errorf("cut after %v", d)
		}
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, get)
		_, _ = io.ReadFull(c, make([]byte, 5000))
		time.Sleep(2 * clientTimeout)
	})
}

// Deadlines that a handler asks for end with its request: they reach neither
// the wait for the next one, nor that, nor the rest of the body.
func TestDeadlinesOfAHandlerEndWithItsRequest(t *testing.T) {
	for _, tt := range []struct{ rule, request string }{
		{"without a body", get},
		{"with a body that is not read", post + "abcd"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			first := true
			withServer(t, func(w http.ResponseWriter, r *http.Request) {
				if first {
					rc := http.NewResponseController(w)
					_ = rc.SetReadDeadline(time.Now().Add(time.Millisecond))
					_ = rc.SetWriteDeadline(time.Now().Add(time.Millisecond))
					first = false
					return
				}
				time.Sleep(time.Minute)
				echo(w, r)
			}, func(t *testing.T, dial func() *pipeClient) {
				c := dial()
				c.send(t, tt.request)
				if status, _ := c.answer(t); status != 200 {
					t.Error(status)
				}
				time.Sleep(idleTimeout - time.Second)
				c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
				time.Sleep(clientTimeout - 2*time.Second)
				c.send(t, "abcd")
				if status, body := c.answer(t); status != 200 || body != "4 bytes" {
					t.Errorf("%d %q", status, body)
				}
			})
		})
	}
}

// A deadline that a handler moves away does not go beyond the server's own.
func TestHandlersCannotLiftTheTimeLimits(t *testing.T) {
	withServer(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(1000 * time.Hour))
		_ = rc.SetWriteDeadline(time.Time{})
		begun := time.Now()
		if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		if d := time.Since(begun); d != clientTimeout {
			t.Errorf("cut after %v", d)
		}
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, post+"ab")
		c.answer(t)
	})
}

// A server that is closed ends what waits, and cancels what works.
func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := false
		srv := newServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cancelled = true
		}))
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error)
		go func() { served <- srv.Serve(ln) }()
		var clients []*pipeClient
		for _, send := range []string{"", "GET / HT", get} {
			client, conn := net.Pipe()
			ln.conns <- conn
			c := &pipeClient{client, newReader(client)}
			c.send(t, send)
			clients = append(clients, c)
		}
		synctest.Wait()
		if !srv.Busy(0) {
			t.Error("not busy with a request")
		}
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		for _, c := range clients {
			if d := c.ended(); d > 0 {
				t.Errorf("ended after %v", d)
			}
		}
		synctest.Wait()
		if !cancelled || srv.Busy(time.Hour) {
			t.Errorf("cancelled %v, busy %v", cancelled, srv.Busy(time.Hour))
		}
	})
}

// While keep-alive ends, what is idle is closed, what is new has its first
// request, what is under way is the last.
func TestEndKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > 0 {
				<-release
			}
			echo(w, r)
		}))
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error)
		go func() { served <- srv.Serve(ln) }()
		open := func(send string) *pipeClient {
			client, conn := net.Pipe()
			ln.conns <- conn
			c := &pipeClient{client, newReader(client)}
			c.send(t, send)
			return c
		}
		fresh, idle, working := open(""), open(get), open(post+"abcd")
		idle.answer(t)
		synctest.Wait()
		srv.EndKeepAlive()
		if d := idle.ended(); d > 0 {
			t.Errorf("an idle connection ended after %v", d)
		}
		if !srv.Busy(0) || !srv.Busy(time.Hour) {
			t.Error("not busy")
		}
		close(release)
		fresh.send(t, get)
		for name, c := range map[string]*pipeClient{"fresh": fresh, "working": working, "accepted afterwards": open(get)} {
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil || !resp.Close {
				t.Errorf("%s: %v, %+v", name, err, resp)
				continue
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			if d := c.ended(); d > time.Second {
				t.Errorf("%s: ended after %v", name, d)
			}
		}
		synctest.Wait()
		if srv.Busy(time.Hour) {
			t.Error("busy")
		}
		_ = srv.Close()
		<-served
	})
}

// A request may be about to come on a connection that is new, for a while.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release; echo(w, r) }))
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error)
		go func() { served <- srv.Serve(ln) }()
		const grace = time.Second
		busy := func(when string, want bool) {
			synctest.Wait()
			if got := srv.Busy(grace); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		busy("no connection", false)
		client, conn := net.Pipe()
		ln.conns <- conn
		busy("a new connection", true)
		time.Sleep(grace)
		busy("a silent connection", false)
		c := &pipeClient{client, newReader(client)}
		c.send(t, "G")
		busy("the first byte of a request", true)
		c.send(t, get[1:])
		busy("a request", true)
		close(release)
		c.answer(t)
		busy("an idle connection", false)
		_ = c.Close()
		busy("a connection that ended", false)
		_ = srv.Close()
		<-served
	})
}
