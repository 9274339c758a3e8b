package http1_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"reflect"
	"strings"
	"testing"

	"net/http"

	"github.com/handrail-go/handrail/internal/http1"
)

// take reads a body of which step bytes more are shown at a time, and returns
// it, and how much was used.
func take(f *http1.Body, b []byte, step int) (body []byte, used int, err error) {
	b = bytes.Clone(b)
	for n := min(step, len(b)); ; n = min(n+step, len(b)) {
		for {
			piece, u, err := f.Take(b[used:n])
			body = append(body, piece...)
			used += u
			if err != nil || f.Over() {
				return body, used, err
			}
			if len(piece) == 0 {
				break
			}
		}
		if n == len(b) {
			return body, used, io.ErrUnexpectedEOF
		}
	}
}

func TestBodies(t *testing.T) {
	chunked := http1.Body{Kind: http1.Chunked}
	for name, tc := range map[string]struct {
		body        http1.Body
		text, want  string
		rest        string
		wantTrailer http.Header
	}{
		"a length":                     {http1.Body{Kind: http1.Length, Left: 5}, "hellorest", "hello", "rest", nil},
		"chunks":                       {chunked, "5\nhello\n1\n!\n0\n\nrest", "hello!", "rest", nil},
		"no chunk":                     {chunked, "0\n\nrest", "", "rest", nil},
		"sizes in any form":            {chunked, "00A\n0123456789\na\n0123456789\n000\n\n", "01234567890123456789", "", nil},
		"extensions":                   {chunked, "2;a\nhi\n1;b=c;d=\"e f\"\n!\n0;g\n\nrest", "hi!", "rest", nil},
		"padding":                      {chunked, "2 \t\nhi\n0 \n\n", "hi", "", nil},
		"a trailer":                    {chunked, "2\nhi\n0\nx-a: 1\nX-B:2\n\nrest", "hi", "rest", http.Header{"X-A": {"1"}, "X-B": {"2"}}},
		"line ends within a chunk":     {chunked, "4\n\n\v\v\n0\n\n", "\r\n\n\n", "", nil},
		"what looks like the last one": {chunked, "5\n0\n\n\n0\n\n", "0\r\n\r\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := crlf(tc.text)
			for step := 1; step <= len(text)+1; step++ {
				f := tc.body
				body, used, err := take(&f, []byte(text), step)
				if err != nil || string(body) != tc.want || text[used:] != tc.rest || !reflect.DeepEqual(f.Trailer, tc.wantTrailer) {
					t.Fatalf("in steps of %d: %q, %q left, trailer %q, %v", step, body, text[used:], f.Trailer, err)
				}
			}
		})
	}
}

func TestBodiesWithoutAnEnd(t *testing.T) {
	f := http1.Body{Kind: http1.UntilClose}
	if body, used, err := take(&f, []byte("hello"), 2); string(body) != "hello" || used != 5 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %d, %v", body, used, err)
	}
	none := http1.Body{}
	if piece, used, err := none.Take([]byte("hello")); piece != nil || used != 0 || err != nil || !none.Over() {
		t.Errorf("%q, %d, %v, %v", piece, used, err, none.Over())
	}
	empty := http1.Body{Kind: http1.Length}
	if piece, used, err := empty.Take([]byte("hello")); len(piece) != 0 || used != 0 || err != nil || !empty.Over() {
		t.Errorf("%q, %d, %v, %v", piece, used, err, empty.Over())
	}
}

