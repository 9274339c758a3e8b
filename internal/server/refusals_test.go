package server_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// poison is a request that must never be served: it stands behind one that is
// refused.
const poison = "GET /poison HTTP/1.1\nHost: a\n\n"

// A refused is what is no request. \n stands for \r\n, \v for \n.
type refused struct {
	name, send string
	status     int // 0: 400
}

func refusedLines() []refused {
	fields := "Host: a\n\n"
	return []refused{
		{"LF alone behind the request line", "GET / HTTP/1.1\vHost: a\n\n", 0},
		{"LF alone behind all lines", "GET / HTTP/1.1\vHost: a\v\v", 0},
		{"CR alone behind the request line", "GET / HTTP/1.1\rHost: a\n\n", 0},
		{"CR twice", "GET / HTTP/1.1\r\nHost: a\n\n", 0},
		{"an empty line first", "\nGET / HTTP/1.1\n" + fields, 0},
		{"white space first", " GET / HTTP/1.1\n" + fields, 0},
		{"no method", " / HTTP/1.1\n" + fields, 0},
		{"no target", "GET  HTTP/1.1\n" + fields, 0},
		{"no version", "GET /\n" + fields, 0},
		{"a version alone", "HTTP/1.1\n" + fields, 0},
		{"one word", "GET\n" + fields, 0},
		{"two spaces behind the method", "GET  / HTTP/1.1\n" + fields, 0},
		{"two spaces behind the target", "GET /  HTTP/1.1\n" + fields, 0},
		{"a tab behind the method", "GET\t/ HTTP/1.1\n" + fields, 0},
		{"a tab behind the target", "GET /\tHTTP/1.1\n" + fields, 0},
		{"a space behind the version", "GET / HTTP/1.1 \n" + fields, 0},
		{"a space in the target", "GET /a b HTTP/1.1\n" + fields, 0},
		{"a tab in the target", "GET /a\tb HTTP/1.1\n" + fields, 0},
		{"a CR in the target", "GET /a\rb HTTP/1.1\n" + fields, 0},
		{"a NUL in the target", "GET /a\x00b HTTP/1.1\n" + fields, 0},
		{"an escape sign in the target", "GET /a\x1bb HTTP/1.1\n" + fields, 0},
		{"a DEL in the target", "GET /a\x7fb HTTP/1.1\n" + fields, 0},
		{"a NUL in the query", "GET /a?\x00b HTTP/1.1\n" + fields, 0},
		{"a NUL in the method", "G\x00T / HTTP/1.1\n" + fields, 0},
		{"a method with a colon", "GET: / HTTP/1.1\n" + fields, 0},
		{"a method with a slash", "G/T / HTTP/1.1\n" + fields, 0},
		{"a method in brackets", "(GET) / HTTP/1.1\n" + fields, 0},
		{"a method in quotes", "\"GET\" / HTTP/1.1\n" + fields, 0},
		{"a method above ASCII", "G\xc3\x89T / HTTP/1.1\n" + fields, 0},
		{"a method with a comma", "GET,POST / HTTP/1.1\n" + fields, 0},
		{"a target without a slash", "GET a HTTP/1.1\n" + fields, 0},
		{"a target that is a query", "GET ?a HTTP/1.1\n" + fields, 0},
		{"a bad escape", "GET /%zz HTTP/1.1\n" + fields, 0},
		{"half an escape", "GET /% HTTP/1.1\n" + fields, 0},
		{"HTTP/1.2", "GET / HTTP/1.2\n" + fields, 505},
		{"HTTP/1.9", "GET / HTTP/1.9\n" + fields, 505},
		{"HTTP/0.9", "GET / HTTP/0.9\n" + fields, 505},
		{"HTTP/2.0", "GET / HTTP/2.0\n" + fields, 505},
		{"HTTP/3.0", "GET / HTTP/3.0\n" + fields, 505},
		{"HTTP/1", "GET / HTTP/1\n" + fields, 0},
		{"HTTP/1.", "GET / HTTP/1.\n" + fields, 0},
		{"HTTP/1.10", "GET / HTTP/1.10\n" + fields, 0},
		{"HTTP/01.1", "GET / HTTP/01.1\n" + fields, 0},
		{"HTTP/11", "GET / HTTP/1x1\n" + fields, 505},
		{"http/1.1", "GET / http/1.1\n" + fields, 0},
		{"HTTPS/1.1", "GET / HTTPS/1.1\n" + fields, 0},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\n\nSM\n\n", 505},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 0},
		{"SSH", "SSH-2.0-OpenSSH_9.6\n", 0},
		{"the PROXY protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nGET / HTTP/1.1\n" + fields, 0},
		{"a request line above the limit", "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\n" + fields, 414},
		{"a request line without an end", "GET /" + strings.Repeat("x", 65<<10), 414},
	}
}

