package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/upstream"
)

// leanOnly is for rules that the standard engine keeps only most of the time:
// its reader is another goroutine, which may not have run yet.
func leanOnly() implementation {
	for _, impl := range implementations() {
		if impl.name == "lean" {
			return impl
		}
	}
	panic("unreachable")
}

// posts are requests that are never sent twice. They go two ways.
var posts = map[string]string{
	"with a body":    "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
	"without a body": "POST / HTTP/1.1\nHost: a\n\n",
}

// The upstream closes after each answer without saying so. None of the requests
// may be lost.
func TestIdleConnectionThatWasClosedIsNotUsed(t *testing.T) {
	for name, send := range posts {
		t.Run(name, func(t *testing.T) { closedWhileIdle(t, send) })
	}
}

func closedWhileIdle(t *testing.T, send string) {
	closed := make(chan struct{})
	rg := newRig(t, leanOnly(), func(c *wire) {
		if _, err := c.message(false); err != nil {
			return
		}
		c.send(ok)
		_ = c.Close()
		closed <- struct{}{}
	})
	c := rg.client()
	for i := range 50 {
		c.send(send)
		if got, err := c.message(false); got != ok {
			t.Fatalf("request %d: got %q (%v)", i, got, err)
		}
		wait(t, "the upstream to close", closed)
	}
}

// Bytes that come while a connection is idle belong to nobody.
func TestIdleConnectionThatHasSpokenIsNotUsed(t *testing.T) {
	for name, send := range posts {
		t.Run(name, func(t *testing.T) { spokenWhileIdle(t, send) })
	}
}

func spokenWhileIdle(t *testing.T, send string) {
	answered, spoken := make(chan struct{}), make(chan struct{}, 1)
	rg := newRig(t, leanOnly(), func(c *wire) {
		for {
			if _, err := c.message(false); err != nil {
				return
			}
			c.send(ok)
			wait(c.t, "the client", answered)
			c.send("HTTP/1.1 408 Request Timeout\nContent-Length: 0\n\n")
			spoken <- struct{}{}
		}
	})
	c := rg.client()
	for range 50 {
		c.send(send)
		if got, err := c.message(false); got != ok {
			t.Fatalf("got %q (%v)", got, err)
		}
		answered <- struct{}{}
		wait(t, "the upstream to speak", spoken)
	}
	if _, seen := rg.upstream.connections(); seen != 50 {
		t.Errorf("50 requests on %d connections", seen)
	}
}

// A countedConn knows whether it was closed.
type countedConn struct {
	net.Conn
	closed *atomic.Int32
}

func (c countedConn) Close() error { c.closed.Add(1); return c.Conn.Close() }

func TestIdleConnectionsAreBounded(t *testing.T) {
	var closed atomic.Int32
	conns := make([]net.Conn, upstream.MaxIdle+10)
	for i := range conns {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		conns[i] = countedConn{near, &closed}
	}
	kept, closeIdle := upstream.IdleAfter(conns)
	if kept != upstream.MaxIdle || closed.Load() != 10 {
		t.Errorf("%d kept, %d closed", kept, closed.Load())
	}
	if closeIdle(); int(closed.Load()) != len(conns) {
		t.Errorf("%d of %d closed", closed.Load(), len(conns))
	}
}

// What the server would not have let in, outer handlers may have made.
func TestRequestsThatCannotBeWrittenAreNot(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		for name, change := range map[string]func(*http.Request){
			"a value with a line break": func(r *http.Request) { r.Header["X-A"] = []string{"1\r\nX-B: 2"} },
			"a name with a line break":  func(r *http.Request) { r.Header["X-A: 1\r\nX-B"] = []string{"2"} },
			"a name with a space":       func(r *http.Request) { r.Header["X A"] = []string{"2"} },
			"an empty name":             func(r *http.Request) { r.Header[""] = []string{"2"} },
			"a query with a line break": func(r *http.Request) { r.URL.RawQuery = "a\r\nb" },
			"a host with a line break":  func(r *http.Request) { r.Host = "a\r\nX-B: 2" },
			"a method with a space":     func(r *http.Request) { r.Method = "GET /x" },
			"a length without a body":   func(r *http.Request) { r.ContentLength, r.Body = 5, nil },
		} {
			t.Run(name, func(t *testing.T) {
				rg := newRig(t, impl, func(c *wire) {
					if b, _ := io.ReadAll(c.br); len(b) > 0 {
						t.Errorf("the upstream got %q", b)
					}
				})
				r := httptest.NewRequest(http.MethodPost, "http://a.example/", nil)
				change(r)
				w := httptest.NewRecorder()
				rg.proxy.ServeHTTP(w, r)
				if err := wait(t, "the report", rg.errors); w.Code != http.StatusBadGateway || err.Kind != upstream.NotWritten || err.Written {
					t.Errorf("%d, %v", w.Code, err)
				}
			})
		}
	})
}

// A request whose body ends early never looks whole to the upstream.
func TestBodyShorterThanItsLengthIsNotPaddedOrCutShort(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		got := make(chan error, 1)
		rg := newRig(t, impl, func(c *wire) {
			_, err := c.message(false)
			got <- err
		})
		r := httptest.NewRequest(http.MethodPost, "http://a.example/", io.NopCloser(strings.NewReader("abc")))
		r.ContentLength = 5
		w := httptest.NewRecorder()
		rg.proxy.ServeHTTP(w, r)
		if w.Code != http.StatusBadGateway {
			t.Errorf("answered with %d", w.Code)
		}
		if err := wait(t, "the upstream", got); err == nil {
			t.Error("the upstream got a whole request")
		}
	})
}