// An error stays one, however often it is asked for.
func TestMalformedChunks(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"no size": {"\nx\n", http1.ErrChunk}, "a sign": {"-1\nx\n", http1.ErrChunk}, "a prefix": {"0x1\nx\n", http1.ErrChunk}, "white space first": {" 1\nx\n", http1.ErrChunk},
		"15 digits": {"000000000000001\nx\n0\n\n", nil}, "16 digits": {"0000000000000001\nx\n0\n\n", http1.ErrChunk}, "LF alone": {"1\vx\n0\n\n", http1.ErrChunk},
		"a sign behind": {"1x\nx\n0\n\n", http1.ErrChunk}, "space before an extension": {"1 ;a\nx\n0\n\n", http1.ErrChunk}, "CR in an extension": {"1;a\rb\nx\n0\n\n", http1.ErrChunk},
		"a long line": {"1;" + strings.Repeat("a", 4<<10) + "\nx\n0\n\n", http1.ErrChunk}, "a line as long as it may be": {"1;" + strings.Repeat("a", 4<<10-4) + "\nx\n0\n\n", nil},
		"a long line without an end": {"1;" + strings.Repeat("a", 4<<10), http1.ErrChunk}, "no end of a chunk": {"1\nxy\n0\n\n", http1.ErrChunk}, "LF alone behind a chunk": {"1\nx\v0\n\n", http1.ErrChunk},
		"LF alone at the end": {"0\n\v", http1.ErrLineEnd}, "a folded trailer": {"0\nA: 1\n 2\n\n", http1.ErrFolded}, "a trailer without a name": {"0\n: 1\n\n", http1.ErrName},
		"a long trailer": {"0\nA: " + strings.Repeat("x", 4<<10) + "\n\n", http1.ErrTrailer}, "a long trailer without an end": {"0\nA: " + strings.Repeat("x", 4<<10), http1.ErrTrailer},
		"a trailer as long as it may be": {"0\nA: " + strings.Repeat("x", 4<<10-7) + "\n\n", nil},
		"overhead":                       {strings.Repeat("1;"+strings.Repeat("a", 1000)+"\nx\n", 30) + "0\n\n", http1.ErrOverhead},
		"as much overhead as data":       {strings.Repeat("1f4;"+strings.Repeat("a", 900)+"\n"+strings.Repeat("x", 500)+"\n", 30) + "0\n\n", nil},
		"many small chunks":              {strings.Repeat("1\nx\n", 30000) + "0\n\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 1 << 20} {
				f := http1.Body{Kind: http1.Chunked}
				text := []byte(crlf(tc.text))
				_, used, err := take(&f, text, step)
				if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
					t.Fatalf("in steps of %d: %v, want %v", step, err, tc.want)
				}
				if err == nil {
					continue
				}
				if _, _, again := f.Take(text[used:]); !errors.Is(again, tc.want) || f.Over() {
					t.Errorf("again: %v, over %v", again, f.Over())
				}
			}
		})
	}
}

// FuzzChunks: what is accepted, net/http's reader of chunks reads the same, and
// the steps in which it comes change nothing.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{"0\n\n", "5\nhello\n0\n\n", "5;a=b\nhello\n0\nA: 1\n\nrest", "a \n0123456789\n00\n\n", "1\nx0\n\n", "ffffffffffffffff\n", "1\vx\n"} {
		f.Add([]byte(crlf(s)), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		whole, parts := http1.Body{Kind: http1.Chunked}, http1.Body{Kind: http1.Chunked}
		got, used, err := take(&whole, data, len(data)+1)
		gotParts, usedParts, errParts := take(&parts, data, 1+step&0xff)
		if (err == nil) != (errParts == nil) || !bytes.Equal(got, gotParts) || err == nil && used != usedParts || !reflect.DeepEqual(whole.Trailer, parts.Trailer) {
			t.Fatalf("whole %q %d %v, in parts %q %d %v", got, used, err, gotParts, usedParts, errParts)
		}
		if err != nil {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		if err != nil || !bytes.Equal(want, got) {
			t.Fatalf("net/http %q %v, ours %q", want, err, got)
		}
	})
}

func TestTakingChunksAllocatesNothing(t *testing.T) {
	data := []byte(crlf("5\nhello\n5;a=b\nhello\n0\n\n"))
	if n := testing.AllocsPerRun(100, func() {
		f := http1.Body{Kind: http1.Chunked}
		for b := data; !f.Over(); {
			_, used, err := f.Take(b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[used:]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
