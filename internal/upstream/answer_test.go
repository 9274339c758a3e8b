package upstream_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/handrail-go/handrail/internal/upstream"
)

// A drip hands out a few bytes at a time.
type drip struct {
	r    io.Reader
	most int
}

func (d drip) Read(p []byte) (int, error) { return d.r.Read(p[:min(len(p), d.most)]) }

var answerSeeds = []string{
	"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: text/plain\n\nok",
	"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nokHTTP/1.1 200 OK\n\n",
	"HTTP/1.1 200\ncontent-length: 2\nCONTENT-length: 2\n\nok",
	"HTTP/1.1 304 Not Modified\nContent-Length: 9\nConnection: close, x\n\n",
	"HTTP/1.1 103 Early Hints\nLink: </a>; rel=preload\n\nHTTP/1.1 204 No Content\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Digest, X-A\n\n3\nabc\n1;e=\"f\" \nd\n0\nDigest: x\nX-B: y\n\nrest",
	"HTTP/1.1 200 OK\nTransfer-Encoding: CHUNKED\n\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chun\u212aed\n\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n00000A \n0123456789\n0\n\n",
	"HTTP/1.1 200 OK\nX-A: \xff\tb\nX-A:\nPragma: no-cache\n\nuntil the end",
	"HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n0\n\n",
	"HTTP/1.1 200 OK\nX-A: 1\n 2\n\n",
	"HTTP/1.1 200 OK\vX-A: 1\v\v",
	"HTTP/1.1 200 OK\nX-A : 1\n\n",
	"HTTP/1.2 799 \n\n",
}

// FuzzAnswer holds the lean engine's reader of answers against that of
// net/http: what the one takes the other takes for the same, down to the byte
// where the next answer begins.
//
//	go test -run '^$' -fuzz FuzzAnswer -fuzztime 10m ./internal/upstream
func FuzzAnswer(f *testing.F) {
	for i, s := range answerSeeds {
		f.Add([]byte(crlf(s)), i%2 == 1, uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, head bool, most uint8) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		compareReaders(t, data, method, int(most)+1)
	})
}

// fragments are what answers, and attacks on their readers, are made of.
var fragments = []string{
	"HTTP/1.1 200 OK\n", "HTTP/1.0 200 OK\n", "HTTP/1.1 204 No Content\n", "HTTP/1.1 103 x\n", "HTTP/1.1 304 \n", "HTTP/1.1 ",
	"Content-Length: ", "content-length:", "Content-Length: 3\n", "Transfer-Encoding: chunked\n", "transfer-encoding:\tChunked \n",
	"Transfer-Encoding: ", "chunked", "gzip", "identity", "Connection: close\n", "Connection: keep-alive\n", "Trailer: X-T\n", "Trailer: Content-Length\n",
	"X-A: 1\n", "X-T: 2\n", "X_A:\n", "x-a : 1\n", " folded\n", "\tfolded\n", ": 1\n", "X-A\n", "Pragma: no-cache\n", "Cache-Control: x\n",
	"\n", "\v", "\r", "\x00", " ", "\t", ",", ";", ":", "+", "-", "0x", "\x7f", "\xff", "a", "abc",
	"0", "1", "3", "a", "F", "00000000000000003", "ffffffffffffffff", "7fffffffffffffff", "0\n", "1\n", "3\n", "0\n\n", "3;e\n", "3 \n", "3 ;\n",
	"3\nabc\n", "1\nx\n", "1000\n" + strings.Repeat("y", 4096) + "\n", "1;" + strings.Repeat("e", 1000) + "\nx\n", ";" + strings.Repeat("e", 4000), "X-L: " + strings.Repeat("l", 3000) + "\n",
}