func refusedFields() []refused {
	const line = "GET / HTTP/1.1\nHost: a\n"
	rows := []refused{
		{"LF alone behind a field", line + "X-A: 1\vX-B: 2\n\n", 0},
		{"LF alone behind Host", "GET / HTTP/1.1\nHost: a\v\n", 0},
		{"LF alone at the end", line + "\v", 0},
		{"CR alone behind a field", line + "X-A: 1\rX-B: 2\n\n", 0},
		{"CR twice behind a field", line + "X-A: 1\r\n\n", 0},
		{"CR twice at the end", line + "\r\n", 0},
		{"a CR in a value", line + "X-A: 1\r2\n\n", 0},
		{"a CR in a name", line + "X\rA: 1\n\n", 0},
		{"a folded field, space", line + "X-A: 1\n 2\n\n", 0},
		{"a folded field, tab", line + "X-A: 1\n\t2\n\n", 0},
		{"a folded first field", "GET / HTTP/1.1\n Host: a\n\n", 0},
		{"a fold of nothing", line + "X-A: 1\n \n\n", 0},
		{"a space before the colon", line + "X-A : 1\n\n", 0},
		{"a tab before the colon", line + "X-A\t: 1\n\n", 0},
		{"a space in a name", line + "X A: 1\n\n", 0},
		{"an empty name", line + ": 1\n\n", 0},
		{"no colon", line + "nonsense\n\n", 0},
		{"a name above ASCII", line + "X-\xc3\x89: 1\n\n", 0},
		{"no Host", "GET / HTTP/1.1\nX-A: 1\n\n", 0},
		{"no field at all", "GET / HTTP/1.1\n\n", 0},
		{"no Host with an absolute target", "GET http://a/ HTTP/1.1\n\n", 0},
		{"no Host with CONNECT", "CONNECT a:443 HTTP/1.1\n\n", 0},
		{"two Hosts", line + "Host: b\n\n", 0},
		{"two equal Hosts", line + "host: a\n\n", 0},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\nHost: a\nHost: b\n\n", 0},
		{"another expectation", line + "Expect: 101-continue\n\n", 417},
		{"two expectations", line + "Expect: 100-continue\nExpect: x\n\n", 417},
		{"a field above its limit", line + "X-A: " + strings.Repeat("x", 64<<10) + "\n\n", 431},
		{"a field without an end", line + "X-A: " + strings.Repeat("x", 66<<10), 431},
	}
	for _, h := range []string{"a b", "a/b", "a@b", "a\\b", "a?b", "a#b", "a\"b", "<a>", "{a}", "a\xc3\xa9", "a|b", "a^b", "a\tb"} {
		rows = append(rows, refused{"Host " + h, "GET / HTTP/1.1\nHost: " + h + "\n\n", 0})
		if h != "a/b" && h != "a?b" && h != "a#b" && h != "a@b" && h != "a b" && h != "a\tb" {
			rows = append(rows, refused{"a target of " + h, "GET http://" + h + "/ HTTP/1.1\nHost: a\n\n", 0})
		}
	}
	for c := range 256 {
		if control := byte(c); (control < ' ' || control == 0x7f) && control != '\t' && control != '\n' && control != '\v' {
			rows = append(rows,
				refused{fmt.Sprintf("%#02x in a value", c), line + "X-A: 1" + string(rune(c)) + "2\n\n", 0},
				refused{fmt.Sprintf("%#02x in a long value", c), line + "X-A: 0123456789" + string(rune(c)) + "0123456789\n\n", 0},
				refused{fmt.Sprintf("%#02x in a name", c), line + "X-A" + string(rune(c)) + ": 1\n\n", 0},
				refused{fmt.Sprintf("%#02x in a target", c), "GET /" + string(rune(c)) + " HTTP/1.1\nHost: a\n\n", 0},
				refused{fmt.Sprintf("%#02x in a query", c), "GET /?" + string(rune(c)) + " HTTP/1.1\nHost: a\n\n", 0})
		}
	}
	return rows
}

