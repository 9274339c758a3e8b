package server_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

// TestAbortsLeaveNothingBehind lets clients hang up and handlers panic at random
// points of some thousand requests, many on a connection, and counts what is
// left. For more of them, or the same again:
//
//	HANDRAIL_SOAK_REQUESTS=100000 HANDRAIL_SOAK_SEED=1 go test -run AbortsLeave -v -timeout 30m ./internal/server
func TestAbortsLeaveNothingBehind(t *testing.T) {
	requests := int(testenv.Number(t, "HANDRAIL_SOAK_REQUESTS", 4000))
	seed := testenv.Number(t, "HANDRAIL_SOAK_SEED", rand.Uint64())
	t.Logf("%d requests, seed %d", requests, seed)
	goroutines, files := runtime.NumGoroutine(), descriptors()
	t.Run("run", func(t *testing.T) {
		var served atomic.Int64
		srv := newServer(moodyHandler(&served, seed))
		ln := listen(t)
		var running, clients sync.WaitGroup
		running.Go(func() { _ = srv.Serve(ln) })
		const most = 32
		for i := range most {
			clients.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)<<32))
				for served.Load() < int64(requests) && !t.Failed() {
					moodyClient(t, ln.Addr().String(), rnd)
				}
			})
		}
		clients.Wait()
		eventually(t, "the server is not busy", func() bool { return !srv.Busy(0) })
		eventually(t, "no connection is left", func() bool {
			return descriptors() <= files+2 // the listener, and what the poller may have taken
		})
		_ = srv.Close()
		running.Wait()
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if t.Failed() {
		buf := make([]byte, 1<<20)
		t.Logf("%s", buf[:runtime.Stack(buf, true)])
	}
}

// moodyHandler answers well, or panics, or leaves the body, or takes the
// connection; mostly with what the target asks for, so that an answer can be
// told from another's.
func moodyHandler(served *atomic.Int64, seed uint64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rnd := rand.New(rand.NewPCG(seed, uint64(served.Add(1))))
		word := r.URL.Path
		w.Header().Set("Content-Type", "text/plain")
		switch rnd.IntN(20) {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			_, _ = io.WriteString(w, word)
			_ = http.NewResponseController(w).Flush()
			panic("boo")
		case 2:
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
			return
		case 3:
			w.Header().Set("Content-Length", "1000000")
			_, _ = io.WriteString(w, word)
			return
		case 4: // the body is left
		case 5:
			done := make(chan struct{})
			go func() { defer close(done); _, _ = io.Copy(io.Discard, r.Body) }()
			defer func() { <-done }()
		case 6:
			go func() { _, _ = io.Copy(io.Discard, r.Body) }() // goes on after the handler
		case 7:
			select {
			case <-r.Context().Done():
			case <-time.After(time.Duration(rnd.IntN(20)) * time.Millisecond):
			}
		default:
			_, _ = io.Copy(io.Discard, r.Body)
		}
		text := word + strings.Repeat(" "+word, rnd.IntN(2)*rnd.IntN(3000))
		if rnd.IntN(2) == 0 {
			w.Header().Set("Content-Length", itoa(len(text)))
		}
		_, _ = io.WriteString(w, text)
	})
}

// moodyClient sends some requests on a connection, at once or one by one, or a
// part of them, and reads the answers, or a part. A whole answer must be that to
// its own request, and no part of one look whole.
func moodyClient(t *testing.T, addr string, rnd *rand.Rand) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	c := wireOf(t, conn)
	n := 1 + rnd.IntN(8)
	ahead := rnd.IntN(2) == 0
	words, sends := make([]string, n), make([]string, n)
	for i := range n {
		words[i] = fmt.Sprintf("/%x", rnd.Uint64())
		sends[i] = moodyRequest(rnd, words[i])
	}
	if ahead {
		sends = []string{strings.Join(sends, "")}
	}
	cut := rnd.IntN(4) == 0
	for i, send := range sends {
		if cut && i == len(sends)-1 {
			send = send[:rnd.IntN(len(send))]
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // nobody reads the answers
		}
		var sending sync.WaitGroup
		sending.Go(func() { _, _ = io.WriteString(conn, send) }) // or the server has closed
		if cut && i == len(sends)-1 {
			sending.Wait()
			break
		}
		expected := words[i : i+1]
		if ahead {
			expected = words
		}
		ok := readMoody(t, c, expected, rnd)
		if !ok {
			_ = conn.Close()
		}
		sending.Wait()
		if !ok {
			break
		}
	}
	if rnd.IntN(4) == 0 {
		_ = c.SetLinger(0)
	}
}

