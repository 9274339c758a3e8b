package httpx_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/handrail-go/handrail/internal/httpx"
)

func TestReadBody(t *testing.T) {
	reset := errors.New("connection reset")
	tests := []struct {
		rule   string
		body   io.Reader
		length int64 // as announced; -1 is unknown
		limit  int64
		want   string
		err    error
	}{
		{"no body", nil, 0, 10, "", nil},
		{"an explicitly empty body", http.NoBody, 0, 10, "", nil},
		{"an empty body of unknown length", strings.NewReader(""), -1, 10, "", nil},
		{"limit 0 takes an empty body", strings.NewReader(""), -1, 0, "", nil},
		{"limit 0 refuses one byte", strings.NewReader("a"), -1, 0, "", httpx.ErrBodyTooLarge},
		{"exactly the limit", strings.NewReader("0123456789"), 10, 10, "0123456789", nil},
		{"exactly the limit, length unknown", strings.NewReader("0123456789"), -1, 10, "0123456789", nil},
		{"one byte more, announced", strings.NewReader("0123456789a"), 11, 10, "", httpx.ErrBodyTooLarge},
		{"one byte more, length unknown", strings.NewReader("0123456789a"), -1, 10, "", httpx.ErrBodyTooLarge},
		{"endless", zeros{}, -1, 1 << 20, "", httpx.ErrBodyTooLarge},
		{"more than announced is what counts", strings.NewReader("0123456789a"), 3, 10, "", httpx.ErrBodyTooLarge},
		{"more than announced, within the limit", strings.NewReader("01234"), 3, 10, "01234", nil},
		{"less than announced, as the server's body says", io.MultiReader(strings.NewReader("012"), failing{io.ErrUnexpectedEOF}), 10, 10, "", io.ErrUnexpectedEOF},
		{"a huge announcement takes no memory", strings.NewReader("x"), math.MaxInt64, math.MaxInt64, "x", nil},
		{"the largest limit cuts nothing", strings.NewReader("0123456789"), -1, math.MaxInt64, "0123456789", nil},
		{"one byte at a time", iotest.OneByteReader(strings.NewReader("abc")), 3, 3, "abc", nil},
		{"data together with EOF", iotest.DataErrReader(strings.NewReader("abc")), 3, 3, "abc", nil},
		{"an error in the middle", io.MultiReader(strings.NewReader("abc"), failing{reset}), -1, 10, "", reset},
		{"an error right behind the limit", io.MultiReader(strings.NewReader("abc"), failing{reset}), -1, 3, "", reset},
		{"too large counts before an error", io.MultiReader(strings.NewReader("abcd"), failing{reset}), -1, 3, "", httpx.ErrBodyTooLarge},
		{"a limit set below is too large as well", http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("abcd")), 3), -1, 10, "", httpx.ErrBodyTooLarge},
		{"a negative limit takes nothing", strings.NewReader(""), -1, -1, "", httpx.ErrBodyTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			r := &http.Request{ContentLength: tc.length}
			if tc.body != nil {
				r.Body = io.NopCloser(tc.body)
			}
			got, err := httpx.ReadBody(r, tc.limit, nil)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || string(got) != tc.want {
				t.Errorf("%q, %v; want %q, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestReadBodyRefusesAnAnnouncedLengthWithoutReading(t *testing.T) {
	r := &http.Request{ContentLength: 11, Body: io.NopCloser(panicking{})}
	if _, err := httpx.ReadBody(r, 10, nil); !errors.Is(err, httpx.ErrBodyTooLarge) {
		t.Errorf("error %v", err)
	}
}

// TestReadBodyOfAConnection sends requests byte by byte as a client would that
// does not keep to what it announced.
func TestReadBodyOfAConnection(t *testing.T) {
	type result struct {
		body []byte
		err  error
	}
	results := make(chan result, 1)
	srv := quietServer(t, func(_ http.ResponseWriter, r *http.Request) {
		b, err := httpx.ReadBody(r, 10, nil)
		results <- result{b, err}
	})
	tests := []struct {
		rule, request, want string
		err                 error
	}{
		{"announced and kept", "Content-Length: 3\r\n\r\nabc", "abc", nil},
		{"what follows belongs to the next request", "Content-Length: 3\r\n\r\nabcGET", "abc", nil},
		{"cut short", "Content-Length: 9\r\n\r\nabc", "", io.ErrUnexpectedEOF},
		{"chunked", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc", nil},
		{"chunked, one over", "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n", "", httpx.ErrBodyTooLarge},
		{"chunked, cut in a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "", io.ErrUnexpectedEOF},
		{"chunked, cut between chunks", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "", io.ErrUnexpectedEOF},
		{"chunked, whose length also lies", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab", nil},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+tc.request)
			_ = conn.(*net.TCPConn).CloseWrite()
			got := receive(t, results)
			_ = conn.Close()
			if !errors.Is(got.err, tc.err) || (got.err == nil) != (tc.err == nil) || string(got.body) != tc.want {
				t.Errorf("%q, %v; want %q, %v", got.body, got.err, tc.want, tc.err)
			}
		})
	}
}

func FuzzReadBody(f *testing.F) {
	f.Add([]byte("abc"), int64(3), int64(3))
	f.Add([]byte("abcd"), int64(-1), int64(3))
	f.Add([]byte{}, int64(0), int64(0))
	f.Add([]byte("abc"), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, body []byte, length, limit int64) {
		r := &http.Request{ContentLength: length, Body: io.NopCloser(bytes.NewReader(body))}
		got, err := httpx.ReadBody(r, limit, nil)
		tooLarge := int64(len(body)) > limit || length > limit
		if tooLarge != errors.Is(err, httpx.ErrBodyTooLarge) {
			t.Errorf("%d bytes announced as %d, limit %d: %v", len(body), length, limit, err)
		}
		if !tooLarge && !bytes.Equal(got, body) {
			t.Errorf("got %q, want %q", got, body)
		}
	})
}

// TestReadBodyHoldsWhatArrived counts what is granted while a body comes, and
// what is held in the end.
func TestReadBodyHoldsWhatArrived(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		rule           string
		length         int64
		limit, arrived int
		most           int64
	}{
		{"a stalled body holds a first buffer", mib, mib, 0, 4 << 10},
		{"one that stalls on the way, twice what came", mib, mib, 300_000, 600_000},
		{"one of known length, that and a byte", 700_000, mib, 700_000, 700_001},
		{"a short one of known length", 2000, mib, 2000, 2001},
		{"one of unknown length, twice what came", -1, mib, 300_000, 600_000},
		{"never more than the limit", -1, mib, mib, mib},
		{"nothing is announced and nothing came", -1, mib, 0, 4 << 10},
	} {
		var granted int64
		r := &http.Request{ContentLength: tc.length, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", tc.arrived)))}
		b, err := httpx.ReadBody(r, int64(tc.limit), func(n int64) bool { granted += n; return true })
		if err != nil || len(b) != tc.arrived {
			t.Fatalf("%s: %d bytes, %v", tc.rule, len(b), err)
		}
		if granted > tc.most || int64(cap(b)) > tc.most+1 || granted < int64(tc.arrived) {
			t.Errorf("%s: %d bytes granted, %d held, want at most %d", tc.rule, granted, cap(b), tc.most)
		}
	}
}

func TestReadBodyEndsWhereNoMoreIsGranted(t *testing.T) {
	body := strings.NewReader(strings.Repeat("x", 1<<20))
	left := int64(100_000)
	r := &http.Request{ContentLength: 1 << 20, Body: io.NopCloser(body)}
	_, err := httpx.ReadBody(r, 1<<20, func(n int64) bool { left -= n; return left >= 0 })
	if read := 1<<20 - body.Len(); !errors.Is(err, httpx.ErrNoRoom) || read > 100_000 {
		t.Errorf("%d bytes were read, %v", read, err)
	}
}
