package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/upstream"
)

// closedAddr is an address that refuses connections.
func closedAddr(t *testing.T) string {
	ln := listen(t)
	defer ln.Close()
	return ln.Addr().String()
}

func TestErrorTellsWhetherTheRequestWasWritten(t *testing.T) {
	url := func(u string) rigOption { return withConfig(func(c *upstream.Config) { c.URL = u }) }
	wrap := func(f func(http.ResponseWriter, *http.Request) *http.Request) rigOption {
		return withWrap(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, f(w, r)) })
		})
	}
	hangUp := func(c *wire) { _, _ = c.message(false) }
	const post = "POST / HTTP/1.1\nHost: a.example\nContent-Length: 5\n\nhello"
	for _, tc := range []struct {
		name    string
		opts    []rigOption
		send    string
		serve   func(*wire)
		dial    func(context.Context) (net.Conn, error)
		kind    upstream.Kind
		written bool
		status  string
	}{
		{name: "a refused dial", opts: []rigOption{url("http://" + closedAddr(t))}, send: post, kind: upstream.NotWritten, status: "502"},
		{name: "a socket that is not there", opts: []rigOption{url("unix://" + t.TempDir() + "/x.sock")}, send: get, kind: upstream.NotWritten, status: "502"},
		{name: "no TLS where https was expected", opts: []rigOption{url("https://" + newRawUpstream(t, func(c *wire) { c.send("HTTP/1.1 400 Bad Request\n\n") }).addr)}, send: get, kind: upstream.NotWritten, status: "502"},
		{
			name: "a dial that takes too long", send: get, kind: upstream.Timeout, status: "504",
			dial: func(context.Context) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
			},
		},
		{
			name: "a dial that takes longer than the header may", send: get, kind: upstream.Timeout, status: "504",
			dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
			opts: []rigOption{withConfig(func(c *upstream.Config) { c.Timeout = 50 * time.Millisecond })},
		},
		{name: "closed without an answer", serve: hangUp, send: post, kind: upstream.NoAnswer, written: true, status: "502"},
		{
			name: "closed in the middle of the header", send: get, kind: upstream.NoAnswer, written: true, status: "502",
			serve: func(c *wire) { hangUp(c); c.send("HTTP/1.1 2") },
		},
		{
			name: "the deadline of the request's context", send: get, kind: upstream.Timeout, written: true, status: "504",
			serve: func(c *wire) { hangUp(c); _, _ = c.br.ReadByte() },
			opts: []rigOption{wrap(func(_ http.ResponseWriter, r *http.Request) *http.Request {
				ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
				context.AfterFunc(r.Context(), cancel)
				return r.WithContext(ctx)
			})},
		},
		{
			name: "a body above the limit of an outer handler", send: post, kind: upstream.BadRequest, written: true, status: "413",
			serve: func(c *wire) { _, _ = io.Copy(io.Discard, c.br) },
			opts: []rigOption{wrap(func(w http.ResponseWriter, r *http.Request) *http.Request {
				r.Body = http.MaxBytesReader(w, r.Body, 3)
				return r
			})},
		},
		{
			name: "a client that stalls for longer than the server lets it", kind: upstream.BadRequest, written: true, status: "408",
			send:  "POST / HTTP/1.1\nHost: a.example\nContent-Length: 5\n\nhel",
			serve: func(c *wire) { _, _ = io.Copy(io.Discard, c.br) },
			opts:  []rigOption{withClientTimeout(50 * time.Millisecond)},
		},
		{
			name: "a client that stalls past a deadline of an outer handler's", kind: upstream.BadRequest, written: true, status: "408",
			send:  "POST / HTTP/1.1\nHost: a.example\nContent-Length: 5\n\nhel",
			serve: func(c *wire) { _, _ = io.Copy(io.Discard, c.br) },
			opts: []rigOption{wrap(func(w http.ResponseWriter, r *http.Request) *http.Request {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				return r
			})},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				if tc.serve == nil {
					tc.serve = func(*wire) {}
				}
				rg := newRig(t, impl, tc.serve, tc.opts...)
				if tc.dial != nil {
					rg.proxy.SetDial(tc.dial)
				}
				c := rg.client()
				c.send(tc.send)
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 "+tc.status+" ") {
					t.Errorf("got %q (%v), want %s", got, err, tc.status)
				}
				err := wait(t, "the report", rg.errors)
				if err.Kind != tc.kind || err.Written != tc.written {
					t.Errorf("%v: want %v, written %v", err, tc.kind, tc.written)
				}
			})
		})
	}
}

