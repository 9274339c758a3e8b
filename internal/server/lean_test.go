package server_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// An asker asks the same again and again on one connection, and allocates
// nothing.
type asker struct {
	tb   testing.TB
	conn net.Conn
	br   *bufio.Reader
	send []byte
}

func newAsker(tb testing.TB, addr, send string) *asker {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &asker{tb, conn, bufio.NewReaderSize(conn, 64<<10), []byte(send)}
}

// ask reads an answer with a body of so many bytes, chunked when size is below
// 0: to its last chunk.
func (a *asker) ask(size int) {
	if _, err := a.conn.Write(a.send); err != nil {
		a.tb.Error(err)
	}
	for {
		line, err := a.br.ReadSlice('\n')
		if err != nil {
			a.tb.Error(err)
			return
		}
		if len(line) == 2 {
			break
		}
	}
	if size >= 0 {
		if _, err := a.br.Discard(size); err != nil {
			a.tb.Error(err)
		}
		return
	}
	for {
		line, err := a.br.ReadSlice('\n')
		if err != nil {
			a.tb.Error(err)
			return
		}
		if string(line) == "0\r\n" {
			_, _ = a.br.Discard(2)
			return
		}
	}
}

const (
	browserGet = "GET /api/items?id=7 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\nConnection: keep-alive\r\n\r\n"
	sizedPost   = "POST /api/items HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"a\":1,\"b\":2,\"\"}"
	chunkedPost = "POST /api/items HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"a\":1,\"b\":2,\"\"}\r\n0\r\n\r\n"
)

// Handlers that allocate nothing themselves.
var (
	jsonType = []string{"application/json"}
	jsonBody = []byte(strings.Repeat("x", 1024))
	longBody = []byte(strings.Repeat("x", 32<<10))
	length1k = []string{"1024"}
)

func shortHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(jsonBody)
}

func sizedHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	w.Header()["Content-Length"] = length1k
	_, _ = w.Write(jsonBody)
}

func longHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(longBody)
}

func readingHandler(w http.ResponseWriter, r *http.Request) {
	var b [64]byte
	for {
		if _, err := r.Body.Read(b[:]); err != nil {
			break
		}
	}
	shortHandler(w, r)
}

// What a request may allocate on a connection that is kept: the header as one
// string, its map with values, the request in its context, the answer with its
// header's map; and a body.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		send    string
		size    int
		most    float64
	}{
		{"a GET, a short answer", shortHandler, browserGet, 1024, 11},
		{"a GET, a declared length", sizedHandler, browserGet, 1024, 11},
		{"a GET, a long answer in chunks", longHandler, browserGet, -1, 11},
		{"a POST that is read", readingHandler, sizedPost, 1024, 11},
		{"a POST that is left", shortHandler, sizedPost, 1024, 10},
		{"a POST in chunks", readingHandler, chunkedPost, 1024, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAsker(t, serveBare(t, tc.handler), tc.send)
			for range 100 {
				a.ask(tc.size) // buffers come into being
			}
			n := testing.AllocsPerRun(2000, func() { a.ask(tc.size) })
			t.Logf("%v allocations", n)
			if n > tc.most {
				t.Errorf("%v allocations, want at most %v", n, tc.most)
			}
		})
	}
}

// serveBare is serve with nothing between the server and the handler.
func serveBare(tb testing.TB, h http.Handler) string {
	tb.Helper()
	srv := server.New(server.Config{
		Handler: h, HeaderTimeout: headerTimeout, IdleTimeout: time.Hour, ClientTimeout: time.Hour, RestTimeout: restTimeout,
		MaxHeaderBytes: 64 << 10, Log: slog.New(slog.DiscardHandler),
	})
	ln := listen(tb)
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	tb.Cleanup(func() { _ = srv.Close(); running.Wait() })
	return ln.Addr().String()
}

// mostIdle is what a connection that waits for its next request may hold on to,
// its goroutine included. Its client's end is in this process, too.
const mostIdle = 16 << 10

func TestIdleConnectionsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes more")
	}
	const conns = 500
	per := map[string]uint64{}
	for _, impl := range []implementation{netHTTP(), ours()} {
		for name, send := range map[string]string{
			"after a GET": browserGet,
			"after much":  strings.Replace(browserGet, "Accept: */*", "X-Long: "+strings.Repeat("x", 40<<10)+"\r\n"+strings.Repeat("X-Many: 1\r\n", 500)+"Accept: */*", 1),
		} {
			before := inUse()
			clients := make([]net.Conn, conns)
			addr := serve(t, impl, http.HandlerFunc(shortHandler))
			for i := range clients {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				clients[i] = conn
				if _, err := io.WriteString(conn, send); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAtLeast(conn, make([]byte, 4096), 1024); err != nil {
					t.Fatal(err)
				}
			}
			per[impl.name+" "+name] = (inUse() - before) / conns
			for _, c := range clients {
				_ = c.Close()
			}
		}
	}
	t.Logf("bytes per idle connection: %v", per)
	for name, n := range per {
		if strings.HasPrefix(name, "ours") && n > mostIdle {
			t.Errorf("%s: %d bytes, want at most %d", name, n, mostIdle)
		}
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
