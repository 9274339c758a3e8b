package upstream_test

import (
	"io"
	"strings"
	"sync"
	"testing"
)

// An upstream that says 100 and at once 103 must not garble what the client
// gets: one 100, then each hint, then the answer.
func TestContinueAndHintsDoNotMeet(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\nLink: a\n\n"
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			for {
				if _, err := c.head(); err != nil {
					return
				}
				_, _ = io.WriteString(c.Conn, crlf("HTTP/1.1 100 Continue\n\n"+hint+hint))
				if _, err := io.CopyN(io.Discard, c.br, 5); err != nil {
					return
				}
				_, _ = io.WriteString(c.Conn, crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
			}
		})
		go drain(rg.errors)
		var clients sync.WaitGroup
		for range 8 {
			c := rg.client()
			clients.Go(func() {
				for range 100 {
					seen := ""
					_, _ = io.WriteString(c.Conn, crlf("POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 5\n\n"))
					for n := 0; !strings.Contains(seen, " 200 OK"); n++ {
						head, err := c.head()
						if err != nil || n > 4 {
							t.Errorf("got %q (%v)", seen+head, err)
							return
						}
						if seen += head; n == 0 {
							_, _ = io.WriteString(c.Conn, "hello")
						}
					}
					if _, err := io.CopyN(io.Discard, c.br, 2); err != nil || strings.Count(seen, "100 Continue") != 1 || strings.Count(seen, "103 Early") != 2 {
						t.Errorf("got %q (%v)", seen, err)
						return
					}
				}
			})
		}
		clients.Wait()
		rg.stop()
		close(rg.errors)
	})
}