func TestAnswerError(t *testing.T) {
	for _, tc := range []struct {
		kind   upstream.Kind
		cause  error
		accept string
		status int
		body   string
	}{
		{upstream.NotWritten, io.EOF, "", 502, `{"error":"bad_gateway"}`},
		{upstream.NoAnswer, io.EOF, "", 502, `{"error":"bad_gateway"}`},
		{upstream.Timeout, io.EOF, "", 504, `{"error":"gateway_timeout"}`},
		{upstream.Timeout, io.EOF, "application/problem+json", 504, `{"type":"about:blank","title":"Gateway Timeout","status":504,"code":"gateway_timeout"}`},
		{upstream.BadRequest, errors.New("malformed"), "", 400, `{"error":"bad_request"}`},
		{upstream.BadRequest, &http.MaxBytesError{Limit: 1}, "", 413, `{"error":"body_too_large"}`},
		{upstream.BadRequest, os.ErrDeadlineExceeded, "", 408, `{"error":"request_timeout"}`},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", tc.accept)
		upstream.AnswerError(w, r, &upstream.Error{Kind: tc.kind, Err: tc.cause})
		if got := strings.TrimSpace(w.Body.String()); w.Code != tc.status || got != tc.body {
			t.Errorf("%v: %d %s, want %d %s", tc.kind, w.Code, got, tc.status, tc.body)
		}
	}
}

func TestSilentOnErrorAbortsTheConnection(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) { _, _ = c.message(false) }, withConfig(func(c *upstream.Config) {
			c.OnError = func(http.ResponseWriter, *http.Request, *upstream.Error) {}
		}))
		c := rg.client()
		c.send(get)
		c.expectClose() // and not an empty 200
	})
}

// Without a server below, as for a delivery that a worker makes.
func TestBrokenAnswerPanicsForAnyCaller(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			_, _ = c.message(false)
			c.send("HTTP/1.1 200 OK\nContent-Length: 10\n\nabc")
		})
		defer func() {
			if p, _ := recover().(error); !errors.Is(p, http.ErrAbortHandler) {
				t.Errorf("recovered %v", p)
			}
			if err := wait(t, "the report", rg.aborts); err.Kind != upstream.Truncated || !err.Written {
				t.Error(err)
			}
		}()
		rg.proxy.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		t.Error("it returned as if the answer were whole")
	})
}

// To a client of HTTP/1.0, the end of the connection is the end of an answer
// without a length, unless the connection is reset.
func TestBrokenAnswerToAnOldClientEndsInAReset(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		for name, answer := range map[string]string{
			"chunks":          "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n",
			"a known length":  "HTTP/1.1 200 OK\nContent-Length: 10\n\nabc",
			"broken in chunk": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n9\nabc",
		} {
			t.Run(name, func(t *testing.T) {
				rg := newRig(t, impl, func(c *wire) {
					_, _ = c.message(false)
					c.send(answer)
				})
				c := rg.client()
				c.send("GET / HTTP/1.0\n\n")
				got, err := io.ReadAll(c.br)
				if unsized := !bytes.Contains(got, []byte("Content-Length: 10")); len(got) > 0 && unsized && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%q looks whole (%v)", got, err)
				}
				if err := wait(t, "the report", rg.aborts); err.Kind != upstream.Truncated {
					t.Error(err)
				}
			})
		}
	})
}

// Nobody is trusted where no outer handler has said who is.
func TestWithoutAnIdentityNoForwardingFieldIsBelieved(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		got := make(chan string, 1)
		rg := newRig(t, impl, func(c *wire) {
			m, _ := c.message(false)
			got <- m
			c.send(ok)
		})
		r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1:1234
		r.Header.Set("X-Forwarded-For", "6.6.6.6")
		if _, known := clientip.FromContext(r.Context()); known {
			t.Fatal("an identity from nowhere")
		}
		rg.proxy.ServeHTTP(httptest.NewRecorder(), r)
		if m := wait(t, "the request", got); !strings.Contains(m, "X-Forwarded-For: 192.0.2.1\n") {
			t.Errorf("got %q", m)
		}
	})
}

// warmThen answers the first request of a test and hands all later ones to
// next, on whatever connection they come.
func warmThen(requests *atomic.Int32, next func(*wire) (again bool)) func(*wire) {
	return func(c *wire) {
		for {
			if _, err := c.message(false); err != nil {
				return
			}
			if requests.Add(1) == 1 {
				c.send(ok)
			} else if !next(c) {
				return
			}
		}
	}
}

func fresh() rigOption {
	return withWrap(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Fresh") != "" {
				r = r.WithContext(upstream.WithFreshConn(r.Context()))
			}
			next.ServeHTTP(w, r)
		})
	})
}

