package main

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A faultProxy passes bytes on between a sidecar and its store, and shows them to
// see first.
type faultProxy struct {
	target string
	// see is called for what was read, before it is passed on; false cuts the
	// connection instead.
	see func(c *faultConn, toStore bool, data []byte) bool

	ln    net.Listener
	mu    sync.Mutex
	conns map[*faultConn]bool
	wg    sync.WaitGroup
}

type faultConn struct {
	client, store net.Conn

	mu   sync.Mutex
	kind string // of the request that was sent last
}

func (c *faultConn) asked() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := c.kind
	c.kind = ""
	return kind
}

func (c *faultConn) ask(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind = kind
}

// listenOn listens on a loopback port that somebody else may have had a moment
// ago.
func listenOn(t *testing.T, port int) net.Listener {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			return ln
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func newFaultProxy(t *testing.T, port int, target string, see func(c *faultConn, toStore bool, data []byte) bool) *faultProxy {
	t.Helper()
	p := &faultProxy{target: target, see: see, ln: listenOn(t, port), conns: map[*faultConn]bool{}}
	p.wg.Go(p.serve)
	return p
}

func (p *faultProxy) serve() {
	for {
		client, err := p.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		store, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.(*net.TCPConn).SetLinger(0)
			_ = client.Close()
			continue
		}
		c := &faultConn{client: client, store: store}
		p.mu.Lock()
		p.conns[c] = true
		p.mu.Unlock()
		p.wg.Go(func() { p.pump(c, client, store, true) })
		p.wg.Go(func() { p.pump(c, store, client, false) })
	}
}

func (p *faultProxy) pump(c *faultConn, from, to net.Conn, toStore bool) {
	defer func() {
		_, _ = c.client.Close(), c.store.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	buf := make([]byte, 256<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.see(c, toStore, buf[:n]) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *faultProxy) close() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		_, _ = c.client.Close(), c.store.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
