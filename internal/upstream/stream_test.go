package upstream_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

func TestAnswerIsStreamed(t *testing.T) {
	for _, tc := range []struct{ name, head, first, second, end string }{
		{"server-sent events", "Content-Type: text/event-stream\nTransfer-Encoding: chunked\n", "b\ndata: 1\n\n\n", "b\ndata: 2\n\n\n", "0\n\n"},
		{"chunks", "Content-Type: a/b\nTransfer-Encoding: chunked\n", "3\none\n", "3\ntwo\n", "0\n\n"},
		{"a known length", "Content-Type: a/b\nContent-Length: 6\n", "one", "two", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				arrived := make(chan struct{})
				rg := newRig(t, impl, func(c *wire) {
					if _, err := c.message(false); err != nil {
						return
					}
					c.send("HTTP/1.1 200 OK\n" + tc.head + "\n" + tc.first)
					<-arrived
					c.send(tc.second + tc.end)
				})
				c := rg.client()
				c.send(get)
				if _, err := c.head(); err != nil {
					t.Error(err)
				}
				c.expect(tc.first)
				close(arrived)
				c.expect(tc.second + tc.end)
			})
		})
	}
}

func TestHeaderOfAnAnswerDoesNotWaitForItsBody(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		arrived := make(chan struct{})
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.message(false); err == nil {
				c.send("HTTP/1.1 200 OK\nContent-Type: a/b\nContent-Length: 3\n\n")
				<-arrived
				c.send("one")
			}
		})
		c := rg.client()
		c.send(get)
		if _, err := c.head(); err != nil {
			t.Error(err)
		}
		close(arrived)
		c.expect("one")
	})
}

func TestUploadIsStreamed(t *testing.T) {
	for _, tc := range []struct{ name, head, first, second, end string }{
		{"chunks", "Transfer-Encoding: chunked\n", "3\none\n", "3\ntwo\n", "0\n\n"},
		{"a known length", "Content-Length: 6\n", "one", "two", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				arrived := make(chan struct{})
				rg := newRig(t, impl, func(c *wire) {
					if _, err := c.head(); err != nil {
						return
					}
					c.expect(tc.first)
					close(arrived)
					c.expect(tc.second + tc.end)
					c.send(ok)
				})
				c := rg.client()
				c.send("POST / HTTP/1.1\nHost: a.example\n" + tc.head + "\n" + tc.first)
				wait(t, "the first piece", arrived)
				c.send(tc.second + tc.end)
				if got, err := c.message(false); got != ok {
					t.Errorf("got %q (%v)", got, err)
				}
			})
		})
	}
}

func TestLargeBodiesPassUnchanged(t *testing.T) {
	const size = 32 << 20
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.head(); err != nil {
				return
			}
			body := &io.LimitedReader{R: c.br, N: size}
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n", size))
			_, _ = io.Copy(c.Conn, body) // an echo, both ways at once
		})
		c := rg.client()
		c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a.example\nContent-Length: %d\n\n", size))
		sent, got := sha256.New(), sha256.New()
		done := make(chan error, 1)
		go func() {
			_, err := io.CopyN(io.MultiWriter(c.Conn, sent), rand.NewChaCha8([32]byte{1}), size)
			done <- err
		}()
		if _, err := c.head(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(got, c.br, size); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, "the upload", done); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
			t.Error("the bytes changed on the way")
		}
	})
}

// stuff writes until the other side takes no more, and returns how much it took.
func stuff(c *wire) int64 {
	var n int64
	for piece := make([]byte, 64<<10); ; {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		k, err := c.Write(piece)
		if n += int64(k); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Error(err)
			}
			return n
		}
	}
}

// mostInFlight is what the sockets of both sides may hold, and one buffer each.
const mostInFlight = 32 << 20

func TestSlowReaderHoldsTheUpstreamBack(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		taken := make(chan int64, 1)
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.message(false); err == nil {
				c.send("HTTP/1.1 200 OK\n\n")
				taken <- stuff(c)
			}
		})
		c := rg.client()
		c.send(get)
		if n := wait(t, "the upstream to be held back", taken); n > mostInFlight {
			t.Errorf("the proxy took %d bytes that nobody read", n)
		}
	})
}