// A body that goes on after its length is cut there: what follows must not be
// the upstream's next request.
func TestBodyLongerThanItsLengthEndsThere(t *testing.T) {
	rg := newRig(t, leanOnly(), func(c *wire) {
		if m, err := c.message(false); err != nil || !strings.HasSuffix(m, "\nabc") {
			t.Errorf("%q (%v)", m, err)
		}
		c.send(ok)
		if b, _ := io.ReadAll(c.br); len(b) > 0 {
			t.Errorf("the upstream got %q beyond the body", b)
		}
	})
	r := httptest.NewRequest(http.MethodPost, "http://a.example/", io.NopCloser(strings.NewReader("abcGET / HTTP/1.1\r\n\r\n")))
	r.ContentLength = 3
	w := httptest.NewRecorder()
	rg.proxy.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("answered with %d", w.Code)
	}
	rg.proxy.CloseIdle()
}

// Options of Connection and fields are each as many as the server lets in; their
// product must not be the work.
func TestManyOptionsAndManyFieldsAreNotMultiplied(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			if m, _ := c.message(false); strings.Contains(m, "X-7: ") || !strings.Contains(m, "Y-7: ") {
				t.Errorf("%.200q", m)
			}
			c.send(ok)
		})
		r := httptest.NewRequest(http.MethodGet, "http://a.example/", nil)
		var options strings.Builder
		for i := range 20000 { // far more than that
			r.Header[fmt.Sprintf("X-%d", i)] = []string{"1"}
			r.Header[fmt.Sprintf("Y-%d", i)] = []string{"1"}
			fmt.Fprintf(&options, "x-%d,", i)
		}
		r.Header.Set("Connection", options.String()+"keep-alive")
		w, began := httptest.NewRecorder(), time.Now()
		rg.proxy.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("answered with %d", w.Code)
		}
		if d := time.Since(began); d > patience/2 {
			t.Errorf("it took %v", d)
		}
	})
}

// A cannedConn answers every write with the same bytes.
type cannedConn struct {
	net.Conn
	answer string
	left   string
	reads  int
}

func (c *cannedConn) Write(p []byte) (int, error) { c.left = c.answer; return len(p), nil }
func (c *cannedConn) Close() error                { return nil }
func (c *cannedConn) SetDeadline(time.Time) error { return nil }
func (c *cannedConn) Read(p []byte) (int, error) {
	c.reads++
	n := copy(p, c.left)
	c.left = c.left[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// mostAllocations of the engine for one GET: the answer's header as a string,
// and its values. One more is for a collection that empties the pools.
const mostAllocations = 3

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	p, err := upstream.New(upstream.Config{URL: "http://127.0.0.1:1", Transport: upstream.TransportLean})
	if err != nil {
		t.Fatal(err)
	}
	defer p.CloseIdle()
	body := strings.Repeat("x", 1024)
	conn := &cannedConn{answer: crlf("HTTP/1.1 200 OK\nContent-Type: application/json\ncache-control: no-store\nDate: Thu, 01 Jan 2026 00:00:00 GMT\nVary: Accept\nContent-Length: 1024\n\n") + body}
	p.SetDial(func(context.Context) (net.Conn, error) { return conn, nil })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequest("GET", "http://a.example/api/items?id=7", nil)
	for name, v := range map[string]string{"User-Agent": "test/1.0", "Accept": "*/*", "Accept-Encoding": "gzip", "Cookie": "a=1", "X-Request-Id": "1"} {
		r.Header.Set(name, v)
	}
	id := clientip.Identity{Peer: mustAddr(t, "192.0.2.1"), Client: mustAddr(t, "192.0.2.1")}
	r = r.WithContext(clientip.NewContext(ctx, id))
	w := &sink{h: http.Header{}}
	n := testing.AllocsPerRun(1000, func() {
		clear(w.h)
		*w, conn.reads = sink{h: w.h}, 0
		p.ServeHTTP(w, r)
	})
	if w.status != 200 || w.n != 1024 {
		t.Fatalf("%d, %d bytes", w.status, w.n)
	}
	if conn.reads != 1 || w.heads != 1 || w.writes != 1 {
		t.Errorf("an answer that comes at one go takes %d reads, %d WriteHeader and %d Write", conn.reads, w.heads, w.writes)
	}
	t.Logf("%v allocations", n)
	if n > mostAllocations {
		t.Errorf("%v allocations, want at most %d", n, mostAllocations)
	}
}

// A header that the system does not take at one go is written to its end.
func TestHeaderThatIsLargerThanTheBuffers(t *testing.T) {
	rg := newRig(t, leanOnly(), func(c *wire) {
		if _, err := c.br.ReadByte(); err != nil {
			return
		}
		m, err := c.message(false)
		if err != nil || strings.Count(m, "X-A: ") != 20 {
			t.Errorf("%.100q (%v)", m, err)
		}
		c.send(ok)
	})
	rg.proxy.SetDial(func(ctx context.Context) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", rg.upstream.addr)
		if err == nil {
			err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
		}
		return c, err
	})
	r := httptest.NewRequest(http.MethodGet, "http://a.example/", nil)
	for range 20 { // far more than the server lets in
		r.Header.Add("X-A", strings.Repeat("a", 40000))
	}
	w := httptest.NewRecorder()
	rg.proxy.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("answered with %d", w.Code)
	}
}