func refusedFramings() []refused {
	rows := []refused{}
	framed := func(fields string, status int) {
		rows = append(rows, refused{fmt.Sprintf("%q", fields), "POST / HTTP/1.1\nHost: a\n" + fields + "\n2\nhi\n0\n\n", status})
	}
	for _, length := range []string{
		"", "+2", "-2", "2 2", "2,2", "2, 2", "2;2", "0x2", "2.0", "2e0", "two", "2h", "\"2\"", "9223372036854775808", "18446744073709551618", "99999999999999999999999",
		"\xc2\xb2", "1_0", "2\x0c", "0b1", "2,", ",2",
	} {
		framed("Content-Length: "+length+"\n", 0)
	}
	framed("Content-Length: 2\nContent-Length: 2\n", 0)
	framed("Content-Length: 2\nContent-Length: 3\n", 0)
	framed("Content-Length: 2\ncontent-length: 2\n", 0)
	framed("Content-Length: 0\nContent-Length: \n", 0)
	framed("Content-Length: 2\nTransfer-Encoding: chunked\n", 0)
	framed("Transfer-Encoding: chunked\nContent-Length: 2\n", 0)
	framed("Transfer-Encoding: chunked\nContent-Length: x\n", 0)
	framed("Transfer-Encoding: identity\nContent-Length: 2\n", 0)
	framed("Transfer-Encoding: \nContent-Length: 2\n", 0)
	framed("Transfer-Encoding : chunked\n", 0)
	framed("Transfer-Encoding\t: chunked\n", 0)
	framed("Transfer-Encoding:\n chunked\n", 0)
	framed("Transfer-Encoding: \vchunked\n", 0)
	for _, coding := range []string{
		"", "chunked, chunked", "chunked,chunked", "gzip, chunked", "chunked, gzip", "xchunked", "chunkedx", "chunked;q=1", "chunked;", "\"chunked\"", "identity",
		"identity, chunked", "chunked, identity", ",chunked", "chunked,", "chunk ed", "chun\xe2\x84\xaaed", "chunke\xc4\x8f", "gzip", "x", "\xc2\xa0chunked",
	} {
		framed("Transfer-Encoding: "+coding+"\n", 501)
	}
	framed("Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", 501)
	framed("Transfer-Encoding: chunked\nTransfer-Encoding: identity\n", 501)
	framed("Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n", 501)
	for _, name := range []string{"Content-Length", "transfer-encoding", "Trailer", "X-A, content-length"} {
		framed("Transfer-Encoding: chunked\nTrailer: "+name+"\n", 0)
	}
	var many strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, "x-%d,", i)
	}
	framed("Transfer-Encoding: chunked\nTrailer: "+many.String()+"\n", 0)
	return append(rows,
		refused{"chunks in HTTP/1.0", "POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n", 0},
		refused{"chunks in HTTP/1.0 that is kept", "POST / HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\n\n", 0})
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	for group, rows := range map[string][]refused{"line": refusedLines(), "field": refusedFields(), "framing": refusedFramings(), "limit": limitRows()} {
		t.Run(group, func(t *testing.T) {
			for _, r := range rows {
				t.Run(r.name, func(t *testing.T) { r.check(t) })
			}
		})
	}
}

