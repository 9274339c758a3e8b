package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// A stream of requests in every form, for tests that cut it.
const everyForm = "GET /1?a=b HTTP/1.1\nHost: a\nX-A: 1\nx-b:  2 \n\n" +
	"POST /2 HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello" +
	"\nPOST /3 HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-T\n\n5;x=y\nhello\n1\n!\n0\nX-T: 1\n\n" +
	"POST /4 HTTP/1.1\nHost: a\nContent-Length: 2\nExpect: 100-continue\n\nhi" +
	"GET /5 HTTP/1.0\nConnection: keep-alive\n\n" +
	"GET /6 HTTP/1.1\nHost: a\nConnection: close\n\n"

func tellAll(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("X-A"), r.Header.Get("X-B"), string(b), r.Trailer.Get("X-T")}, "|"))
	if err != nil {
		_, _ = io.WriteString(w, err.Error())
	}
}

// converse sends the pieces to a server on a pipe, each of which is read by
// itself, and returns all that comes back.
func converse(t *testing.T, pieces []string) string {
	t.Helper()
	ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	stop := ours().start(http.HandlerFunc(tellAll), ln)
	defer stop()
	client, conn := net.Pipe()
	defer client.Close()
	ln.conns <- conn
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, p := range pieces {
			if _, err := io.WriteString(client, p); err != nil {
				return
			}
		}
	}()
	br := bufio.NewReader(client)
	var out strings.Builder
	for {
		m, err := readMessage(br, false)
		if out.WriteString(m + "\n"); err != nil {
			_ = client.Close()
			<-sent
			return out.String()
		}
	}
}

func TestRequestsMayBeCutAnywhere(t *testing.T) {
	whole := crlf(everyForm)
	want := converse(t, []string{whole})
	if n := strings.Count(want, "HTTP/1.1 200 OK\n"); n != 6 {
		t.Fatalf("%d answers: %s", n, want)
	}
	for i := range len(whole) {
		if got := converse(t, []string{whole[:i], whole[i:]}); got != want {
			t.Fatalf("cut at %d, behind %q:\ngot  %q\nwant %q", i, whole[max(0, i-20):i], got, want)
		}
	}
	if got := converse(t, strings.Split(whole, "")); got != want {
		t.Errorf("byte by byte:\ngot  %q\nwant %q", got, want)
	}
}

// The judge's reading of the same stream, so that the one above is right too.
func TestEveryFormIsWhatNetHTTPReads(t *testing.T) {
	br := bufio.NewReader(iotest.OneByteReader(strings.NewReader(strings.ReplaceAll(crlf(everyForm), "hello\r\nPOST", "helloPOST"))))
	got := converse(t, []string{crlf(everyForm)})
	for range 6 {
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("X-A"), r.Header.Get("X-B"), string(b), r.Trailer.Get("X-T")}, "|")
		if !strings.Contains(got, "\n\n"+line+"\n") {
			t.Errorf("no answer %q", line)
		}
	}
}
