package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of a test; no rule depends on it.
const patience = 20 * time.Second

// An implementation is a server: ours, or the one that judges it.
type implementation struct {
	name  string
	start func(http.Handler, net.Listener) (stop func())
}

func ours() implementation {
	return implementation{"ours", func(h http.Handler, ln net.Listener) func() {
		s := newServer(h)
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Serve(ln) })
		return func() { _ = s.Close(); wg.Wait() }
	}}
}

func netHTTP() implementation {
	return implementation{"net/http", func(h http.Handler, ln net.Listener) func() {
		s := &http.Server{
			Handler: h, DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0),
			ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Serve(ln) })
		return func() { _ = s.Close(); wg.Wait() }
	}}
}

// serve starts impl around h on a socket, waits for its handlers at the end,
// and returns its address.
func serve(t testing.TB, impl implementation, h http.Handler) string {
	t.Helper()
	ln := listen(t)
	var handlers sync.WaitGroup
	stop := impl.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h.ServeHTTP(w, r)
	}), ln)
	t.Cleanup(func() { stop(); handlers.Wait() })
	return ln.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// A wire is a client's connection seen as bytes.
type wire struct {
	*net.TCPConn
	t  testing.TB
	br *bufio.Reader
}

func dial(t testing.TB, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return wireOf(t, c)
}

func wireOf(t testing.TB, c net.Conn) *wire {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wire{c.(*net.TCPConn), t, newReader(c)}
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// crlf makes \r\n of each \n, and \n of each \v.
func crlf(s string) string { return strings.NewReplacer("\n", "\r\n", "\v", "\n").Replace(s) }

// send writes s in the form of crlf.
func (c *wire) send(s string) {
	if _, err := io.WriteString(c.TCPConn, crlf(s)); err != nil {
		c.t.Errorf("sending %.40q: %v", s, err)
	}
}

// message reads one answer and puts it in one form: \n for \r\n, fields sorted,
// Date dropped, chunks joined, the trailer behind the body.
func (c *wire) message(head bool) (string, error) { return readMessage(c.br, head) }

func readMessage(br *bufio.Reader, head bool) (string, error) {
	start, err := readLine(br)
	if err != nil {
		return start, err
	}
	fields, err := readFields(br)
	out := start + "\n" + strings.Join(fields, "") + "\n"
	if err != nil {
		return out, err
	}
	body, err := readBody(br, start, fields, head)
	return out + body, err
}

// readLine also reports a line that does not end with CRLF.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	if err == nil && !strings.HasSuffix(line, "\r\n") {
		err = fmt.Errorf("a line that ends with LF alone: %q", line)
	}
	return strings.TrimSuffix(line, "\r\n"), err
}

func readFields(br *bufio.Reader) ([]string, error) {
	var fields []string
	for {
		line, err := readLine(br)
		if err != nil || line == "" {
			slices.SortStableFunc(fields, func(a, b string) int {
				an, _, _ := strings.Cut(a, ":")
				bn, _, _ := strings.Cut(b, ":")
				return strings.Compare(an, bn)
			})
			return fields, err
		}
		if !strings.HasPrefix(line, "Date: ") {
			fields = append(fields, line+"\n")
		}
	}
}

func readBody(br *bufio.Reader, start string, fields []string, head bool) (string, error) {
	code := "000"
	if words := strings.Fields(start); len(words) > 1 {
		code = words[1]
	}
	if head || code[0] == '1' || code == "204" || code == "304" {
		return "", nil
	}
	for _, f := range fields {
		if f == "Transfer-Encoding: chunked\n" {
			return readChunks(br)
		}
		if n, ok := strings.CutPrefix(f, "Content-Length: "); ok {
			size, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				return "", err
			}
			b := make([]byte, size)
			got, err := io.ReadFull(br, b)
			return string(b[:got]), err
		}
	}
	b, err := io.ReadAll(br)
	return string(b), err
}

func readChunks(br *bufio.Reader) (string, error) {
	var body strings.Builder
	for {
		line, err := readLine(br)
		if err != nil {
			return body.String(), err
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return body.String(), err
		}
		if size == 0 {
			trailer, err := readFields(br)
			return body.String() + strings.Join(trailer, ""), err
		}
		if _, err := io.CopyN(&body, br, int64(size)); err != nil {
			return body.String(), err
		}
		if end, err := readLine(br); end != "" || err != nil {
			return body.String(), fmt.Errorf("%q (%w) after a chunk", end, err)
		}
	}
}

// probe asks for what isProbe answers.
const (
	probe  = "GET /probe HTTP/1.1\nHost: a\n\n"
	probed = "HTTP/1.1 200 OK\nContent-Length: 6\nContent-Type: text/plain\n\nprobed"
)

func isProbe(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/probe" {
		return false
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "probed")
	return true
}

// fate is what becomes of a connection: whether it carries another request.
func (c *wire) fate() string {
	_, _ = io.WriteString(c.TCPConn, crlf(probe)) // or it is closed
	switch m, err := c.message(false); {
	case m == probed && err == nil:
		return "kept"
	case err == nil, m != "":
		return "spoken on: " + m
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "deaf"
	}
	return "closed"
}

// ending is the way in which a message broke off.
func ending(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNRESET):
		return "<reset>"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "<cut>"
	}
	return "<" + err.Error() + ">"
}

// eventually waits for a condition that no channel tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("still not: %s", what)
			return
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
