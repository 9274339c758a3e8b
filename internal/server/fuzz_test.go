package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/server"
)

// A cannedConn gives the bytes of a reader to be read.
type cannedConn struct {
	net.Conn
	r io.Reader
}

func (c cannedConn) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c cannedConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c cannedConn) Close() error                     { return nil }
func (c cannedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c cannedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (c cannedConn) SetWriteDeadline(time.Time) error { return nil }

// fuzzedLimit is the header's, small enough for a fuzzer to reach.
const fuzzedLimit = 8 << 10

func seeds(f *testing.F) {
	f.Helper()
	f.Add([]byte(crlf(everyForm)))
	for _, r := range slices.Concat(requestRows(), targetRows(), connectionRows(), pipelineRows(), bodyRows(), continueRows()) {
		if len(r.send) < 3000 {
			f.Add([]byte(crlf(r.send)))
		}
	}
	for _, r := range slices.Concat(refusedLines(), refusedFields()[:40], refusedFramings()) {
		if len(r.send) < 3000 {
			f.Add([]byte(crlf(r.send)))
		}
	}
}

// A reading is what there is to be said about a request.
type reading struct {
	Method, URI, Host, Proto string
	URL                      string // all its fields
	Header, Trailer          http.Header
	Length                   int64
	Codings                  []string
	Close                    bool
	Body                     string
	Failed                   bool // the body
	Rest                     int  // bytes behind it
}

func readingOf(r *http.Request, body []byte, failed bool, rest int) reading {
	if failed {
		rest = 0 // the connection ends
	}
	header := maps.Clone(r.Header)
	trailer := http.Header{}
	maps.Copy(trailer, r.Trailer)
	return reading{
		r.Method, r.RequestURI, r.Host, r.Proto, fmt.Sprintf("%+v", *r.URL), header, trailer, r.ContentLength, r.TransferEncoding, r.Close, string(body), failed, rest,
	}
}

// judge reads a request as net/http does. What ours leaves out on purpose is
// left out: Cache-Control for Pragma, and trailers that were not announced.
func judge(br *bufio.Reader) (reading, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return reading{}, err
	}
	announced := slices.Collect(maps.Keys(r.Trailer))
	body, err := io.ReadAll(r.Body)
	rest, _ := io.Copy(io.Discard, br)
	for name := range r.Trailer {
		if !slices.Contains(announced, name) {
			delete(r.Trailer, name)
		}
	}
	return readingOf(r, body, err != nil, int(rest)), nil
}

// read reads a request as ours does, of the given source.
func read(src io.Reader) (reading, int, error) {
	q := server.NewRequests(cannedConn{r: src}, fuzzedLimit)
	got, status, err := q.Next()
	if err != nil {
		return reading{}, status, err
	}
	rest, _ := io.Copy(io.Discard, src)
	return readingOf(got.Request, got.Body, got.BodyErr != nil, len(got.Rest)+int(rest)), 0, nil
}

// FuzzRequest: what ours accepts, net/http accepts, and reads the same in it.
func FuzzRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := read(bytes.NewReader(data))
		if err != nil {
			return
		}
		want, err := judge(bufio.NewReaderSize(bytes.NewReader(data), 64<<10))
		if err != nil {
			t.Fatalf("net/http refuses it (%v), ours reads %+v", err, got)
		}
		differ(t, want, got)
	})
}

func differ(t *testing.T, want, got reading) {
	t.Helper()
	if got.Failed { // ours refuses more, and how much comes before is a matter of buffers
		want.Failed, want.Body, want.Rest, want.Trailer = true, got.Body, 0, got.Trailer
	}
	if _, ok := got.Header["Cache-Control"]; !ok && got.Header["Pragma"] != nil {
		delete(want.Header, "Cache-Control")
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("net/http (-) ours (+):\n%s", cmp.Diff(want, got))
	}
}

// A fragments reader gives what it has in pieces of random size.
type fragments struct {
	data []byte
	rnd  *rand.Rand
}

func (r *fragments) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+r.rnd.IntN(1+r.rnd.IntN(60)))], r.data)
	r.data = r.data[n:]
	return n, nil
}

