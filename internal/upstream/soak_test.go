package upstream_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/internal/upstream"
)

// TestAbortsLeaveNothingBehind lets both sides hang up at random points of some
// thousand exchanges, and counts what is left. For more of them, or the same
// again:
//
//	HANDRAIL_SOAK_REQUESTS=100000 HANDRAIL_SOAK_SEED=1 go test -run AbortsLeave -v -timeout 30m ./internal/upstream
func TestAbortsLeaveNothingBehind(t *testing.T) {
	requests := int(fromEnv(t, "HANDRAIL_SOAK_REQUESTS", 4000))
	seed := fromEnv(t, "HANDRAIL_SOAK_SEED", rand.Uint64())
	t.Logf("%d requests, seed %d", requests, seed)
	forEach(t, func(t *testing.T, impl implementation) {
		before := runtime.NumGoroutine()
		t.Run("run", func(t *testing.T) {
			var connections atomic.Uint64
			rg := newRig(t, impl, func(c *wire) { moodyUpstream(c, rand.New(rand.NewPCG(seed, connections.Add(1)))) })
			var reports sync.WaitGroup
			reports.Go(func() { drain(rg.errors) })
			reports.Go(func() { drain(rg.aborts) })
			const clients = 32
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i)<<32))
					for range requests / clients {
						moodyClient(t, rg.addr, rnd)
					}
				})
			}
			wg.Wait()
			rg.proxy.CloseIdle()
			eventually(t, "no connection to the upstream is open", func() bool {
				open, _ := rg.upstream.connections()
				return open == 0
			})
			rg.stop()
			if n := upstream.Taken(rg.proxy); n != 0 {
				t.Errorf("%d connections are with requests that have ended", n)
			}
			close(rg.errors)
			close(rg.aborts)
			reports.Wait()
		})
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
		if t.Failed() {
			buf := make([]byte, 1<<20)
			t.Logf("%s", buf[:runtime.Stack(buf, true)])
		}
	})
}

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// drain takes the reports, of which a soak has thousands.
func drain(reports <-chan *upstream.Error) {
	for range reports {
	}
}

// moodyUpstream answers well, half, or not at all.
func moodyUpstream(c *wire, rnd *rand.Rand) {
	for {
		if _, err := c.message(false); err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000)
		if rnd.IntN(2) == 0 {
			answer = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + strings.Repeat("x", 5000) + "\r\n0\r\n\r\n"
		}
		cut := rnd.IntN(4) == 0
		if cut {
			answer = answer[:rnd.IntN(len(answer))]
		}
		if _, err := io.WriteString(c.Conn, answer); err != nil || cut {
			return
		}
	}
}

// moodyClient sends a request, or a part of one, and reads the answer, or a
// part of it. A whole answer must be one.
func moodyClient(t *testing.T, addr string, rnd *rand.Rand) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	c := newWire(t, conn)
	size := rnd.IntN(20000)
	send := fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("y", size))
	if rnd.IntN(2) == 0 {
		send = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	if rnd.IntN(4) == 0 {
		_, _ = io.WriteString(conn, send[:rnd.IntN(len(send))])
		return
	}
	if _, err := io.WriteString(conn, send); err != nil {
		return // answered and closed early
	}
	if rnd.IntN(4) == 0 {
		_, _ = c.br.Discard(rnd.IntN(100)) // no answer is shorter
		return
	}
	m, err := c.message(false)
	if err == nil && !strings.HasPrefix(m, "HTTP/1.1 502 ") && !strings.HasSuffix(m, "\n\n"+strings.Repeat("x", 5000)) {
		t.Errorf("a part looks like the whole: %.200q", m)
	}
}

// An app that sends more than it has announced (an answer to HEAD with a body
// is the usual one) must not answer the next client with the rest.
func TestSurplusBytesAreNobodysAnswer(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			for {
				if _, err := c.message(false); err != nil {
					return
				}
				if _, err := io.WriteString(c.Conn, crlf(ok+"HTTP/1.1 200 OK\nContent-Length: 6\n\npoison")); err != nil {
					return
				}
			}
		})
		var reports, clients sync.WaitGroup
		reports.Go(func() { drain(rg.errors) })
		reports.Go(func() { drain(rg.aborts) })
		for range 16 {
			c := rg.client()
			clients.Go(func() {
				for range 200 {
					c.send(get)
					got, err := c.message(false)
					if got != ok {
						t.Errorf("got %q (%v)", got, err)
						return
					}
				}
			})
		}
		clients.Wait()
		rg.stop()
		close(rg.errors)
		close(rg.aborts)
		reports.Wait()
	})
}
