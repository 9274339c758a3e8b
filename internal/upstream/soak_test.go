package upstream_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/internal/upstream"
)

// TestAbortsLeaveNothingBehind lets both sides hang up at random points of some
// thousand exchanges, and counts what is left. For more of them, or the same
// again:
//
//	HANDRAIL_SOAK_REQUESTS=100000 HANDRAIL_SOAK_SEED=1 go test -run AbortsLeave -v -timeout 30m ./internal/upstream
func TestAbortsLeaveNothingBehind(t *testing.T) {
	requests := int(testenv.Number(t, "HANDRAIL_SOAK_REQUESTS", 4000))
	seed := testenv.Number(t, "HANDRAIL_SOAK_SEED", rand.Uint64())
	t.Logf("%d requests, seed %d", requests, seed)
	forEach(t, func(t *testing.T, impl implementation) {
		before := runtime.NumGoroutine()
		t.Run("run", func(t *testing.T) {
			var connections atomic.Uint64
			var whole atomic.Int64
			rg := newRig(t, impl, func(c *wire) { moodyUpstream(c, rand.New(rand.NewPCG(seed, connections.Add(1)))) })
			var reports sync.WaitGroup
			reports.Go(func() { drain(rg.errors) })
			reports.Go(func() { drain(rg.aborts) })
			const clients = 32
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i)<<32))
					for n := 0; n < requests/clients; {
						sent, answered := moodyClient(t, rg.addr, fmt.Sprintf("%d/%d", i, n), rnd)
						n += sent
						whole.Add(int64(answered))
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
			if n := int(whole.Load()); n < requests/4 || n > requests*9/10 {
				t.Errorf("%d whole answers to %d requests: too few or too many to show anything", n, requests)
			}
		})
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
		if t.Failed() {
			buf := make([]byte, 1<<20)
			t.Logf("%s", buf[:runtime.Stack(buf, true)])
		}
	})
}

// drain takes the reports, of which a soak has thousands.
func drain(reports <-chan *upstream.Error) {
	for range reports {
	}
}

// moodyUpstream answers well, half, early, or not at all. Every answer names the
// target it is for.
func moodyUpstream(c *wire, rnd *rand.Rand) {
	for {
		head, err := c.head()
		if err != nil {
			return
		}
		start, header, err := parseHead(head)
		if err != nil {
			c.t.Errorf("%q: %v", head, err)
			return
		}
		answer := "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-For: " + strings.Fields(start)[1] + "\r\n"
		if rnd.IntN(2) == 0 {
			answer += "Content-Length: 5000\r\n\r\n" + moodyBody
		} else {
			answer += "Transfer-Encoding: chunked\r\n\r\n1388\r\n" + moodyBody + "\r\n0\r\n\r\n"
		}
		early := rnd.IntN(8) == 0
		if early {
			if _, err := io.WriteString(c.Conn, answer); err != nil || rnd.IntN(2) == 0 {
				return // with the body unread: a reset
			}
		} else if header.Get("Expect") != "" {
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if _, _, err := c.body(start, header, false); err != nil || early {
			return
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

var moodyBody = strings.Repeat("x", 5000)

// moodyClient sends some requests on one connection, or a part of the last, and
// reads the answers, or a part of the last. A whole answer must be one, and for
// the request.
func moodyClient(t *testing.T, addr, name string, rnd *rand.Rand) (sent, answered int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 1, 0
	}
	defer conn.Close()
	c := newWire(t, conn)
	for range 1 + rnd.IntN(4) {
		target := fmt.Sprintf("/%s/%d", name, sent)
		sent++
		send := moodyRequest(target, rnd)
		if rnd.IntN(8) == 0 {
			_, _ = io.WriteString(conn, send[:rnd.IntN(len(send))])
			return sent, answered
		}
		if _, err := io.WriteString(conn, send); err != nil {
			return sent, answered // and closed early
		}
		if rnd.IntN(8) == 0 {
			_, _ = c.br.Discard(rnd.IntN(100)) // no answer is shorter
			return sent, answered
		}
		m, err := c.message(false)
		if err == nil && strings.HasPrefix(m, "HTTP/1.1 100 ") {
			m, err = c.message(false)
		}
		if err != nil {
			return sent, answered
		}
		answered++
		if !strings.HasPrefix(m, "HTTP/1.1 502 ") && (!strings.Contains(m, "X-For: "+target+"\n") || !strings.HasSuffix(m, "\n\n"+moodyBody)) {
			t.Errorf("no whole answer for %s, but looks like one: %.200q", target, m)
		}
		if strings.Contains(m, "Connection: close\n") {
			return sent, answered
		}
	}
	return sent, answered
}

func moodyRequest(target string, rnd *rand.Rand) string {
	body := strings.Repeat("y", rnd.IntN(20000))
	head := " " + target + " HTTP/1.1\r\nHost: a\r\n"
	switch rnd.IntN(8) {
	case 0, 1:
		return fmt.Sprintf("POST%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	case 2, 3:
		return fmt.Sprintf("POST%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s!\r\n0\r\n\r\n", head, len(body)+1, body)
	case 4:
		return fmt.Sprintf("POST%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s!", head, len(body)+1, body)
	case 5:
		return "GET " + target + " HTTP/1.0\r\n\r\n"
	}
	return "GET" + head + "\r\n"
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
