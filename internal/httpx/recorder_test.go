package httpx_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// recorded is what a Recorder said after the handler returned or panicked.
type recorded struct {
	status   int
	bytes    int64
	wrote    bool
	hijacked bool
}

func seen(r *httpx.Recorder) recorded {
	return recorded{r.Status(), r.Bytes(), r.Wrote(), r.Hijacked()}
}

// middle is a wrapper of another make: it embeds the interface and unwraps.
type middle struct{ http.ResponseWriter }

func (m middle) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// serve runs handler behind two Recorders with a foreign wrapper in between, in
// a real server. Both must say the same once the handler is done.
func serve(t *testing.T, handler http.HandlerFunc) (*httptest.Server, <-chan recorded) {
	t.Helper()
	done := make(chan recorded, 1)
	srv := quietServer(t, func(w http.ResponseWriter, r *http.Request) {
		outer := httpx.NewRecorder(w)
		inner := httpx.NewRecorder(middle{outer})
		defer func() {
			if in, out := seen(inner), seen(outer); in != out {
				t.Errorf("inner recorder says %+v, outer %+v", in, out)
			}
			done <- seen(outer)
			if p := recover(); p != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		handler(inner, r)
	})
	return srv, done
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

func TestRecorderSaysWhatTheServerSent(t *testing.T) {
	tests := []struct {
		rule    string
		method  string
		handler http.HandlerFunc
		want    recorded
		status  int // what the client sees
		body    string
	}{
		{
			rule:    "nothing written is 0, and the server's 200",
			handler: func(http.ResponseWriter, *http.Request) {},
			want:    recorded{},
			status:  200,
		},
		{
			rule:    "a write alone is 200",
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
			want:    recorded{status: 200, bytes: 5, wrote: true},
			status:  200,
			body:    "hello",
		},
		{
			rule: "of two headers the first counts",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(404)
				w.WriteHeader(200)
			},
			want:   recorded{status: 404, wrote: true},
			status: 404,
		},
		{
			rule: "a header after a body does not count",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "x")
				w.WriteHeader(500)
			},
			want:   recorded{status: 200, bytes: 1, wrote: true},
			status: 200,
			body:   "x",
		},
		{
			rule: "early hints are not final",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusProcessing)
			},
			want:   recorded{},
			status: 200,
		},
		{
			rule: "the final status follows early hints",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(201)
			},
			want:   recorded{status: 201, wrote: true},
			status: 201,
		},
		{
			rule: "a flush sends the header",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				w.WriteHeader(500)
			},
			want:   recorded{status: 200, wrote: true},
			status: 200,
		},
		{
			rule: "a flush by http.ResponseController sends the header",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
			},
			want:   recorded{status: 200, wrote: true},
			status: 200,
		},
		{
			rule: "bytes that a 204 may not have are not counted",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(204)
				if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
					panic(err)
				}
			},
			want:   recorded{status: 204, wrote: true},
			status: 204,
		},
		{
			rule:    "bytes of a HEAD answer are counted and dropped",
			method:  http.MethodHead,
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
			want:    recorded{status: 200, bytes: 5, wrote: true},
			status:  200,
		},
		{
			rule: "io.Copy is counted",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, io.LimitReader(zeros{}, 100_000))
			},
			want:   recorded{status: 200, bytes: 100_000, wrote: true},
			status: 200,
			body:   strings.Repeat("0", 100_000),
		},
		{
			rule: "a copy of nothing writes nothing",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, strings.NewReader(""))
			},
			want:   recorded{},
			status: 200,
		},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			srv, done := serve(t, tc.handler)
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			req, _ := http.NewRequest(method, srv.URL, nil)
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != tc.body || res.StatusCode != tc.status {
				t.Errorf("client got %d, %d bytes, %v; want %d, %d bytes", res.StatusCode, len(body), err, tc.status, len(tc.body))
			}
			if got := receive(t, done); got != tc.want {
				t.Errorf("recorded %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestRecorderKeepsQuietAboutAHeaderThatPanicked(t *testing.T) {
	for _, status := range []int{0, 42, 99, 1000, -1} {
		rec := httpx.NewRecorder(httptest.NewRecorder())
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("WriteHeader(%d) did not panic", status)
				}
			}()
			rec.WriteHeader(status)
		}()
		if rec.Wrote() {
			t.Errorf("after WriteHeader(%d) panicked, Wrote is true: nobody could answer any more", status)
		}
	}
}

