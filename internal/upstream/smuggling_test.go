package upstream_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What net/http's server refuses never gets to the upstream.
func TestMalformedRequestsReachNoUpstream(t *testing.T) {
	const start, chunked = "POST / HTTP/1.1\nHost: a\n", "Transfer-Encoding: chunked\n"
	forEach(t, func(t *testing.T, impl implementation) {
		for name, send := range map[string]string{
			"a space before the colon":      start + "Content-Length : 2\n\nhi",
			"a tab before the colon":        start + "Transfer-Encoding\t: chunked\n\n0\n\n",
			"a folded first field":          "POST / HTTP/1.1\n X-A: 1\nHost: a\n\n",
			"a field without a colon":       start + "nonsense\n\n",
			"a bare CR in a value":          start + "X-A: 1\rContent-Length: 2\n\nhi",
			"a NUL in a value":              start + "X-A: 1\x002\n\n",
			"two lengths":                   start + "Content-Length: 2\nContent-Length: 3\n\nhi!",
			"lengths in a list":             start + "Content-Length: 2, 3\n\nhi!",
			"a length with a sign":          start + "Content-Length: +2\n\nhi",
			"chunked not last":              start + "Transfer-Encoding: chunked, identity\n\n0\n\n",
			"chunked behind another coding": start + "Transfer-Encoding: gzip, chunked\n\n0\n\n",
			"chunked twice":                 start + chunked + chunked + "\n0\n\n",
			"a coding behind a bare LF":     start + "Transfer-Encoding: \vchunked\n\n0\n\n",
			"no Host":                       "GET / HTTP/1.1\n\n",
			"two Hosts":                     "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
			"a Host with a space":           "GET / HTTP/1.1\nHost: a b\n\n",
			"a target with a space":         "GET /a b HTTP/1.1\nHost: a\n\n",
			"a version that is none":        "GET / HTTP/1.1x\nHost: a\n\n",
		} {
			t.Run(name, func(t *testing.T) {
				rg := newRig(t, impl, func(*wire) {})
				c := rg.client()
				c.send(send)
				status, err := c.br.ReadString('\n')
				if !strings.HasPrefix(status, "HTTP/1.1 400 ") && !strings.HasPrefix(status, "HTTP/1.1 501 ") {
					t.Errorf("got %q (%v)", status, err)
				}
				if _, seen := rg.upstream.connections(); seen != 0 {
					t.Error("the upstream was reached")
				}
			})
		}
	})
}

// What net/http's server takes although it should not reaches the upstream in a
// form that has one reading.
func TestLooseRequestsAreMadeProper(t *testing.T) {
	const chunked = "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n" + viaPeer + "\nhi"
	forEach(t, func(t *testing.T, impl implementation) {
		for name, tc := range map[string]struct{ send, want string }{
			"Transfer-Encoding and Content-Length": {"POST / HTTP/1.1\nHost: a.example\nContent-Length: 9\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n", chunked},
			"the same length twice":                {"POST / HTTP/1.1\nHost: a.example\nContent-Length: 2\nContent-Length: 2\n\nhi", "POST / HTTP/1.1\nContent-Length: 2\nHost: a.example\n" + viaPeer + "\nhi"},
			"lines that end with LF alone":         {"GET / HTTP/1.1\vHost: a.example\v\v", outgoing},
			"a folded field":                       {"GET / HTTP/1.1\nHost: a.example\nX-A: 1\n  2\n\n", "GET / HTTP/1.1\nHost: a.example\nX-A: 1 2\n" + viaPeer + "\n"},
			"an extension of a chunk":              {"POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n2;a=\"0\"\nhi\n0\n\n", chunked},
		} {
			t.Run(name, func(t *testing.T) {
				got := make(chan string, 1)
				rg := newRig(t, impl, func(c *wire) {
					m, _ := c.message(false)
					c.send(strings.Replace(ok, "\n", "\nConnection: close\n", 1))
					_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					if more, _ := io.ReadAll(c.br); len(more) > 0 {
						t.Errorf("%q after the request", more)
					}
					got <- m
				})
				c := rg.client()
				c.send(tc.send)
				if diff := cmp.Diff(tc.want, wait(t, "the request", got)); diff != "" {
					t.Errorf("the upstream's request, want (-) got (+):\n%s", diff)
				}
				if m, err := c.message(false); !strings.HasPrefix(m, "HTTP/1.1 200 ") {
					t.Errorf("got %q (%v)", m, err)
				}
			})
		}
	})
}

// An app that answers HEAD with a body, or an unasked-for second time, poisons
// nobody: every client gets the answer to its own request, also when many share
// the connections.
func TestEveryClientGetsItsOwnAnswer(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			for n := 0; ; n++ {
				m, err := c.message(false)
				if err != nil {
					return
				}
				target := strings.Fields(m)[1]
				answer := "HTTP/1.1 200 OK\nX-For: " + target + "\nContent-Length: 0\n\n"
				if n%3 == 2 {
					answer += "HTTP/1.1 200 OK\nX-For: nobody\nContent-Length: 0\n\n"
				}
				if _, err := io.WriteString(c.Conn, crlf(answer)); err != nil {
					return
				}
			}
		})
		go drain(rg.errors)
		done := make(chan struct{})
		const clients = 8
		for i := range clients {
			c := rg.client()
			go func() {
				defer func() { done <- struct{}{} }()
				for range 100 {
					target := "/" + string(rune('a'+i))
					c.send("GET " + target + " HTTP/1.1\nHost: a\n\n")
					m, err := c.message(false)
					if err != nil || !strings.Contains(m, "X-For: "+target+"\n") {
						t.Errorf("for %s: %q (%v)", target, m, err)
						return
					}
				}
			}()
		}
		for range clients {
			wait(t, "a client", done)
		}
		rg.stop()
		close(rg.errors)
	})
}
