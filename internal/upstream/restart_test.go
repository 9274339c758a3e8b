package upstream_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

// dialOnce connects to addr the first time, and hands later dials to next.
func dialOnce(addr string, next func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	var dials atomic.Int32
	return func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
		return next(ctx)
	}
}

// An app that shuts down listens no more, and serves the connections it has. A
// request that finds none of them free takes the one that comes back first.
func TestRefusedDialWaitsForAConnectionThatComesBack(t *testing.T) {
	dialled := make(chan struct{})
	held := make(chan struct{})
	var requests atomic.Int32
	rg := newRig(t, leanOnly(), func(c *wire) {
		for {
			if _, err := c.message(false); err != nil {
				return
			}
			if requests.Add(1) == 1 {
				<-held
			}
			c.send(ok)
		}
	})
	rg.proxy.SetDial(dialOnce(rg.upstream.addr, func(context.Context) (net.Conn, error) {
		close(dialled)
		return nil, syscall.ECONNREFUSED
	}))
	first, second := rg.client(), rg.client()
	first.send(get)
	eventually(t, "the first request is there", func() bool { return requests.Load() == 1 })
	second.send("POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi")
	wait(t, "the dial", dialled)
	close(held)
	for _, c := range []*wire{first, second} {
		if got, err := c.message(false); got != ok {
			t.Errorf("got %q (%v)", got, err)
		}
	}
}

// Where nothing can come back, or does not soon, a refused dial is a 502.
func TestRefusedDialWaitsNoLongerThanThat(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		began := time.Now()
		rg := newRig(t, leanOnly(), func(c *wire) {
			_, _ = c.message(false)
			c.send("HTTP/1.1 200 OK\n\n") // a stream
			_, _ = c.br.ReadByte()
		})
		refuse := func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		rg.proxy.SetDial(refuse)
		if streaming {
			rg.proxy.SetDial(dialOnce(rg.upstream.addr, refuse))
			c := rg.client()
			c.send(get)
			if _, err := c.head(); err != nil {
				t.Error(err)
			}
		}
		c := rg.client()
		c.send(get)
		if got, err := c.message(false); got != badGate {
			t.Errorf("got %q (%v)", got, err)
		}
		if err := wait(t, "the report", rg.errors); err.Kind != upstream.NotWritten || err.Written {
			t.Error(err)
		}
		if waited := time.Since(began); streaming && waited > patience/2 {
			t.Errorf("answered after %v", waited)
		}
	}
}

// A dial that hangs, as with a full queue, does not keep a request from a
// connection that comes back. Its own connection serves whoever comes next.
func TestDialRacesAConnectionThatComesBack(t *testing.T) {
	dialling, connect := make(chan struct{}), make(chan struct{})
	held := make(chan struct{}, 2)
	var requests atomic.Int32
	rg := newRig(t, leanOnly(), func(c *wire) {
		for {
			if _, err := c.message(false); err != nil {
				return
			}
			requests.Add(1)
			<-held
			c.send(ok)
		}
	})
	addr := rg.upstream.addr
	rg.proxy.SetDial(dialOnce(addr, func(ctx context.Context) (net.Conn, error) {
		close(dialling) // a third dial is one too many
		<-connect
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}))
	first, second := rg.client(), rg.client()
	first.send(get)
	eventually(t, "the first request is there", func() bool { return requests.Load() == 1 })
	second.send(get)
	wait(t, "the dial", dialling)
	held <- struct{}{}
	if got, err := first.message(false); got != ok {
		t.Errorf("got %q (%v)", got, err)
	}
	eventually(t, "the second request is there", func() bool { return requests.Load() == 2 })
	close(connect)
	eventually(t, "the dialled connection is there", func() bool { _, seen := rg.upstream.connections(); return seen == 2 })
	first.send(get)
	eventually(t, "the third request is there", func() bool { return requests.Load() == 3 })
	held <- struct{}{}
	held <- struct{}{}
	for _, c := range []*wire{first, second} {
		if got, err := c.message(false); got != ok {
			t.Errorf("got %q (%v)", got, err)
		}
	}
}

// A dead idle connection is not one that may come back.
func TestRefusedRedialIsAnsweredAtOnce(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			if _, err := c.message(false); err == nil {
				c.send(ok)
			}
			_, _ = c.message(false) // and closes
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(get)
			if got, err := c.message(false); got != ok {
				t.Fatalf("got %q (%v)", got, err)
			}
			rg.proxy.SetDial(func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
			began := time.Now()
			c.send(get)
			if got, err := c.message(false); got != badGate || time.Since(began) != 0 {
				t.Errorf("got %q (%v) after %v", got, err, time.Since(began))
			}
			if n := upstream.Taken(rg.proxy); n != 0 {
				t.Errorf("%d connections are with requests", n)
			}
			<-rg.errors
		})
	})
}

// Timeout is one clock over everything that a request waits for.
func TestRedialDoesNotBeginTheClockAgain(t *testing.T) {
	const left = 20 * time.Second
	forEach(t, func(t *testing.T, impl implementation) {
		timed(t, impl, func(c *wire) {
			if _, err := c.message(false); err == nil {
				c.send(ok)
			}
			if _, err := c.message(false); err == nil {
				time.Sleep(upstream.DefaultTimeout - left) // and then closes
			}
		}, func(rg *timedRig) {
			c := rg.client()
			c.send(get)
			if got, err := c.message(false); got != ok {
				t.Fatalf("got %q (%v)", got, err)
			}
			rg.proxy.SetDial(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
			began := time.Now()
			c.send(get)
			got, err := c.message(false)
			if !strings.HasPrefix(got, gatewayTimeout) || time.Since(began) != upstream.DefaultTimeout {
				t.Errorf("got %q (%v) after %v", got, err, time.Since(began))
			}
			if err := <-rg.errors; err.Kind != upstream.Timeout || !err.Written {
				t.Error(err)
			}
		})
	})
}

// A redial that is given up by DialTimeout is a timeout, whatever was written
// before.
func TestRedialThatTimesOutIs504(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		var requests atomic.Int32
		rg := newRig(t, impl, warmThen(&requests, func(*wire) bool { return false }))
		rg.proxy.SetDial(dialOnce(rg.upstream.addr, func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}
		}))
		c := rg.client()
		for _, want := range []string{"HTTP/1.1 200 ", "HTTP/1.1 504 "} {
			c.send(get)
			if got, err := c.message(false); !strings.HasPrefix(got, want) {
				t.Fatalf("got %q (%v), want %s", got, err, want)
			}
		}
		if err := wait(t, "the report", rg.errors); err.Kind != upstream.Timeout || !err.Written {
			t.Error(err)
		}
	})
}
