package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// pipes is a listener whose connections are pipes in memory, so that a
// synctest bubble has their time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A pipeClient speaks HTTP by hand.
type pipeClient struct {
	net.Conn
	r *bufio.Reader
}

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 120 * time.Second
	clientTimeout = 60 * time.Second
	restTimeout   = time.Second / 2
)

func newServer(h http.Handler) *server.Server {
	return server.New(server.Config{
		Handler: h, HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, ClientTimeout: clientTimeout,
		RestTimeout: restTimeout, MaxHeaderBytes: 64 << 10, Log: slog.New(slog.DiscardHandler),
	})
}

// withServer runs test against a server around h, in virtual time.
func withServer(t *testing.T, h http.HandlerFunc, test func(t *testing.T, dial func() *pipeClient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		srv := newServer(h)
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(ln) }()
		var clients []net.Conn
		test(t, func() *pipeClient {
			client, conn := net.Pipe()
			ln.conns <- conn
			clients = append(clients, client)
			return &pipeClient{client, bufio.NewReader(client)}
		})
		for _, c := range clients {
			_ = c.Close()
		}
		_ = srv.Close()
		<-done
	})
}

func (c *pipeClient) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// answer reads one response whole.
func (c *pipeClient) answer(t *testing.T) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatalf("answer: %v", err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body of the answer: %v", err)
	}
	return resp.StatusCode, string(data)
}

// ended waits until the server closes the connection and tells how long that
// took.
func (c *pipeClient) ended() time.Duration {
	begun := time.Now()
	_, _ = io.Copy(io.Discard, c.r)
	return time.Since(begun)
}

func echo(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	fmt.Fprintf(w, "%d bytes", len(data))
}

const (
	get  = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
)

func TestClientThatStopsSendingIsCutAfterTheTimeout(t *testing.T) {
	var took atomic.Int64
	withServer(t, func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		_, err := io.ReadAll(r.Body)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want a timeout", err)
		}
		took.Store(int64(time.Since(begun)))
		w.WriteHeader(http.StatusRequestTimeout)
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, post+"ab")
		if status, _ := c.answer(t); status != http.StatusRequestTimeout {
			t.Errorf("answer %d", status)
		}
		if d := time.Duration(took.Load()); d != clientTimeout {
			t.Errorf("cut after %v, want %v", d, clientTimeout)
		}
		if d := c.ended(); d > time.Second {
			t.Errorf("the connection ended %v after the answer", d)
		}
	})
}

// An answer that does not wait for the body, such as 429, waits for no client
// that never sends it.
func TestAnswerToABodyThatNeverComesIsSent(t *testing.T) {
	for _, tt := range []struct{ rule, request string }{
		{"nothing of it", post},
		{"half of it", post + "ab"},
		{"not before it is asked for", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"},
		{"nothing of a large one", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n"},
		{"of OPTIONS for the server", "OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"},
		{"half of a chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			withServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusTooManyRequests)
			}, func(t *testing.T, dial func() *pipeClient) {
				c := dial()
				begun := time.Now()
				c.send(t, tt.request)
				if status, _ := c.answer(t); status != http.StatusTooManyRequests {
					t.Errorf("%d", status)
				}
				c.ended()
				if d := time.Since(begun); d > 2*time.Second {
					t.Errorf("the connection lived for %v", d)
				}
			})
		})
	}
}

func TestBytesKeepAnUploadAlive(t *testing.T) {
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
		for range 100 {
			time.Sleep(clientTimeout - time.Second)
			c.send(t, "x")
		}
		if status, body := c.answer(t); status != 200 || body != "100 bytes" {
			t.Errorf("%d %q", status, body)
		}
	})
}

func TestAnswersTakeTheirTime(t *testing.T) {
	for _, tt := range []struct{ rule, request string }{
		{"without a body", get},
		{"after a body of a known length", post + "abcd"},
		{"after a chunked body", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			withServer(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err != nil {
					t.Errorf("body: %v", err)
				}
				for range 5 {
					time.Sleep(10 * clientTimeout)
					if r.Context().Err() != nil {
						t.Error("the request was taken for left")
					}
					fmt.Fprint(w, "tick ")
					_ = http.NewResponseController(w).Flush()
				}
			}, func(t *testing.T, dial func() *pipeClient) {
				c := dial()
				c.send(t, tt.request)
				if status, body := c.answer(t); status != 200 || body != strings.Repeat("tick ", 5) {
					t.Errorf("%d %q", status, body)
				}
			})
		})
	}
}

