package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/server"
	"github.com/handrail-go/handrail/internal/upstream"
)

// An implementation is one engine of the proxy. Every rule holds for each.
type implementation struct {
	name string
	new  func(upstream.Config) (*upstream.Proxy, error)
}

func implementations() []implementation {
	through := func(transport string) implementation {
		return implementation{transport, func(c upstream.Config) (*upstream.Proxy, error) {
			c.Transport = transport
			return upstream.New(c)
		}}
	}
	return []implementation{through(upstream.TransportStandard), through(upstream.TransportLean)}
}

// forEach runs f over every implementation.
func forEach(t *testing.T, f func(t *testing.T, impl implementation)) {
	t.Helper()
	for _, impl := range implementations() {
		t.Run(impl.name, func(t *testing.T) { f(t, impl) })
	}
}

// patience bounds every wait of a test; no rule depends on it.
const patience = 10 * time.Second

// A rig is a proxy between a raw upstream and raw clients.
type rig struct {
	t        *testing.T
	proxy    *upstream.Proxy
	addr     string
	upstream *rawUpstream
	stop     func()               // ends the server and waits for its handlers
	errors   chan *upstream.Error // what OnError saw
	aborts   chan *upstream.Error // what OnAbort saw
}

type rigOption func(*rigOptions)

type rigOptions struct {
	config  upstream.Config
	trusted string // prefixes of trusted proxies
	header  http.Header
	wrap    func(http.Handler) http.Handler

	clientTimeout time.Duration // of the server
}

func withConfig(f func(*upstream.Config)) rigOption {
	return func(o *rigOptions) { f(&o.config) }
}

// withTrusted makes the loopback a trusted proxy.
func withTrusted() rigOption { return func(o *rigOptions) { o.trusted = "loopback" } }

// withOuter sets a header on the answer before the proxy runs, as outer
// handlers do.
func withOuter(h http.Header) rigOption { return func(o *rigOptions) { o.header = h } }

func withWrap(wrap func(http.Handler) http.Handler) rigOption {
	return func(o *rigOptions) { o.wrap = wrap }
}

// withClientTimeout is how long the server waits for the client's next bytes.
func withClientTimeout(d time.Duration) rigOption {
	return func(o *rigOptions) { o.clientTimeout = d }
}

// newRig starts a raw upstream that runs serve on every connection, and a proxy
// in front of it.
func newRig(t *testing.T, impl implementation, serve func(*wire), opts ...rigOption) *rig {
	t.Helper()
	o := rigOptions{clientTimeout: clientTimeout}
	for _, opt := range opts {
		opt(&o)
	}
	rg := &rig{t: t, upstream: newRawUpstream(t, serve), errors: make(chan *upstream.Error, 16), aborts: make(chan *upstream.Error, 16)}
	if o.config.URL == "" {
		o.config.URL = "http://" + rg.upstream.addr
	}
	onError := o.config.OnError
	if onError == nil {
		onError = upstream.AnswerError
	}
	o.config.OnError = func(w http.ResponseWriter, r *http.Request, err *upstream.Error) {
		rg.errors <- err
		onError(w, r, err)
	}
	o.config.OnAbort = func(_ *http.Request, err *upstream.Error) { rg.aborts <- err }
	proxy, err := impl.new(o.config)
	if err != nil {
		t.Fatal(err)
	}
	rg.proxy = proxy
	rg.serve(o)
	return rg
}

func (rg *rig) serve(o rigOptions) {
	rg.t.Helper()
	var trusted clientip.Prefixes
	if o.trusted != "" {
		var err error
		if trusted, err = clientip.ParsePrefixes([]string{o.trusted}); err != nil {
			rg.t.Fatal(err)
		}
	}
	resolver, err := clientip.New(trusted, o.config.ForwardedHeader)
	if err != nil {
		rg.t.Fatal(err)
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), o.header)
		rg.proxy.ServeHTTP(w, r.WithContext(clientip.NewContext(r.Context(), resolver.Resolve(r))))
	})
	if o.wrap != nil {
		h = o.wrap(h)
	}
	ln := listen(rg.t)
	rg.addr = ln.Addr().String()
	var running, handlers sync.WaitGroup
	front := newFront(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h.ServeHTTP(w, r)
	}), o.clientTimeout)
	running.Go(func() { _ = front.Serve(ln) })
	rg.stop = func() {
		_ = front.Close()
		running.Wait()
		handlers.Wait()
		rg.proxy.CloseIdle()
	}
	rg.t.Cleanup(rg.stop)
}

// clientTimeout is how long the sidecar waits for the client's next bytes, or
// for the client to take some.
const clientTimeout = time.Minute

