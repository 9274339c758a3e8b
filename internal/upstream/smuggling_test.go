package upstream_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// What is left of a body that was answered early is never taken for a request,
// however much like one it looks, nor is what stands behind a body that turned
// out malformed.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	size := len(crlf(get))
	for name, tc := range map[string]struct{ head, rest string }{
		"a known length":       {"Content-Length: 100000\n\npart", strings.Repeat(get, 1000)},
		"a rest that is cut":   {fmt.Sprintf("Content-Length: %d\n\npart", 4+size+1), get},
		"the rest and more":    {fmt.Sprintf("Content-Length: %d\n\npart", 4+size), get + get},
		"chunks":               {"Transfer-Encoding: chunked\n\n4\npart\n", fmt.Sprintf("%x\n%s\n0\n\n%s", size, get, get)},
		"a chunk that is none": {"Transfer-Encoding: chunked\n\n4\npart\n", get},
	} {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				rg := newRig(t, impl, func(c *wire) {
					head, err := c.head()
					if err != nil {
						return
					}
					if !strings.HasPrefix(head, "POST ") {
						t.Errorf("the upstream was asked %q", head)
					}
					if strings.Contains(head, "chunked") {
						c.expect("4\n")
					}
					c.expect("part")
					c.send(ok)
					silence(c)
				})
				c := rg.client()
				c.send("POST / HTTP/1.1\nHost: a.example\n" + tc.head)
				if got, err := c.message(false); got != okLast {
					t.Errorf("got %q (%v)", got, err)
				}
				_, _ = io.WriteString(c.Conn, crlf(tc.rest)) // or it is closed
				c.expectClose()
				if _, seen := rg.upstream.connections(); seen != 1 {
					t.Errorf("%d connections to the upstream", seen)
				}
			})
		})
	}
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