func TestRecorderKnowsWhatWasSentWhenTheSourcePanics(t *testing.T) {
	srv, done := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.MultiReader(strings.NewReader("partial"), panicking{}))
	})
	res, err := srv.Client().Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("the client took a cut answer for a complete one")
	}
	if got, want := receive(t, done), (recorded{status: 200, bytes: 7, wrote: true}); got != want {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

func TestRecorderFlushReachesEveryKindOfWriter(t *testing.T) {
	for _, tc := range []struct {
		rule string
		wrap func(http.ResponseWriter) http.ResponseWriter
		want string
	}{
		{"a Flusher", func(w http.ResponseWriter) http.ResponseWriter { return w }, ""},
		{"one that only unwraps", func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{plain{w}, w} }, ""},
		{"a recorder", func(w http.ResponseWriter) http.ResponseWriter { return httpx.NewRecorder(w) }, ""},
		{"FlushError before Flush", func(w http.ResponseWriter) http.ResponseWriter { return brokenFlush{w} }, "broken pipe"},
		{"no way to flush", func(w http.ResponseWriter) http.ResponseWriter { return plain{w} }, "feature not supported"},
	} {
		below := httptest.NewRecorder()
		err := httpx.NewRecorder(tc.wrap(below)).FlushError()
		if (err == nil) != (tc.want == "") || err != nil && err.Error() != tc.want || below.Flushed != (tc.want == "") {
			t.Errorf("%s: %v, flushed %v", tc.rule, err, below.Flushed)
		}
	}
}

func TestRecorderDoesNotAllocate(t *testing.T) {
	below := httptest.NewRecorder()
	below.WriteHeader(http.StatusOK)
	rec := httpx.NewRecorder(below)
	if n := testing.AllocsPerRun(200, func() {
		rec.Reset(below)
		rec.WriteHeader(http.StatusOK)
		_, _ = rec.Write(nil)
		rec.Flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRecorderFlushCountsAHeaderOnlyWhereOneWasWritten(t *testing.T) {
	rec := httpx.NewRecorder(plain{httptest.NewRecorder()})
	if err := rec.FlushError(); !errors.Is(err, http.ErrNotSupported) || rec.Wrote() {
		t.Errorf("a writer that cannot flush: error %v, Wrote %v", err, rec.Wrote())
	}
	if _, _, err := rec.Hijack(); !errors.Is(err, http.ErrNotSupported) || rec.Hijacked() || rec.Wrote() {
		t.Errorf("a writer that cannot hijack: error %v, Hijacked %v, Wrote %v", err, rec.Hijacked(), rec.Wrote())
	}
	rec = httpx.NewRecorder(brokenFlush{httptest.NewRecorder()})
	if err := rec.FlushError(); err == nil || rec.Status() != 200 {
		t.Errorf("a flush that broke: error %v, Status %d; the header is gone all the same", err, rec.Status())
	}
	rec.Reset(httptest.NewRecorder())
	if seen(rec) != (recorded{}) {
		t.Errorf("after Reset: %+v", seen(rec))
	}
}

func TestRecorderLetsDeadlinesThrough(t *testing.T) {
	srv, done := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		err := errors.Join(rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)), rc.EnableFullDuplex())
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(202)
	})
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := receive(t, done); got.status != 202 {
		t.Errorf("recorded %+v", got)
	}
}

func TestRecorderRecordsAHijackedConnectionAs101(t *testing.T) {
	for _, announced := range []bool{false, true} {
		srv, done := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
			if announced {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "echo")
				w.WriteHeader(http.StatusSwitchingProtocols)
				answer = ""
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString(answer + "bye")
			_ = rw.Flush()
			if _, err := w.Write([]byte("late")); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("Write after Hijack: %v", err)
			}
		})
		upgraded(t, srv.URL, "bye")
		want := recorded{status: 101, wrote: true, hijacked: true}
		if got := receive(t, done); got != want {
			t.Errorf("announced %v: recorded %+v, want %+v", announced, got, want)
		}
	}
}

// upgraded asks for an upgrade and expects want behind the 101.
func upgraded(t *testing.T, target, want string) {
	t.Helper()
	u, _ := url.Parse(target)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("upgrade: %v, %v", res, err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(br, got); err != nil || string(got) != want {
		t.Errorf("after the upgrade: %q, %v", got, err)
	}
}

// TestRecorderUnderReverseProxy covers what httputil.ReverseProxy does to the
// writer from goroutines of its own: early hints, timed flushes, upgrades.
func TestRecorderUnderReverseProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, rw, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, rw)
			return
		}
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		for range 50 {
			_, _ = io.WriteString(w, "0123456789")
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
		FlushInterval: time.Microsecond,
	}
	srv, done := serve(t, proxy.ServeHTTP)

	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		if code == http.StatusEarlyHints {
			hints++
		}
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, srv.URL, nil)
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if hints != 1 || res.StatusCode != http.StatusTeapot || len(body) != 500 {
		t.Errorf("client got %d hints, status %d, %d bytes", hints, res.StatusCode, len(body))
	}
	if got, want := receive(t, done), (recorded{status: 418, bytes: 500, wrote: true}); got != want {
		t.Errorf("recorded %+v, want %+v", got, want)
	}

	upgraded(t, srv.URL, "hi")
	if got, want := receive(t, done), (recorded{status: 101, wrote: true, hijacked: true}); got != want {
		t.Errorf("upgrade: recorded %+v, want %+v", got, want)
	}
}