// FuzzRequestOfFragments: the pieces in which a stream comes change nothing,
// whole connections long.
func FuzzRequestOfFragments(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		rnd := rand.New(rand.NewPCG(uint64(len(data)), 1))
		whole := server.NewRequests(cannedConn{r: bytes.NewReader(data)}, fuzzedLimit)
		parts := server.NewRequests(cannedConn{r: &fragments{bytes.Clone(data), rnd}}, fuzzedLimit)
		for {
			want, wantStatus, wantErr := whole.Next()
			got, gotStatus, gotErr := parts.Next()
			if wantStatus != gotStatus || (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("whole %d %v, in pieces %d %v", wantStatus, wantErr, gotStatus, gotErr)
			}
			if wantErr != nil {
				return
			}
			failed := want.BodyErr != nil
			w, g := readingOf(want.Request, want.Body, failed, 0), readingOf(got.Request, got.Body, got.BodyErr != nil, 0)
			if !reflect.DeepEqual(w, g) {
				t.Fatalf("whole (-) in pieces (+):\n%s", cmp.Diff(w, g))
			}
			if failed || want.Request.Close {
				return
			}
		}
	})
}

// requestsIn counts the requests that a strict reader finds in a stream before
// it ends: those of which the whole header comes. A GET's body is left, so that
// one that has to be asked for is the last.
func requestsIn(data []byte) int {
	q := server.NewRequests(cannedConn{r: bytes.NewReader(data)}, fuzzedLimit)
	for n := 0; ; n++ {
		got, _, err := q.Next()
		switch {
		case err != nil:
			return n
		case got.BodyErr != nil || got.Request.Close:
			return n + 1
		case got.Request.Method == "GET" && got.Request.ContentLength != 0 && got.Request.ProtoMinor > 0 && got.Request.Header["Expect"] != nil:
			return n + 1
		}
	}
}

// FuzzConversation: a whole server, which comes through whatever is
// sent, ends, and calls its handler as often as there are requests.
func FuzzConversation(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		var calls atomic.Int32
		srv := newFuzzedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header().Set("Content-Type", "text/plain")
			if r.Method == "GET" {
				_, _ = io.WriteString(w, "got") // the body, if any, is left
				return
			}
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Length", itoa(len(b)))
			_, _ = w.Write(b)
		}))
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		var running sync.WaitGroup
		running.Go(func() { _ = srv.Serve(ln) })
		ended := make(chan struct{})
		ln.conns <- endingConn{cannedConn{r: &fragments{data, rand.New(rand.NewPCG(uint64(len(data)), 2))}}, ended}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the connection did not end")
		}
		_ = srv.Close()
		running.Wait()
		if want := requestsIn(data); int(calls.Load()) != want {
			t.Errorf("%d requests served, want %d", calls.Load(), want)
		}
	})
}

// An endingConn tells when it is closed.
type endingConn struct {
	cannedConn
	ended chan struct{}
}

func (c endingConn) Close() error {
	close(c.ended) // the server does so once
	return nil
}

func newFuzzedServer(h http.Handler) *server.Server {
	return server.New(server.Config{
		Handler: h, HeaderTimeout: time.Minute, IdleTimeout: time.Minute, ClientTimeout: time.Minute, RestTimeout: time.Minute,
		MaxHeaderBytes: fuzzedLimit,
	})
}

// The strict reader of FuzzConversation and its seeds are right.
func TestRequestsIn(t *testing.T) {
	for name, tc := range map[string]struct {
		stream string
		want   int
	}{
		"every form": {everyForm, 6},
		"nothing":    {"", 0},
		"half":       {"GET / HTTP/1.1\nHost", 0},
		"one, cut":   {"POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhel", 1},
		"refused":    {"GET / HTTP/1.1\nHost: a\n\nnonsense\n\nGET / HTTP/1.1\nHost: a\n\n", 1},
	} {
		if got := requestsIn([]byte(crlf(tc.stream))); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if strings.Count(everyForm, "HTTP/1.") != 6 {
		t.Error("every form has six requests")
	}
}