func TestSlowUpstreamHoldsTheClientBack(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		release := make(chan struct{})
		rg := newRig(t, impl, func(*wire) { <-release })
		c := rg.client()
		c.send("POST / HTTP/1.1\nHost: a.example\nContent-Length: 1000000000000\n\n")
		if n := stuff(c); n > mostInFlight {
			t.Errorf("the proxy took %d bytes that nobody read", n)
		}
		close(release)
	})
}

func TestExpectContinue(t *testing.T) {
	const head = "POST / HTTP/1.1\nHost: a.example\nExpect: 100-continue\nContent-Length: 5\n\n"
	forEach(t, func(t *testing.T, impl implementation) {
		t.Run("the upstream's 100 passes once, then the body", func(t *testing.T) {
			rg := newRig(t, impl, func(c *wire) {
				if h, err := c.head(); err != nil || !strings.Contains(h, "Expect: 100-continue\r\n") {
					t.Errorf("%q (%v)", h, err)
				}
				c.send("HTTP/1.1 100 Continue\n\n")
				c.expect("hello")
				c.send(ok)
			})
			c := rg.client()
			c.send(head)
			c.expect("HTTP/1.1 100 Continue\n\n")
			c.send("hello")
			if got, err := c.message(false); got != ok {
				t.Errorf("got %q (%v)", got, err)
			}
		})
		for _, fields := range []string{"", "Connection: close\n"} {
			t.Run("the upstream's refusal passes and the body stays away, "+fields, func(t *testing.T) {
				answer := "HTTP/1.1 401 Unauthorized\n" + fields + "Content-Length: 2\nContent-Type: a/b\n\nno"
				rest := make(chan []byte, 1)
				rg := newRig(t, impl, func(c *wire) {
					if _, err := c.head(); err == nil {
						c.send(answer)
						b, _ := io.ReadAll(c.br)
						rest <- b
					}
				})
				c := rg.client()
				c.send(head)
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 401 ") || !strings.HasSuffix(got, "\nno") {
					t.Errorf("got %q (%v)", got, err)
				}
				c.expectClose() // the body will not come: the connection is of no use
				if b := wait(t, "the upstream's connection to end", rest); len(b) > 0 {
					t.Errorf("the upstream got %q", b)
				}
			})
		}
	})
}

// onlyUnwrap hides every method of a ResponseWriter but the three and Unwrap.
type onlyUnwrap struct{ w http.ResponseWriter }

func (o onlyUnwrap) Header() http.Header         { return o.w.Header() }
func (o onlyUnwrap) Write(p []byte) (int, error) { return o.w.Write(p) }
func (o onlyUnwrap) WriteHeader(status int)      { o.w.WriteHeader(status) }
func (o onlyUnwrap) Unwrap() http.ResponseWriter { return o.w }

func TestUpgrade(t *testing.T) {
	const ask = "GET /chat HTTP/1.1\nHost: a.example\nConnection: keep-alive, Upgrade\nUpgrade: websocket\nSec-Websocket-Key: k\n\n"
	const granted = "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nSec-Websocket-Accept: a\nUpgrade: websocket\n\n"
	wrapped := withWrap(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(onlyUnwrap{w}, r) })
	})
	forEach(t, func(t *testing.T, impl implementation) {
		for _, opts := range [][]rigOption{nil, {wrapped}} {
			t.Run(fmt.Sprintf("bytes pass both ways, halves close apart, wrapped %v", opts != nil), func(t *testing.T) {
				rg := newRig(t, impl, func(c *wire) {
					head, err := c.head()
					if err != nil {
						return
					}
					for _, field := range []string{"Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-Websocket-Key: k\r\n"} {
						if !strings.Contains(head, field) {
							t.Errorf("no %q in %q", field, head)
						}
					}
					c.send(granted + "welcome") // in one write
					c.expect("ping")
					c.send("pong")
					_, _ = io.Copy(io.Discard, c.br) // until the client's half is closed
					c.send("bye")
				}, opts...)
				c := rg.client()
				c.send(ask + "ping") // the client does not wait either
				c.expect(granted + "welcome" + "pong")
				if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Error(err)
				}
				c.expect("bye")
				c.expectClose()
			})
		}
		t.Run("a client that is gone ends the upstream's side", func(t *testing.T) {
			ended := make(chan error, 1)
			rg := newRig(t, impl, func(c *wire) {
				if _, err := c.head(); err == nil {
					c.send(granted)
					_, err = c.br.ReadByte()
					ended <- err
				}
			})
			c := rg.client()
			c.send(ask)
			c.expect(granted)
			_ = c.Close()
			if err := wait(t, "the upstream's side to end", ended); err == nil {
				t.Error("bytes came from nowhere")
			}
		})
		t.Run("a refused upgrade is an ordinary answer", func(t *testing.T) {
			rg := newRig(t, impl, func(c *wire) {
				if _, err := c.head(); err == nil {
					c.send(ok)
					_, _ = c.br.ReadByte()
				}
			})
			c := rg.client()
			c.send(ask)
			if got, err := c.message(false); got != ok {
				t.Errorf("got %q (%v)", got, err)
			}
		})
		t.Run("another protocol than asked for is 502", func(t *testing.T) {
			rg := newRig(t, impl, func(c *wire) {
				if _, err := c.head(); err == nil {
					c.send("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: chess\n\n")
					_, _ = c.br.ReadByte()
				}
			})
			c := rg.client()
			c.send(ask)
			if got, err := c.message(false); got != badGate {
				t.Errorf("got %q (%v)", got, err)
			}
		})
	})
}