func TestClientThatStopsReadingIsCutAfterTheTimeout(t *testing.T) {
	var took atomic.Int64
	withServer(t, func(w http.ResponseWriter, _ *http.Request) {
		begun := time.Now()
		_, err := w.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v, want a timeout", err)
		}
		took.Store(int64(time.Since(begun)))
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, get)
		time.Sleep(2 * clientTimeout)
		if d := time.Duration(took.Load()); d != clientTimeout {
			t.Errorf("cut after %v, want %v", d, clientTimeout)
		}
	})
}

func TestClientThatGoesWhileNothingIsSentIsSeen(t *testing.T) {
	withServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(time.Hour):
			t.Error("the handler does not hear that its client went")
		}
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, post+"abcd")
		synctest.Wait()
		_ = c.Close()
		synctest.Wait()
	})
}

// Deadlines of one request do not reach the next one on its connection.
func TestKeptConnectionIsGoodForAsLongAsItMayIdle(t *testing.T) {
	pause := idleTimeout - time.Second
	if pause <= clientTimeout {
		t.Fatal("connections idle for less than a deadline: this test shows nothing")
	}
	skip := func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 1)
		_, _ = r.Body.Read(buf)
		fmt.Fprint(w, "enough")
	}
	for _, tt := range []struct {
		rule    string
		handler http.HandlerFunc
		request string
		want    string
	}{
		{"without a body", echo, get, "0 bytes"},
		{"with a body", echo, post + "abcd", "4 bytes"},
		{"with a body that is not read to its end", skip, post + "abcd", "enough"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			withServer(t, tt.handler, func(t *testing.T, dial func() *pipeClient) {
				c := dial()
				for range 3 {
					c.send(t, tt.request)
					if status, body := c.answer(t); status != 200 || body != tt.want {
						t.Fatalf("%d %q", status, body)
					}
					time.Sleep(pause)
				}
			})
		})
	}
	t.Run("asking before it sends", func(t *testing.T) {
		withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
			c := dial()
			for range 3 {
				c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
				if status, _ := c.answer(t); status != 100 {
					t.Fatalf("%d, want 100", status)
				}
				c.send(t, "abcd")
				if status, body := c.answer(t); status != 200 || body != "4 bytes" {
					t.Fatalf("%d %q", status, body)
				}
				time.Sleep(pause)
			}
			c.send(t, "nonsense\r\n\r\n")
			if status, _ := c.answer(t); status != 400 {
				t.Errorf("what is no request: %d, want 400", status)
			}
		})
	})
}

func TestConnectionsWithoutARequestEnd(t *testing.T) {
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		for _, tt := range []struct {
			rule, text string
			want       time.Duration
		}{
			{"nothing sent", "", headerTimeout},
			{"half a header", "GET / HTTP/1.1\r\nHost: ", headerTimeout},
			{"nothing more sent", get, idleTimeout},
		} {
			c := dial()
			c.send(t, tt.text)
			if tt.text == get {
				c.answer(t)
			}
			if d := c.ended(); d < tt.want || d > tt.want+time.Second {
				t.Errorf("%s: ended after %v, want %v", tt.rule, d, tt.want)
			}
		}
	})
}

func TestHeaderIsBounded(t *testing.T) {
	withServer(t, echo, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		go func() {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Large: "+strings.Repeat("x", 128<<10)+"\r\n\r\n")
		}()
		if status, _ := c.answer(t); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d, want 431", status)
		}
	})
}

func TestUpgradedConnectionHasNoDeadlines(t *testing.T) {
	withServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		line, err := rw.ReadString('\n')
		if err != nil {
			t.Errorf("read: %v", err)
		}
		time.Sleep(10 * clientTimeout)
		_, _ = conn.Write([]byte(line))
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, get)
		time.Sleep(10 * clientTimeout)
		c.send(t, "hello\n")
		if line, err := c.r.ReadString('\n'); line != "hello\n" {
			t.Errorf("%q %v", line, err)
		}
	})
}

// A proxy may still be reading the body when it has its answer already.
func TestReadsAfterTheHandlerDoNotTouchTheNextRequest(t *testing.T) {
	withServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			_ = http.NewResponseController(w).EnableFullDuplex()
			go func() { _, _ = io.ReadAll(r.Body) }()
			synctest.Wait()
			fmt.Fprint(w, "early")
			return
		}
		time.Sleep(2 * clientTimeout)
		fmt.Fprint(w, r.Context().Err())
	}, func(t *testing.T, dial func() *pipeClient) {
		c := dial()
		c.send(t, post)
		if _, body := c.answer(t); body != "early" {
			t.Fatalf("first answer %q", body)
		}
		c.send(t, "abcd")
		synctest.Wait()
		c.send(t, get)
		if status, body := c.answer(t); status != 200 || body != "<nil>" {
			t.Errorf("%d %q", status, body)
		}
	})
}