// check sends the bytes and goes on sending, as clients do that have not seen
// an answer yet. The answer arrives nevertheless, whole, the connection ends,
// and no handler is called.
func (r refused) check(t *testing.T) {
	t.Parallel()
	var called atomic.Int32
	addr := serve(t, ours(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	c := dial(t, addr)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := io.WriteString(c.TCPConn, crlf(r.send)+crlf(poison)); err != nil {
			return
		}
		for range 64 { // until the connection is gone
			if _, err := io.WriteString(c.TCPConn, strings.Repeat(crlf(poison), 100)); err != nil {
				return
			}
		}
	})
	got, err := c.message(false)
	want := max(r.status, 400)
	if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", want)) || err != nil {
		t.Errorf("got %q (%v), want %d", got, err, want)
	}
	if !strings.Contains(got, "\nConnection: close\n") || !strings.Contains(got, `{"error":"`) {
		t.Errorf("got %q", got)
	}
	rest, err := io.ReadAll(c.br)
	if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("behind the refusal %q, %v", rest, err)
	}
	_ = c.Close()
	sending.Wait()
	if called.Load() > 0 {
		t.Error("the handler was called")
	}
}

// A headerOf has exactly size bytes.
func headerOf(size int) string {
	const start, end = "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"
	var b strings.Builder
	b.WriteString(start)
	for b.Len() < size-len(end) {
		n := min(1000, size-len(end)-b.Len())
		if left := size - len(end) - b.Len() - n; left > 0 && left < 10 {
			n -= 10
		}
		b.WriteString("X: " + strings.Repeat("x", n-5) + "\r\n")
	}
	return b.String() + end
}

const (
	maxHeader = 64 << 10 // as newServer has it
	maxFields = 1000
)

func limitRows() []refused {
	line := func(n int) string { return "GET /" + strings.Repeat("x", n-len("GET / HTTP/1.1")) + " HTTP/1.1" }
	return []refused{
		{"a header above the limit by one byte", strings.ReplaceAll(headerOf(maxHeader+1), "\r\n", "\n"), 431},
		{"a field more than the limit", "GET / HTTP/1.1\nHost: a\n" + strings.Repeat("X:\n", maxFields) + "\n", 431},
		{"a request line at the limit", line(maxHeader-1) + "\nHost: a\n\n", 414},
	}
}

func TestLimitsAreReached(t *testing.T) {
	for name, send := range map[string]string{
		"a header at the limit":             headerOf(maxHeader),
		"as many fields as the limit":       crlf("GET / HTTP/1.1\nHost: a\n" + strings.Repeat("X:\n", maxFields-1) + "\n"),
		"a header in one piece with a body": strings.Replace(headerOf(maxHeader-20), "\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n123456789", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				sayPlain(w, "ok"+string(b))
			})))
			for range 2 { // also on a connection that was used
				if _, err := io.WriteString(c.TCPConn, send); err != nil {
					t.Fatal(err)
				}
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 200 ") || err != nil {
					t.Errorf("got %q (%v)", got, err)
				}
			}
		})
	}
}

