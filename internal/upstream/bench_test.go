package upstream_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

// BenchmarkProxy sends one request at a time on one connection, to an app that
// answers 1 KiB of JSON. "whole" counts client, proxy and app, all in this
// process; "handler" leaves net/http's server out.
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
		b.Run("whole/"+tc.name, func(b *testing.B) { benchWhole(b, tc.h) })
	}
}

// newBenchApp answers every request with the same bytes, and allocates nothing.
func newBenchApp(b *testing.B) string {
	body := `{"data":"` + strings.Repeat("x", 1024-11) + `"}`
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	up := newRawUpstream(b, func(c *wire) {
		_ = c.SetDeadline(time.Time{})
		for {
			for {
				line, err := c.br.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	return up.addr
}

type benchPool struct{ free [][]byte }

func (p *benchPool) Get() []byte {
	if n := len(p.free); n > 0 {
		buf := p.free[n-1]
		p.free = p.free[:n-1]
		return buf
	}
	return make([]byte, 32<<10)
}

func (p *benchPool) Put(buf []byte) { p.free = append(p.free, buf) }

func benchRequest(b *testing.B) *http.Request {
	r := httptest.NewRequest("GET", "http://a.example/api/items?id=7", nil)
	for name, v := range map[string]string{"User-Agent": "bench/1.0", "Accept": "application/json", "Accept-Encoding": "gzip, br", "Cookie": "sid=0123456789abcdef"} {
		r.Header.Set(name, v)
	}
	return r.WithContext(b.Context())
}

// A sink is a ResponseWriter that keeps nothing.
type sink struct {
	h      http.Header
	status int
	n      int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }

func benchHandler(b *testing.B, h http.Handler) {
	r := benchRequest(b)
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		w.n = 0
		h.ServeHTTP(w, r)
		if w.status != 200 || w.n != 1024 {
			b.Fatalf("%d, %d bytes", w.status, w.n)
		}
	}
}

func benchWhole(b *testing.B, h http.Handler) {
	ln := listen(b)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(ln) }() // until Close
	defer server.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	req := []byte("GET /api/items?id=7 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip, br\r\nCookie: sid=0123456789abcdef\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(req); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := br.Discard(1024); err != nil {
			b.Fatal(err)
		}
	}
}
