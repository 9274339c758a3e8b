package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A program is what a handler does, drawn from bytes.
type program struct {
	code   []byte
	body   []byte // what Write took
	dead   bool   // it panicked
	status int    // the final one; 0: none said
}

func (p *program) next() int {
	if len(p.code) == 0 {
		return 0
	}
	b := p.code[0]
	p.code = p.code[1:]
	return int(b)
}

var (
	programStatuses = []int{200, 404, 204, 304, 100, 103, 101, 205, 500, 599}
	programSizes    = []int{0, 1, 100, 2047, 2048, 2049, 5000, 70000}
	programNames    = []string{
		"Content-Length", "Transfer-Encoding", "Connection", "Content-Type", "Trailer", "X-T", http.TrailerPrefix + "X-U", "Content-Encoding",
		"Date", "content-length", "X A", "X-A\r\nX-B",
	}
	programValues = []string{
		"", "0", "5", "100", "2048", "5000", "-1", "+5", "5, 5", "chunked", "identity", "gzip", "close", "keep-alive", "x-a, close", "X-T", "X-T, Content-Length,",
		"a\r\nContent-Length: 5", "\x00", " 5",
	}
)

func (p *program) run(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			p.dead = true
			panic(v)
		}
	}()
	for len(p.code) > 0 {
		switch p.next() % 8 {
		case 0, 1:
			n, _ := w.Write(bytes.Repeat([]byte("x"), programSizes[p.next()%len(programSizes)]))
			p.wrote(n)
		case 2:
			_ = http.NewResponseController(w).Flush()
			p.said(200)
		case 3:
			name := programNames[p.next()%len(programNames)]
			w.Header()[name] = append(w.Header()[name], programValues[p.next()%len(programValues)])
		case 4:
			status := programStatuses[p.next()%len(programStatuses)]
			w.WriteHeader(status)
			if status >= 200 || status == 101 {
				p.said(status)
			}
		case 5:
			_, _ = io.CopyN(io.Discard, r.Body, int64(p.next()))
		case 6:
			if p.next()%4 == 0 {
				panic(http.ErrAbortHandler)
			}
		case 7:
			delete(w.Header(), programNames[p.next()%len(programNames)])
		}
	}
}

func (p *program) wrote(n int) {
	p.said(200)
	p.body = append(p.body, bytes.Repeat([]byte("x"), n)...)
}

func (p *program) said(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// A recordingConn keeps what is written, and whether it ended by a reset.
type recordingConn struct {
	endingConn
	mu      *sync.Mutex
	written *bytes.Buffer
	reset   *bool
}

func (c recordingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written.Write(p)
}

func (c recordingConn) SetLinger(int) error { *c.reset = true; return nil }

func (c recordingConn) Close() error {
	select {
	case <-c.ended:
	default:
		close(c.ended)
	}
	return nil
}

// FuzzAnswer: whatever a handler does, a client reads from its answer exactly
// what was written, or sees that it was cut, and the answer behind it is the
// next request's.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 2})
	f.Add([]byte{1, 0, 4, 2, 1, 2, 0, 3})
	f.Add([]byte{2, 3, 0, 2, 0, 2, 3, 4, 15, 2, 0, 1, 6, 0})
	f.Add([]byte{3, 3, 0, 5, 0, 6, 0, 1})
	f.Add([]byte{4, 4, 2, 0, 1})
	f.Add([]byte{5, 3, 1, 9, 3, 0, 2, 0, 7})
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) == 0 || len(code) > 100 {
			return
		}
		p := &program{code: code[1:]}
		method, send := "GET", ""
		switch code[0] % 6 {
		case 0:
			send = "GET / HTTP/1.1\nHost: a\n\n"
		case 1:
			method, send = "HEAD", "HEAD / HTTP/1.1\nHost: a\n\n"
		case 2:
			method, send = "POST", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"
		case 3:
			send = "GET / HTTP/1.0\nConnection: keep-alive\n\n"
		case 4:
			method, send = "POST", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n\nhello"
		case 5:
			method, send = "HEAD", "HEAD / HTTP/1.0\nConnection: keep-alive\n\n"
		}
		written, wasReset := runProgram(t, p, send)
		checkAnswer(t, p, method, written, wasReset)
	})
}

func runProgram(t *testing.T, p *program, send string) (written []byte, wasReset bool) {
	t.Helper()
	srv := newFuzzedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isProbe(w, r) {
			p.run(w, r)
		}
	}))
	ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	conn := recordingConn{
		endingConn{cannedConn{r: strings.NewReader(crlf(send + probe))}, make(chan struct{})},
		new(sync.Mutex), new(bytes.Buffer), &wasReset,
	}
	ln.conns <- conn
	select {
	case <-conn.ended:
	case <-time.After(patience):
		t.Fatal("the connection did not end")
	}
	_ = srv.Close()
	running.Wait()
	return conn.written.Bytes(), wasReset
}

// checkAnswer reads as clients do.
func checkAnswer(t *testing.T, p *program, method string, written []byte, wasReset bool) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(written))
	var resp *http.Response
	var err error
	for {
		resp, err = http.ReadResponse(br, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == 101 {
			break
		}
	}
	if err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || !p.dead {
			t.Fatalf("no answer: %v in %.300q", err, written)
		}
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || wasReset {
		if declared := resp.ContentLength; !p.dead && (declared < 0 || int64(len(p.body)) >= declared) {
			t.Fatalf("cut: %v in %.300q", err, written)
		}
		return
	}
	if want := max(p.status, 200); resp.StatusCode != want && p.status != 101 {
		t.Errorf("status %d, the handler's was %d", resp.StatusCode, want)
	}
	if method != "HEAD" && !bytes.Equal(body, p.body) {
		t.Errorf("%d bytes, %d were written: %.300q", len(body), len(p.body), written)
	}
	if p.dead && method != "HEAD" && resp.StatusCode != 204 && resp.StatusCode != 304 && resp.StatusCode != 101 &&
		(resp.ContentLength < 0 || len(body) < int(resp.ContentLength)) {
		t.Errorf("looks whole: %.300q", written)
	}
	rest, _ := io.ReadAll(br)
	switch next, err := readMessage(newReader(bytes.NewReader(rest)), false); {
	case len(rest) == 0 && (resp.Close || p.dead || resp.StatusCode == 101):
	case next == probed && err == nil:
	default:
		t.Errorf("behind the answer %.300q of %.300q", rest, written)
	}
}
