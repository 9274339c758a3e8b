package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

// A memoryListener hands out the far ends of pipes.
type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "memory"} }

func (l *memoryListener) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, errors.New("closed")
	}
}

// A timedRig is a rig in memory, for a bubble of synctest: its time is not ours.
type timedRig struct {
	t      *testing.T
	proxy  *upstream.Proxy
	front  *memoryListener
	errors chan *upstream.Error
	aborts chan *upstream.Error
}

// timed runs f in a bubble, in front of an upstream that runs serve on every
// connection. The timeouts are the defaults: 60 s, 5 min; the server's are those
// of the sidecar.
func timed(t *testing.T, impl implementation, serve func(*wire), f func(*timedRig), opts ...rigOption) {
	t.Helper()
	o := rigOptions{clientTimeout: clientTimeout}
	for _, opt := range opts {
		opt(&o)
	}
	config := o.config
	synctest.Test(t, func(t *testing.T) {
		rg := &timedRig{t: t, front: newMemoryListener(), errors: make(chan *upstream.Error, 1), aborts: make(chan *upstream.Error, 1)}
		config.URL = "http://app.example"
		config.OnError = func(w http.ResponseWriter, r *http.Request, err *upstream.Error) {
			rg.errors <- err
			upstream.AnswerError(w, r, err)
		}
		config.OnAbort = func(_ *http.Request, err *upstream.Error) { rg.aborts <- err }
		proxy, err := impl.new(config)
		if err != nil {
			t.Fatal(err)
		}
		rg.proxy = proxy
		var wg sync.WaitGroup
		back := newMemoryListener()
		proxy.SetDial(back.dial)
		wg.Go(func() {
			for {
				c, err := back.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					defer c.Close()
					serve(timelessWire(t, c))
				})
			}
		})
		server := newFront(proxy, o.clientTimeout)
		wg.Go(func() { _ = server.Serve(rg.front) })
		f(rg)
		_ = server.Close()
		_ = back.Close()
		proxy.CloseIdle()
		wg.Wait()
	})
}

func timelessWire(t testing.TB, c net.Conn) *wire {
	t.Helper()
	w := newWire(t, c)
	_ = c.SetDeadline(time.Time{})
	return w
}

func (rg *timedRig) client() *wire {
	c, err := rg.front.dial(rg.t.Context())
	if err != nil {
		rg.t.Fatal(err)
	}
	rg.t.Cleanup(func() { _ = c.Close() })
	return timelessWire(rg.t, c)
}

// patientServer leaves clients all the time, for rules about the proxy's clocks.
func patientServer() rigOption { return withClientTimeout(24 * time.Hour) }

// silence reads until the connection ends.
func silence(c *wire) { _, _ = io.Copy(io.Discard, c.br) }

const gatewayTimeout = "HTTP/1.1 504 Gateway Timeout\n"

func TestTimeoutUntilTheHeader(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		for _, tc := range []struct {
			name  string
			serve func(*wire)
		}{
			{"an upstream that says nothing", func(c *wire) { _, _ = c.message(false); silence(c) }},
			{"1xx answers are not the header", func(c *wire) {
				_, _ = c.message(false)
				for range 5 {
					time.Sleep(10 * time.Second)
					_, _ = io.WriteString(c.Conn, crlf("HTTP/1.1 102 Processing\n\n"))
				}
				silence(c)
			}},
			{"a header that does not end", func(c *wire) {
				_, _ = c.message(false)
				c.send("HTTP/1.1 200 OK\nX-A: ")
				for {
					time.Sleep(10 * time.Second)
					if _, err := io.WriteString(c.Conn, "H"); err != nil {
						return
					}
				}
			}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				timed(t, impl, tc.serve, func(rg *timedRig) {
					c := rg.client()
					began := time.Now()
					c.send(get)
					got, err := c.message(false)
					for strings.HasPrefix(got, "HTTP/1.1 102 ") {
						got, err = c.message(false)
					}
					if !strings.HasPrefix(got, gatewayTimeout) || time.Since(began) != upstream.DefaultTimeout {
						t.Errorf("got %q (%v) after %v", got, err, time.Since(began))
					}
					if err := <-rg.errors; err.Kind != upstream.Timeout || !err.Written {
						t.Error(err)
					}
				})
			})
		}
	})
}