// Where a body goes wrong, its read fails, the connection ends, and nothing
// behind it is a request.
func TestMalformedBodiesFail(t *testing.T) {
	const chunked = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-T\n\n"
	for name, body := range map[string]string{
		"a size below 0": "-1\nx\n0\n\n", "a size with a sign": "+1\nx\n0\n\n", "a size with 0x": "0x1\nx\n0\n\n", "a size of 17 digits": "10000000000000001\nx\n0\n\n",
		"a size of 16 digits": "0000000000000001\nx\n0\n\n", "the largest size of 16 digits": "ffffffffffffffff\nx\n0\n\n", "white space before a size": " 1\nx\n0\n\n",
		"a tab before a size": "\t1\nx\n0\n\n", "no size": "\nx\n0\n\n", "a size that is none": "g\nx\n0\n\n", "signs behind a size": "1g\nx\n0\n\n",
		"a space before an extension": "1 ;a\nx\n0\n\n", "a size and LF alone": "1\vx\n0\n\n", "a size and CR alone": "1\rx\n0\n\n", "CR twice behind a size": "1\r\nx\n0\n\n",
		"an extension and LF alone": "1;ext=\vx\n0\n\n", "a CR in an extension": "1;a\rb\nx\n0\n\n", "a NUL in an extension": "1;a\x00b\nx\n0\n\n",
		"an extension in quotes with a line break": "1;a=\"\vb\"\nx\n0\n\n", "an extension above the limit": "1;" + strings.Repeat("a", 4<<10) + "\nx\n0\n\n",
		"an extension without an end": "1;" + strings.Repeat("a", 40<<10), "a chunk longer than its size": "1\nxy\n0\n\n", "a chunk shorter than its size": "3\nx\n0\n\n" + "0\n\n",
		"LF alone behind a chunk": "1\nx\v0\n\n", "CR alone behind a chunk": "1\nx\r0\n\n", "nothing behind a chunk": "1\nx0\n\n",
		"a last chunk and LF alone": "1\nx\n0\v\n", "LF alone at the very end": "1\nx\n0\n\v", "CR twice at the very end": "1\nx\n0\n\r\n",
		"a trailer without a colon": "1\nx\n0\nnonsense\n\n", "a trailer with a space before the colon": "1\nx\n0\nX-T : 1\n\n", "a folded trailer": "1\nx\n0\nX-T: 1\n 2\n\n",
		"a trailer and LF alone": "1\nx\n0\nX-T: 1\v\n", "a trailer with a NUL": "1\nx\n0\nX-T: \x00\n\n", "a trailer with a CR": "1\nx\n0\nX-T: 1\r2\n\n",
		"a trailer above the limit": "1\nx\n0\nX-T: " + strings.Repeat("x", 5<<10) + "\n\n", "a trailer of many fields": "1\nx\n0\n" + strings.Repeat("X-T: 1\n", 1000) + "\n",
		"more overhead than data": strings.Repeat("1;"+strings.Repeat("a", 1000)+"\nx\n", 40) + "0\n\n",
	} {
		for how, read := range map[string]bool{"read": true, "not read": false} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				var n notes
				c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/poison" {
						n.add("poisoned")
					}
					if read {
						if b, err := io.ReadAll(r.Body); err == nil {
							n.add("the body was taken for %q with %q", b, r.Trailer)
						}
					}
					sayPlain(w, "ok")
				})))
				c.send(chunked + body + poison)
				if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 200 ") || err != nil {
					t.Errorf("got %q (%v)", got, err)
				}
				_ = c.CloseWrite()
				if rest, err := io.ReadAll(c.br); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("behind the answer %q, %v", rest, err)
				}
				if n.String() != "" {
					t.Error(n.String())
				}
			})
		}
	}
}

// What a trailer holds that frames or routes is nobody's, announced or not.
func TestTrailersThatFrameAreDropped(t *testing.T) {
	var n notes
	c := dial(t, serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isProbe(w, r) {
			return
		}
		_, err := io.ReadAll(r.Body)
		n.add("%v %q %q %d", err, r.Header, r.Trailer, r.ContentLength)
		sayPlain(w, "ok")
	})))
	c.send("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-T\n\n2\nhi\n0\nContent-Length: 7\nTransfer-Encoding: x\nHost: b\nAuthorization: c\nX-T: 1\n\n")
	_, _ = c.message(false)
	if got, want := n.String(), `<nil> map[] map["X-T":["1"]] -1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f := c.fate(); f != "kept" {
		t.Error(f)
	}
}
