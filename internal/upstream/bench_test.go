package upstream_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

// BenchmarkProxy sends one request at a time on one connection, to an app that
// answers 1 KiB of JSON. "whole" counts client, proxy and app, all in this
// process; "handler" leaves the server out; "busy" is whole on 32
// connections at a time; "post" is whole with a body of 1 KiB. cpu-ns/op is what
// the process used, which holds on a busy machine too.
//
//	go test -run '^$' -bench Proxy -count 10 ./internal/upstream
func BenchmarkProxy(b *testing.B) {
	app := newBenchApp(b)
	target, err := url.Parse("http://" + app)
	if err != nil {
		b.Fatal(err)
	}
	plain := httputil.NewSingleHostReverseProxy(target)
	plain.Transport = http.DefaultTransport.(*http.Transport).Clone()
	tuned := httputil.NewSingleHostReverseProxy(target)
	tuned.BufferPool = new(benchPool)
	tuned.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true, IdleConnTimeout: time.Minute}
	handlers := []struct {
		name string
		h    http.Handler
	}{{"httputil", plain}, {"httputil-tuned", tuned}}
	for _, impl := range implementations() {
		p, err := impl.new(upstream.Config{URL: target.String()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(p.CloseIdle)
		handlers = append(handlers, struct {
			name string
			h    http.Handler
		}{"handrail-" + impl.name, p})
	}
	for _, tc := range handlers {
		b.Run("handler/"+tc.name, func(b *testing.B) { benchHandler(b, tc.h) })
	}
	for _, tc := range handlers {
		b.Run("whole/"+tc.name, func(b *testing.B) { benchWhole(b, tc.h, 1, benchGet) })
	}
	for _, tc := range handlers {
		b.Run("busy/"+tc.name, func(b *testing.B) { benchWhole(b, tc.h, 32, benchGet) })
	}
	for _, tc := range handlers {
		b.Run("post/"+tc.name, func(b *testing.B) { benchWhole(b, tc.h, 1, benchPost) })
	}
}

const benchFields = " /api/items?id=7 HTTP/1.1\nHost: a.example\nUser-Agent: bench/1.0\nAccept: application/json\nAccept-Encoding: gzip, br\nCookie: sid=0123456789abcdef\n"

var (
	benchGet  = []byte(crlf("GET" + benchFields + "\n"))
	benchPost = []byte(crlf("POST"+benchFields+"Content-Length: 1024\n\n") + strings.Repeat("y", 1024))
)

// newBenchApp answers every request with the same bytes, and allocates nothing.
func newBenchApp(b *testing.B) string {
	b.Helper()
	body := `{"data":"` + strings.Repeat("x", 1024-11) + `"}`
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	up := newRawUpstream(b, func(c *wire) {
		_ = c.SetDeadline(time.Time{})
		for {
			length := 0
			for {
				line, err := c.br.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
				if bytes.HasPrefix(line, []byte("Content-Length: 1024")) {
					length = 1024
				}
			}
			if _, err := c.br.Discard(length); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	return up.addr
}

type benchPool struct{ pool sync.Pool }

func (p *benchPool) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *benchPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

func benchRequest(b *testing.B) *http.Request {
	b.Helper()
	r := httptest.NewRequest("GET", "http://a.example/api/items?id=7", nil)
	for name, v := range map[string]string{"User-Agent": "bench/1.0", "Accept": "application/json", "Accept-Encoding": "gzip, br", "Cookie": "sid=0123456789abcdef"} {
		r.Header.Set(name, v)
	}
	return r.WithContext(b.Context())
}

// A sink is a ResponseWriter that keeps nothing.
type sink struct {
	h             http.Header
	status        int
	n             int
	heads, writes int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status; s.heads++ }
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); s.writes++; return len(p), nil }

func benchHandler(b *testing.B, h http.Handler) {
	b.Helper()
	r := benchRequest(b)
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	began := cpuTime(b)
	for b.Loop() {
		clear(w.h)
		w.n = 0
		h.ServeHTTP(w, r)
		if w.status != 200 || w.n != 1024 {
			b.Fatalf("%d, %d bytes", w.status, w.n)
		}
	}
	reportCPU(b, began)
}

func reportCPU(b *testing.B, began time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
}

func benchWhole(b *testing.B, h http.Handler, clients int, req []byte) {
	b.Helper()
	ln := listen(b)
	front := newFront(h, clientTimeout)
	go func() { _ = front.Serve(ln) }() // until Close
	defer front.Close()
	var left atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	if clients == 1 {
		c := newBenchClient(b, ln.Addr().String(), req)
		began := cpuTime(b)
		for b.Loop() {
			c.ask()
		}
		reportCPU(b, began)
		return
	}
	left.Store(int64(b.N))
	all := make([]*benchClient, clients)
	for i := range all {
		all[i] = newBenchClient(b, ln.Addr().String(), req)
	}
	b.ResetTimer()
	began := cpuTime(b)
	for _, c := range all {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				c.ask()
			}
		})
	}
	wg.Wait()
	reportCPU(b, began)
}

// A benchClient asks the same again and again, and allocates nothing.
type benchClient struct {
	b    *testing.B
	conn net.Conn
	br   *bufio.Reader
	req  []byte
}

func newBenchClient(b *testing.B, addr string, req []byte) *benchClient {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &benchClient{b, conn, bufio.NewReader(conn), req}
}

func (c *benchClient) ask() {
	if _, err := c.conn.Write(c.req); err != nil {
		c.b.Error(err)
	}
	if err := skipHead(c.br); err != nil {
		c.b.Error(err)
	}
	if _, err := c.br.Discard(1024); err != nil {
		c.b.Error(err)
	}
}

func skipHead(br *bufio.Reader) error {
	for {
		line, err := br.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return err
		}
	}
}