func TestUploadIsNotCutWhileItMoves(t *testing.T) {
	const pieces = 20
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) { _, _ = c.message(false); silence(c) }, func(rg *timedRig) {
			c := rg.client()
			c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n", pieces))
			for range pieces {
				time.Sleep(2 * upstream.DefaultTimeout) // a client in a tunnel
				c.send("x")
			}
			began := time.Now()
			got, err := c.message(false)
			if !strings.HasPrefix(got, gatewayTimeout) || time.Since(began) != upstream.DefaultTimeout {
				t.Errorf("got %q (%v) %v after the end of the body", got, err, time.Since(began))
			}
		}, patientServer())
	})
}

func TestUpstreamThatTakesNoBodyIsTooSlow(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) { _, _ = c.head(); time.Sleep(2 * upstream.DefaultTimeout) }, func(rg *timedRig) {
			c := rg.client()
			began := time.Now()
			c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 1000000\n\n")
			go func() { _, _ = c.Write(make([]byte, 1000000)) }() // fails at the end
			if got, err := c.message(false); !strings.HasPrefix(got, gatewayTimeout) || time.Since(began) != upstream.DefaultTimeout {
				t.Errorf("got %q (%v) after %v", got, err, time.Since(began))
			}
			_ = c.Close()
		})
	})
}

// The clock rests while the client's body is waited for, but not while the
// upstream does not even take the header.
func TestUpstreamThatTakesNoHeaderIsTooSlow(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(*wire) { time.Sleep(2 * upstream.DefaultTimeout) }, func(rg *timedRig) {
			c := rg.client()
			began := time.Now()
			c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\n")
			waited := make(chan time.Duration, 1)
			go func() {
				got, err := c.message(false)
				if !strings.HasPrefix(got, gatewayTimeout) {
					t.Errorf("got %q (%v)", got, err)
				}
				waited <- time.Since(began)
			}()
			select {
			case d := <-waited:
				if d -= upstream.DefaultTimeout; d < 0 || d > 100*time.Millisecond { // some to collect and to stop the body
					t.Errorf("answered after a timeout and %v", d)
				}
			case <-time.After(2 * upstream.DefaultTimeout):
				t.Error("it waits for the client's body")
			}
			_ = c.Close()
		}, patientServer())
	})
}

// within reports whether d is limit, or as much less as the server's deadlines
// may be short, or a little more.
func within(d, limit time.Duration) bool {
	return d > limit-time.Second && d < limit+100*time.Millisecond
}

// A client that stops in the middle of its body is the server's to judge, and
// neither the upstream's fault nor held against it.
func TestClientThatStallsInItsBodyIsTheSlowOne(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			if m, err := c.message(false); err == nil {
				t.Errorf("the upstream got a whole request: %q", m)
			}
		}, func(rg *timedRig) {
			c := rg.client()
			began := time.Now()
			c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 10\n\nhello")
			if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 408 ") || !within(time.Since(began), clientTimeout) {
				t.Errorf("got %q (%v) after %v", got, err, time.Since(began))
			}
			if err := <-rg.errors; err.Kind != upstream.BadRequest || !err.Written {
				t.Error(err)
			}
		})
	})
}

// On sockets: httputil.ReverseProxy has a timer that waits for a mutex, which
// stops a bubble's clock.
func TestClientThatTakesNothingIsGivenUp(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(c *wire) {
			_, _ = c.message(false)
			c.send("HTTP/1.1 200 OK\nContent-Type: a/b\n\n")
			for piece := make([]byte, 64<<10); ; {
				if _, err := c.Write(piece); err != nil {
					return
				}
			}
		}, withClientTimeout(300*time.Millisecond))
		c := rg.client()
		c.send(get)
		if _, err := c.head(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-rg.aborts:
			if err.Kind != upstream.Gone {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("it is not reported")
		}
		if _, _, err := c.chunks(); err == nil {
			t.Error("a part looks like the whole")
		}
	})
}

