package server_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A row is one conversation in bytes, over a handler. net/http's server is the
// judge: what a client gets from ours, and what the handler notes, is the same,
// unless the row says what it is and why. \n stands for \r\n. The name is the
// rule.
type row struct {
	name    string
	handler func(n *notes, w http.ResponseWriter, r *http.Request)
	send    string
	head    bool // the answers have no body
	answers int  // 0: one

	differs []string // pairs: what net/http's outcome has, and what ours has instead
	why     string   // it may
}

// notes are what a handler tells of.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.lines, "; ")
}

func TestConformance(t *testing.T) {
	groups := []struct {
		name string
		rows []row
	}{
		{"request", requestRows()},
		{"target", targetRows()},
		{"connection", connectionRows()},
		{"pipeline", pipelineRows()},
		{"body", bodyRows()},
		{"continue", continueRows()},
		{"framing", framingRows()},
		{"header", headerRows()},
		{"sniffing", sniffingRows()},
		{"trailer", trailerRows()},
		{"informational", informationalRows()},
		{"panic", panicRows()},
		{"controller", controllerRows()},
		{"hijack", hijackRows()},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, r := range group.rows {
				t.Run(r.name, func(t *testing.T) { r.check(t) })
			}
		})
	}
}

func (r row) check(t *testing.T) {
	judged, got := r.run(t, netHTTP()), r.run(t, ours())
	want := judged
	if strings.Contains(r.send, " HTTP/1.0\n") {
		want, got = old.Replace(want), old.Replace(got)
	}
	if len(r.differs) > 0 {
		if want = strings.NewReplacer(r.differs...).Replace(want); want == judged || r.why == "" {
			t.Error("no difference, or none that is explained")
		}
	}
	if want != got {
		t.Errorf("\n    want %q\nnet/http %q\n    ours %q", want, judged, got)
	}
}

// old: ours answers HTTP/1.0 as HTTP/1.1 (RFC 9110 section 2.5), and says that
// it closes; net/http leaves both to the version.
var old = strings.NewReplacer("HTTP/1.0 ", "HTTP/1.1 ", "Connection: close\n", "")

// run returns the outcome: the messages, what became of the connection, and
// what the handler noted.
func (r row) run(t *testing.T, impl implementation) string {
	t.Helper()
	var n notes
	addr := serve(t, impl, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !isProbe(w, req) {
			r.handler(&n, w, req)
		}
	}))
	c := dial(t, addr)
	c.send(r.send)
	var out strings.Builder
	for range max(1, r.answers) {
		m, err := c.message(r.head)
		out.WriteString(short(m) + ending(err) + "\n")
		if err != nil {
			break
		}
	}
	return out.String() + "--" + c.fate() + "--" + short(n.String())
}

var repeated = regexp.MustCompile(`x{20,}|y{20,}`)

// short counts what bodies repeat.
func short(s string) string {
	return repeated.ReplaceAllStringFunc(s, func(run string) string { return fmt.Sprintf("%c*%d", run[0], len(run)) })
}

// say answers with the text as it stands.
func say(text string) func(*notes, http.ResponseWriter, *http.Request) {
	return func(_ *notes, w http.ResponseWriter, _ *http.Request) { sayPlain(w, text) }
}

func sayPlain(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, text)
}

// describe answers with what a handler sees of a request.
func describe(n *notes, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	n.add("%s %q %s %d.%d host=%q uri=%q url=%+v len=%d te=%q close=%v header=%q body=%q err=%v trailer=%q",
		r.Method, r.URL.String(), r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.RequestURI, *r.URL, r.ContentLength,
		r.TransferEncoding, r.Close, r.Header, body, err, r.Trailer)
	n.add("remote=%v tls=%v local=%v", strings.HasPrefix(r.RemoteAddr, "127.0.0.1:"), r.TLS != nil, r.Context().Value(http.LocalAddrContextKey) != nil)
	sayPlain(w, "ok")
}

// ignore answers without reading the body.
func ignore(_ *notes, w http.ResponseWriter, _ *http.Request) { sayPlain(w, "ok") }