func readMoody(t *testing.T, c *wire, words []string, rnd *rand.Rand) bool {
	for _, word := range words {
		if rnd.IntN(15) == 0 {
			_, _ = c.br.Peek(rnd.IntN(20)) // of which it has more
			return false
		}
		m, err := c.message(false)
		if err == nil && strings.HasPrefix(m, "HTTP/1.1 100 ") {
			m, err = c.message(false)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no answer for %s, or not the whole of it: %.300q", word, m)
		}
		if err != nil {
			return false
		}
		_, body, _ := strings.Cut(m, "\n\n")
		if body != word && strings.Trim(strings.ReplaceAll(body, word, ""), " ") != "" || body == "" {
			t.Errorf("an answer for %s: %.300q", word, m)
		}
		if strings.Contains(m, "\nConnection: close\n") {
			return false
		}
	}
	return true
}

func moodyRequest(rnd *rand.Rand, word string) string {
	start := " " + word + " HTTP/1.1\r\nHost: a\r\n"
	if rnd.IntN(20) == 0 {
		start += "Connection: close\r\n"
	}
	size := rnd.IntN(3) * rnd.IntN(20000)
	switch rnd.IntN(4) {
	case 0:
		return "POST" + start + "Content-Length: " + itoa(size) + "\r\n\r\n" + strings.Repeat("y", size)
	case 1:
		return "POST" + start + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3e8\r\n"+strings.Repeat("y", 1000)+"\r\n", size/1000) + "0\r\n\r\n"
	case 2:
		return "POST" + start + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
	}
	return "GET" + start + "\r\n"
}

// EndKeepAlive and Close meet a server at work: every answer that comes is
// whole, nobody waits for ever, and the server comes to rest.
func TestEndUnderLoad(t *testing.T) {
	for name, end := range map[string]func(interface {
		EndKeepAlive()
		Close() error
	}){
		"EndKeepAlive": func(s interface {
			EndKeepAlive()
			Close() error
		}) {
			s.EndKeepAlive()
		},
		"Close": func(s interface {
			EndKeepAlive()
			Close() error
		}) {
			_ = s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { sayPlain(w, r.URL.Path) }))
			ln := listen(t)
			var running, clients sync.WaitGroup
			running.Go(func() { _ = srv.Serve(ln) })
			var answered atomic.Int64
			for i := range 16 {
				c := dial(t, ln.Addr().String())
				clients.Go(func() {
					word := fmt.Sprintf("/%d", i)
					for {
						if _, err := io.WriteString(c.TCPConn, "GET "+word+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
							return
						}
						m, err := c.message(false)
						if err == nil && !strings.HasSuffix(m, "\n\n"+word) {
							t.Errorf("%q", m)
						}
						if name == "EndKeepAlive" && err != nil && m != "" {
							t.Errorf("%q %v", m, err)
						}
						if err != nil {
							return
						}
						answered.Add(1)
						if strings.Contains(m, "\nConnection: close\n") {
							if f := c.fate(); f != "closed" {
								t.Error(f)
							}
							return
						}
					}
				})
			}
			eventually(t, "some answers", func() bool { return answered.Load() > 500 })
			end(srv)
			clients.Wait()
			eventually(t, "the server is not busy", func() bool { return !srv.Busy(time.Hour) })
			_ = srv.Close()
			running.Wait()
		})
	}
}

// A request that has reached the machine when keep-alive ends is answered.
func TestEndKeepAliveLosesNoRequest(t *testing.T) {
	for range 200 {
		srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { isProbe(w, r) }))
		ln := listen(t)
		var running sync.WaitGroup
		running.Go(func() { _ = srv.Serve(ln) })
		c := dial(t, ln.Addr().String())
		c.send(probe)
		_, _ = c.message(false)
		c.send(probe)
		srv.EndKeepAlive()
		if m, err := c.message(false); err != nil || !strings.HasSuffix(m, "\n\nprobed") {
			t.Fatalf("%q, %v", m, err)
		}
		_ = c.Close()
		_ = srv.Close()
		running.Wait()
	}
}