// newFront returns the server that the sidecar has in front of the proxy, with
// its limits but for that of the client's bytes.
func newFront(h http.Handler, limit time.Duration) *server.Server {
	return server.New(server.Config{
		Handler:        h,
		HeaderTimeout:  10 * time.Second,
		IdleTimeout:    2 * time.Minute,
		ClientTimeout:  limit,
		RestTimeout:    time.Second / 2,
		MaxHeaderBytes: 64 << 10,
		Log:            slog.New(slog.DiscardHandler),
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// client opens a raw connection to the proxy.
func (rg *rig) client() *wire {
	rg.t.Helper()
	c, err := net.Dial("tcp", rg.addr)
	if err != nil {
		rg.t.Fatal(err)
	}
	rg.t.Cleanup(func() { _ = c.Close() })
	return newWire(rg.t, c)
}

// A rawUpstream hands each connection to a function.
type rawUpstream struct {
	addr string
	mu   sync.Mutex
	open map[net.Conn]bool
	seen int
}

func newRawUpstream(t testing.TB, serve func(*wire)) *rawUpstream {
	t.Helper()
	ln := listen(t)
	u := &rawUpstream{addr: ln.Addr().String(), open: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.open[c] = true
			u.seen++
			u.mu.Unlock()
			wg.Go(func() {
				defer u.forget(c)
				serve(newWire(t, c))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		u.mu.Lock()
		for c := range u.open {
			_ = c.Close()
		}
		u.mu.Unlock()
		wg.Wait()
	})
	return u
}

func (u *rawUpstream) forget(c net.Conn) {
	_ = c.Close()
	u.mu.Lock()
	delete(u.open, c)
	u.mu.Unlock()
}

func (u *rawUpstream) connections() (open, seen int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open), u.seen
}

// A wire is a connection seen as bytes.
type wire struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func newWire(t testing.TB, c net.Conn) *wire {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wire{Conn: c, t: t, br: bufio.NewReader(c)}
}

// send writes s with each \n as \r\n, and each \v as \n.
func (c *wire) send(s string) {
	if _, err := io.WriteString(c.Conn, crlf(s)); err != nil {
		c.t.Errorf("sending %.40q: %v", s, err)
	}
}

// crlf also makes each \v a bare LF.
func crlf(s string) string { return strings.NewReplacer("\n", "\r\n", "\v", "\n").Replace(s) }

// expect reads exactly s, with each \n as \r\n.
func (c *wire) expect(s string) {
	c.t.Helper()
	want := crlf(s)
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.br, got)
	if string(got[:n]) != want {
		c.t.Errorf("got %q (%v), want %q", got[:n], err, want)
	}
}

// expectClose waits for the other side to close, and reports what came before.
func (c *wire) expectClose() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	if len(rest) > 0 {
		c.t.Errorf("%q before the connection was closed", rest)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Error("the connection was not closed")
	}
}

// head reads a start line and a header, without interpreting them. Every line
// must end with CRLF.
func (c *wire) head() (string, error) {
	var b strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		b.WriteString(line)
		if err == nil && !strings.HasSuffix(line, "\r\n") {
			err = fmt.Errorf("a line that ends with LF alone: %q", line)
		}
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

// message reads a whole message and puts it in one form: \n for \r\n, fields
// sorted, Date dropped, chunks joined, the trailer's fields after the body.
// bodyless: an answer to HEAD.
func (c *wire) message(bodyless bool) (string, error) {
	head, err := c.head()
	if err != nil {
		return head, err
	}
	start, header, err := parseHead(head)
	if err != nil {
		return head, err
	}
	out := start + "\n" + fields(header) + "\n"
	body, trailer, err := c.body(start, header, bodyless)
	return out + body + fields(trailer), err
}

func (c *wire) body(start string, h textproto.MIMEHeader, bodyless bool) (string, textproto.MIMEHeader, error) {
	answer := strings.HasPrefix(start, "HTTP/")
	status := strings.TrimPrefix(start, "HTTP/1.1 ")
	switch {
	case bodyless, answer && (status[0] == '1' || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304")):
		return "", nil, nil
	case h.Get("Transfer-Encoding") == "chunked":
		return c.chunks()
	case h.Get("Content-Length") != "":
		n, err := strconv.Atoi(h.Get("Content-Length"))
		if err != nil {
			return "", nil, err
		}
		b := make([]byte, n)
		got, err := io.ReadFull(c.br, b)
		return string(b[:got]), nil, err
	case answer:
		b, err := io.ReadAll(c.br)
		return string(b), nil, err
	}
	return "", nil, nil
}

func (c *wire) chunks() (string, textproto.MIMEHeader, error) {
	var body strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return body.String(), nil, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 31)
		if err != nil {
			return body.String(), nil, err
		}
		if n == 0 {
			trailer, err := textproto.NewReader(c.br).ReadMIMEHeader()
			return body.String(), trailer, err
		}
		if _, err := io.CopyN(&body, c.br, int64(n)); err != nil {
			return body.String(), nil, err
		}
		if _, err := c.br.Discard(2); err != nil {
			return body.String(), nil, err
		}
	}
}

func parseHead(head string) (string, textproto.MIMEHeader, error) {
	start, rest, ok := strings.Cut(head, "\r\n")
	if !ok {
		return "", nil, fmt.Errorf("no start line in %q", head)
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(rest))).ReadMIMEHeader()
	return start, h, err
}

func fields(h textproto.MIMEHeader) string {
	var lines []string
	for name, values := range h {
		if name == "Date" {
			continue
		}
		for i, v := range values {
			lines = append(lines, fmt.Sprintf("%s\x00%d\x00: %s\n", name, i, v))
		}
	}
	slices.Sort(lines)
	var b bytes.Buffer
	for _, l := range lines {
		name, rest, _ := strings.Cut(l, "\x00")
		_, rest, _ = strings.Cut(rest, "\x00")
		b.WriteString(name + rest)
	}
	return b.String()
}

// eventually waits for a condition that no channel tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Errorf("still not: %s", what)
			return
		case <-tick.C:
		}
	}
}

// wait receives from ch, or gives up.
func wait[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

func mustAddr(t testing.TB, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