func TestNoTotalDeadlineEndsAStream(t *testing.T) {
	const events = 100
	pause := upstream.DefaultIdleTimeout - time.Second
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			_, _ = c.message(false)
			c.send("HTTP/1.1 200 OK\nContent-Type: text/event-stream\n\n")
			for range events {
				time.Sleep(pause)
				c.send("x")
			}
			silence(c)
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(get)
			if _, err := c.head(); err != nil {
				t.Error(err)
			}
			for range events {
				c.expect("1\nx\n")
			}
			began := time.Now()
			c.expectClose()
			if time.Since(began) != upstream.DefaultIdleTimeout {
				t.Errorf("closed %v after the last byte", time.Since(began))
			}
			if err := <-rg.aborts; err.Kind != upstream.Timeout {
				t.Error(err)
			}
		})
	})
}

func TestSlowReaderIsNotTheUpstreamsFault(t *testing.T) {
	const size = 1 << 20
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			_, _ = c.message(false)
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n", size))
			time.Sleep(time.Second) // the header is flushed alone
			_, _ = c.Write(make([]byte, size))
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(get)
			if _, err := c.head(); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * upstream.DefaultIdleTimeout)
			if n, err := io.CopyN(io.Discard, c.br, size); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}, patientServer())
	})
}

func TestLongUploadKeepsItsAnswerAlive(t *testing.T) {
	const pieces = 10
	pause := upstream.DefaultIdleTimeout - time.Second
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			_, _ = c.head()
			c.send("HTTP/1.1 200 OK\nContent-Length: 2\n\n") // early; the body comes at the end
			_, _ = io.CopyN(io.Discard, c.br, pieces)
			c.send("ok")
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\n\n", pieces))
			if _, err := c.head(); err != nil {
				t.Error(err)
			}
			for range pieces {
				time.Sleep(pause)
				c.send("x")
			}
			c.expect("ok")
		}, patientServer())
	})
}

func TestUpgradedConnectionLivesWhileEitherSideTalks(t *testing.T) {
	const granted = "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\n"
	pause := upstream.DefaultIdleTimeout - time.Second
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			_, _ = c.head()
			c.send(granted)
			silence(c)
		}, func(rg *timedRig) {
			c := rg.client()
			c.send("GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n\n")
			c.expect(granted)
			for range 10 {
				time.Sleep(pause)
				c.send("ping")
			}
			began := time.Now()
			c.expectClose()
			if time.Since(began) != upstream.DefaultIdleTimeout {
				t.Errorf("closed %v after the last byte", time.Since(began))
			}
		})
	})
}

func TestBodyIsAskedForWhenTheUpstreamIgnoresTheExpectation(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) { _, _ = c.message(false); c.send(ok) }, func(rg *timedRig) {
			c := rg.client()
			began := time.Now()
			c.send("POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 5\n\n")
			c.expect("HTTP/1.1 100 Continue\n\n")
			if waited := time.Since(began); waited != time.Second {
				t.Errorf("asked after %v", waited)
			}
			c.send("hello")
			if got, err := c.message(false); got != ok {
				t.Errorf("got %q (%v)", got, err)
			}
		})
	})
}

func TestIdleConnectionsAreClosedBeforeAppServersDo(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		var idle atomic.Int64
		timed(t, impl, func(c *wire) {
			_, _ = c.message(false)
			c.send(ok)
			began := time.Now()
			silence(c)
			idle.Store(int64(time.Since(began)))
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(get)
			if got, err := c.message(false); got != ok {
				t.Errorf("got %q (%v)", got, err)
			}
			time.Sleep(2 * time.Second) // gunicorn's keep-alive
			if d := time.Duration(idle.Load()); d == 0 || d >= 2*time.Second {
				t.Errorf("closed after %v", d)
			}
		})
	})
}