// FuzzAnswerOfFragments is FuzzAnswer with whole words: each byte is one.
func FuzzAnswerOfFragments(f *testing.F) {
	index := func(words ...string) (out []byte) {
		for _, w := range words {
			out = append(out, byte(slices.Index(fragments, w)))
		}
		return out
	}
	f.Add(index("HTTP/1.1 200 OK\n", "Content-Length: 3\n", "\n", "abc"), false, uint8(0))
	f.Add(index("HTTP/1.1 200 OK\n", "Transfer-Encoding: chunked\n", "Trailer: X-T\n", "\n", "3\nabc\n", "3;e\n", "abc", "\n", "0\n", "X-T: 2\n", "\n", "abc"), false, uint8(7))
	f.Add(index("HTTP/1.0 200 OK\n", "Connection: keep-alive\n", "\n", "abc"), false, uint8(255))
	f.Add(index("HTTP/1.1 304 \n", "Content-Length: ", "3", "\n", "\n"), true, uint8(1))
	f.Fuzz(func(t *testing.T, words []byte, head bool, most uint8) {
		var b strings.Builder
		for _, w := range words[:min(len(words), 64)] {
			b.WriteString(fragments[int(w)%len(fragments)])
		}
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		compareReaders(t, []byte(crlf(b.String())), method, int(most)+1)
	})
}

func compareReaders(t *testing.T, data []byte, method string, most int) {
	t.Helper()
	src := drip{bytes.NewReader(data), most}
	got, err := upstream.ReadAnswer(src, method)
	if err != nil {
		return
	}
	rest, err := io.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	compareAnswers(t, got, append(slices.Clip(got.Rest), rest...), data, method)
}

func compareAnswers(t *testing.T, got upstream.Answer, rest, data []byte, method string) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(data))
	want, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("net/http refuses it: %v", err)
	}
	defer want.Body.Close()
	body, err := io.ReadAll(want.Body)
	if err != nil {
		t.Fatalf("net/http refuses the body: %v", err)
	}
	wantRest, err := io.ReadAll(br)
	if err != nil {
		t.Fatal(err)
	}
	if strings.EqualFold(strings.Join(got.Header["Pragma"][:min(1, len(got.Header["Pragma"]))], ""), "no-cache") && got.Header["Cache-Control"] == nil {
		delete(want.Header, "Cache-Control") // which it has added
	}
	delete(want.Header, "Connection") // which it takes out when it says close
	delete(got.Header, "Connection")
	trailer := http.Header{}
	for _, name := range got.Announced {
		trailer[name] = nil
	}
	maps.Copy(trailer, got.Trailer)
	type seen struct {
		Status          int
		Header, Trailer http.Header
		Body, Rest      string
		Kind            string
	}
	g := seen{got.Status, got.Header, trailer, string(got.Body), string(rest), got.Kind}
	w := seen{want.StatusCode, want.Header, want.Trailer, string(body), string(wantRest), kindOf(want, method)}
	if diff := cmp.Diff(w, g, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("net/http (-), lean (+):\n%s", diff)
	}
	if got.KeepAlive && want.Close {
		t.Error("net/http would close the connection")
	}
	if got.Kind == "length" && got.Length != want.ContentLength {
		t.Errorf("a length of %d, net/http says %d", got.Length, want.ContentLength)
	}
}

// kindOf tells how net/http finds the end of the body.
func kindOf(res *http.Response, method string) string {
	switch {
	case method == http.MethodHead || res.StatusCode < 200 || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified:
		return "none"
	case slices.Equal(res.TransferEncoding, []string{"chunked"}):
		return "chunked"
	case res.ContentLength >= 0:
		return "length"
	}
	return "close"
}

// However the bytes arrive, the answer is the same.
func TestAnswerDoesNotDependOnHowItsBytesArrive(t *testing.T) {
	for _, s := range answerSeeds {
		data := crlf(s)
		whole, wholeErr := upstream.ReadAnswer(strings.NewReader(data), http.MethodGet)
		for most := 1; most < 9; most++ {
			pieces, err := upstream.ReadAnswer(drip{strings.NewReader(data), most}, http.MethodGet)
			if diff := cmp.Diff(whole, pieces, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(upstream.Answer{}, "Rest")); diff != "" || !errors.Is(err, wholeErr) {
				t.Errorf("%q, %d at a time: %v\n%s", s, most, err, diff)
			}
		}
	}
}