func TestRequestsThatMayHaveBeenSeenAreNotRepeated(t *testing.T) {
	const body = "Content-Length: 2\n\nhi"
	for _, tc := range []struct {
		name, send string
		want       int32 // requests at the upstream
	}{
		{"POST", "POST / HTTP/1.1\nHost: a\n" + body, 1},
		{"POST without a body", "POST / HTTP/1.1\nHost: a\n\n", 1},
		{"POST with an Idempotency-Key", "POST / HTTP/1.1\nHost: a\nIdempotency-Key: k\n" + body, 1},
		{"POST with an Idempotency-Key, without a body", "POST / HTTP/1.1\nHost: a\nIdempotency-Key: k\n\n", 1},
		{"POST with an X-Idempotency-Key, without a body", "POST / HTTP/1.1\nHost: a\nX-Idempotency-Key: k\n\n", 1},
		{"DELETE", "DELETE / HTTP/1.1\nHost: a\n\n", 1},
		{"PUT", "PUT / HTTP/1.1\nHost: a\n" + body, 1},
		{"GET with a body", "GET / HTTP/1.1\nHost: a\n" + body, 1},
		{"GET on a connection of its own", "GET / HTTP/1.1\nHost: a\nX-Fresh: 1\n\n", 1},
		{"POST on a connection of its own", "POST / HTTP/1.1\nHost: a\nX-Fresh: 1\nIdempotency-Key: k\n\n", 1},
		{"GET: the one that is safe, once more", "GET / HTTP/1.1\nHost: a\n\n", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				var requests atomic.Int32
				rg := newRig(t, impl, warmThen(&requests, func(*wire) bool { return false }), fresh())
				c := rg.client()
				c.send(get)
				if got, err := c.message(false); got != ok {
					t.Fatalf("got %q (%v)", got, err)
				}
				c.send(tc.send)
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
					t.Errorf("got %q (%v)", got, err)
				}
				if n := requests.Load() - 1; n != tc.want {
					t.Errorf("the upstream got %d requests, want %d", n, tc.want)
				}
				if err := wait(t, "the report", rg.errors); !err.Written {
					t.Error(err)
				}
			})
		})
	}
}

func TestFreshConnectionIsNeverAnIdleOne(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		var requests atomic.Int32
		rg := newRig(t, impl, warmThen(&requests, func(c *wire) bool { c.send(ok); return true }), fresh())
		c := rg.client()
		for range 3 {
			c.send("POST / HTTP/1.1\nHost: a\nX-Fresh: 1\nContent-Length: 2\n\nhi")
			if got, err := c.message(false); got != ok {
				t.Fatalf("got %q (%v)", got, err)
			}
		}
		if _, seen := rg.upstream.connections(); seen != 3 {
			t.Errorf("3 requests on %d connections", seen)
		}
		eventually(t, "no connection is open", func() bool { open, _ := rg.upstream.connections(); return open == 0 })
	})
}

// A dyingConn takes no more than left bytes once it is dying.
type dyingConn struct {
	net.Conn
	dying *atomic.Bool
	left  int
}

func (c *dyingConn) Write(p []byte) (int, error) {
	if !c.dying.Load() {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:min(c.left, len(p))])
	return n, syscall.ETIMEDOUT
}

func TestRequestOnADeadIdleConnection(t *testing.T) {
	const post = "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"
	for _, tc := range []struct {
		name, send string
		left       int
		status     string
	}{
		{"nothing written: repeated, with its body", post, 0, "200"},
		{"a byte written: not repeated", post, 1, "502"},
		{"nothing written, no body: repeated", "POST / HTTP/1.1\nHost: a\n\n", 0, "200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				var requests atomic.Int32
				var dying atomic.Bool
				rg := newRig(t, impl, warmThen(&requests, func(c *wire) bool { c.send(ok); return true }))
				dials := 0
				rg.proxy.SetDial(func(ctx context.Context) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, "tcp", rg.upstream.addr)
					if dials++; dials > 1 {
						return c, err
					}
					return &dyingConn{Conn: c, dying: &dying, left: tc.left}, err
				})
				c := rg.client()
				c.send(get)
				if got, err := c.message(false); got != ok {
					t.Fatalf("got %q (%v)", got, err)
				}
				dying.Store(true)
				c.send(tc.send)
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 "+tc.status) {
					t.Errorf("got %q (%v)", got, err)
				}
				if tc.left > 0 {
					if err := wait(t, "the report", rg.errors); err.Kind != upstream.NoAnswer || !err.Written {
						t.Error(err)
					}
				}
			})
		})
	}
}

// The first attempt may have been seen, whatever becomes of the second.
func TestRepeatThatFailsToDialWasWrittenBefore(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		var requests atomic.Int32
		rg := newRig(t, impl, warmThen(&requests, func(*wire) bool { return false }))
		dials := 0
		rg.proxy.SetDial(func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, "tcp", rg.upstream.addr)
		})
		c := rg.client()
		for _, want := range []string{"HTTP/1.1 200 ", "HTTP/1.1 502 "} {
			c.send(get)
			if got, err := c.message(false); !strings.HasPrefix(got, want) {
				t.Fatalf("got %q (%v), want %s", got, err, want)
			}
		}
		if err := wait(t, "the report", rg.errors); err.Kind != upstream.NoAnswer || !err.Written {
			t.Error(err)
		}
	})
}