func TestClientGone(t *testing.T) {
	gone := func(t *testing.T, impl implementation, send string, serve func(*wire), leave func(*wire)) (*rig, chan error) {
		ended := make(chan error, 1)
		rg := newRig(t, impl, func(c *wire) {
			if _, err := c.head(); err == nil {
				serve(c)
				_, err = io.Copy(io.Discard, c.br)
				ended <- err
			}
		})
		c := rg.client()
		c.send(send)
		leave(c)
		_ = c.Close()
		return rg, ended
	}
	forEach(t, func(t *testing.T, impl implementation) {
		t.Run("while the answer is awaited: the upstream's request is cancelled", func(t *testing.T) {
			asked := make(chan struct{})
			rg, ended := gone(t, impl, get, func(*wire) { close(asked) }, func(*wire) { <-asked })
			wait(t, "the cancellation", ended)
			if err := wait(t, "the report", rg.errors); err.Kind != upstream.Gone || !err.Written {
				t.Error(err)
			}
		})
		t.Run("in the middle of its body: the upstream never sees the end of it", func(t *testing.T) {
			asked := make(chan struct{})
			rg, ended := gone(t, impl, "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n3\nabc\n",
				func(c *wire) { c.expect("3\nabc\n"); close(asked) }, func(*wire) { <-asked })
			wait(t, "the cancellation", ended)
			if err := wait(t, "the report", rg.errors); err.Kind != upstream.Gone || !err.Written {
				t.Error(err)
			}
		})
		t.Run("in the middle of the answer: the upstream's connection is closed", func(t *testing.T) {
			rg, ended := gone(t, impl, get, func(c *wire) { c.send("HTTP/1.1 200 OK\nContent-Type: a/b\n\nabc") },
				func(c *wire) { _, _ = c.head(); c.expect("3\nabc\n") })
			wait(t, "the cancellation", ended)
			if err := wait(t, "the report", rg.aborts); err.Kind != upstream.Gone {
				t.Error(err)
			}
		})
	})
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			for {
				if _, err := c.message(false); err != nil {
					return
				}
				c.send(ok)
			}
		})
		c := rg.client()
		for range 20 {
			c.send(get + "POST / HTTP/1.1\nHost: a.example\nContent-Length: 2\n\nhi") // pipelined
			for range 2 {
				if got, err := c.message(false); got != ok {
					t.Fatalf("got %q (%v)", got, err)
				}
			}
		}
		// net/http may hear of the answer before it notes that it has written all.
		if open, seen := rg.upstream.connections(); seen != 1 && (impl.name == "lean" || seen > 10) {
			t.Errorf("%d connections, %d open, for requests one after the other", seen, open)
		}
		rg.proxy.CloseIdle()
		eventually(t, "no connection is open", func() bool { open, _ := rg.upstream.connections(); return open == 0 })
	})
}
