package upstream_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/internal/upstream"
)

const refusal = "HTTP/1.1 413 Request Entity Too Large\nContent-Length: 3\nContent-Type: a/b\n\nbig"

func TestEarlyAnswerArrivesWhileTheBodyIsComing(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.head(); err == nil {
				c.expect("part")
				c.send(refusal)
				_, _ = c.br.ReadByte()
			}
		})
		c := rg.client()
		c.send("POST / HTTP/1.1\nHost: a.example\nContent-Length: 100000\n\npart")
		if got, err := c.message(false); !strings.HasSuffix(got, "\nbig") {
			t.Errorf("got %q (%v) before the body was sent", got, err)
		}
	})
}

// Neither side gets the end of what it has begun when the client's body turns out
// malformed behind the beginning of the answer.
func TestMalformedBodyBreaksAnAnswerThatHasBegun(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rest := make(chan string, 1)
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.head(); err == nil {
				c.expect("4\npart\n")
				c.send("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n")
				b, _ := io.ReadAll(c.br)
				rest <- string(b)
			}
		})
		c := rg.client()
		c.send("POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n4\npart\n")
		if head, err := c.head(); !strings.Contains(head, "\r\nConnection: close\r\n") {
			t.Errorf("got %q (%v)", head, err)
		}
		c.expect("3\nabc\n")
		c.send("zz\n" + get)
		c.expectClose()
		if b := wait(t, "the upstream's connection to end", rest); b != "" {
			t.Errorf("the upstream got %q", b)
		}
		wait(t, "the report", rg.aborts)
	})
}

// An upstream that hangs up while the client pauses in its body is noticed then,
// and not when the client goes on.
func TestUpstreamThatDiesWhileTheClientPauses(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		for name, head := range map[string]string{"a known length": "Content-Length: 10000\n\n", "chunks": "Transfer-Encoding: chunked\n\n"} {
			t.Run(name, func(t *testing.T) {
				rg := newRig(t, impl, func(c *wire) {
					if _, err := c.head(); err == nil {
						c.expect("4\npart\n")
					}
				})
				c := rg.client()
				c.send("POST / HTTP/1.1\nHost: a.example\n" + head + "4\npart\n")
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
					t.Errorf("got %q (%v)", got, err)
				}
				if err := wait(t, "the report", rg.errors); err.Kind != upstream.NoAnswer || !err.Written {
					t.Error(err)
				}
			})
		}
	})
}

// An app that refuses an upload answers and closes without reading the rest:
// its system resets the connection, and writing to it fails. Between the two,
// the connection must not be taken for an idle one.
func TestEarlyAnswerSurvivesTheReset(t *testing.T) {
	const rounds = 20
	for name, head := range map[string]string{
		"a known length": "Content-Length: 400000\n\n",
		"chunks":         "Transfer-Encoding: chunked\n\n61A80\n", // one chunk of as many
	} {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				rg := newRig(t, impl, func(c *wire) {
					if _, err := c.head(); err == nil {
						c.send(refusal)
					}
				})
				var clients sync.WaitGroup
				for range 16 {
					clients.Go(func() {
						for range rounds {
							refused(t, rg, head)
						}
					})
				}
				clients.Wait()
			})
		})
	}
}

func refused(t *testing.T, rg *rig, head string) {
	c := rg.client()
	c.send("POST / HTTP/1.1\nHost: a.example\n" + head)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = c.Write(make([]byte, 400000)) // fails when the proxy closes
	}()
	if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.HasSuffix(got, "\nbig") {
		t.Errorf("got %q (%v)", got, err)
	}
	_ = c.Close()
	<-written
}
