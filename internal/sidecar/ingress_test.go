package sidecar_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A running sidecar of a test.
type running struct {
	t             *testing.T
	public, admin string
	sidecar       *sidecar.Sidecar
	log           *logBuffer
	signals       chan os.Signal
}

// runSidecar runs a sidecar until the test ends.
func runSidecar(t *testing.T, o sidecar.Options) *running {
	t.Helper()
	l, err := sidecar.Load(o)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	r := &running{t: t, log: &logBuffer{}, signals: make(chan os.Signal, 1)}
	if r.sidecar, err = sidecar.New(t.Context(), l, r.log); err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	listening, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- r.sidecar.Run(ctx, sidecar.RunOptions{Signals: sidecar.Signals{Reload: r.signals}, OnListening: func(public, admin string) {
			r.public, r.admin = public, admin
			close(listening)
		}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-listening:
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	return r
}

// eventually waits for a state that is reached by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A rawApp keeps what it gets as it came, and answers 200.
type rawApp struct {
	url  string
	seen chan *http.Request // body read, trailer filled in
}

func newRawApp(t *testing.T) *rawApp {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &rawApp{url: "http://" + ln.Addr().String(), seen: make(chan *http.Request, 16)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { a.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return a
}

func (a *rawApp) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		a.seen <- req
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nHandrail-Flags: forged\r\nHandrail-Webhook: processed\r\nX-Kept: yes\r\n\r\nok"); err != nil {
			return
		}
	}
}

// send writes text on a connection of its own and reads the answer. Got is what
// reached the app, nil when nothing did.
func (r *running) send(a *rawApp, text string) (status int, header http.Header, got *http.Request) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.public)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
	select {
	case got = <-a.seen:
	default:
	}
	return resp.StatusCode, resp.Header, got
}

// behind is a sidecar in front of a new rawApp.
func behind(t *testing.T, config string) (*running, *rawApp) {
	t.Helper()
	a := newRawApp(t)
	content := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}\nupstream: {url: %q}\ndrain: {delay: 0s}\n%s", a.url, config)
	file := writeFile(t, t.TempDir(), "handrail.yaml", content)
	return runSidecar(t, sidecar.Options{File: file, Getenv: env{}.get}), a
}

func TestPathsReachTheAppInOneForm(t *testing.T) {
	const refused = "400"
	for _, mode := range []string{"refuse", "keep"} {
		r, app := behind(t, "rate_limits: []\npaths: {encoded_slash: "+mode+"}")
		for _, tt := range []struct{ rule, target, want, keep string }{
			{"as it is", "/a/b", "/a/b", ""},
			{"the root", "/", "/", ""},
			{"a trailing slash stays", "/a/", "/a/", ""},
			{"empty segments are merged", "//a///b//", "/a/b/", ""},
			{"what looks like another host is a path", "//evil.example/a", "/evil.example/a", ""},
			{"unreserved escapes are decoded", "/%61%7E%2d%5F%2e%41", "/a~-_.A", ""},
			{"other escapes in upper case", "/a%3fb%c3%a9", "/a%3Fb%C3%A9", ""},
			{"spaces stay escaped", "/a%20b", "/a%20b", ""},
			{"bytes that no path has are escaped", "/a\"<\xff", "/a%22%3C%FF", ""},
			{"one dot", "/a/./b/.", "/a/b/", ""},
			{"two dots", "/a/b/../c/..", "/a/", ""},
			{"escaped dots", "/a/%2e%2E/b/%2e", "/b/", ""},
			{"dots after empty segments are merged", "/a//../b", "/b", ""},
			{"three dots are a name", "/.../a..b/..c", "/.../a..b/..c", ""},
			{"parameters stay", "/login;jsessionid=1", "/login;jsessionid=1", ""},
			{"escapes of escapes are not decoded twice", "/%252e%252e/%2561", "/%252e%252e/%2561", ""},
			{"the query is not touched", "/a//b?x=%2f..//%61&&;#", "/a/b?x=%2f..//%61&&;#", ""},
			{"an empty query", "/a?", "/a?", ""},
			{"absolute form", "http://other.example//a/../b?c", "/b?c", ""},
			{"absolute form without a path", "http://other.example", "/", ""},
			{"absolute form without a path, with a query", "http://other.example?x", "/?x", ""},

			{"above the root", "/..", refused, ""},
			{"above the root, escaped", "/a/%2e%2e/%2e%2e/etc", refused, ""},
			{"a bad escape", "/%zz", refused, ""},
			{"half an escape", "/a%2", refused, ""},
			{"a zero byte", "/a%00b", refused, ""},
			{"a newline", "/a%0d%0aX:y", refused, ""},
			{"delete", "/a%7f", refused, ""},
			{"a backslash", `/a\..\b`, refused, ""},
			{"an escaped backslash", "/a%5c..%5Cb", refused, ""},
			{"an escaped slash", "/a%2fb", refused, "/a%2Fb"},
			{"an escaped slash beside what is not allowed", "/a%2fb|", refused, "/a%2Fb%7C"},
			{"an escaped slash with dots", "/a%2F..%2f..%2fb", refused, refused},
			{"dots with parameters", "/a/..;x/b", refused, ""},
			{"no slash at the start", "a", refused, ""},
		} {
			want := tt.want
			if mode == "keep" && tt.keep != "" {
				want = tt.keep
			}
			status, _, got := r.send(app, "GET "+tt.target+" HTTP/1.1\r\nHost: shop.example\r\n\r\n")
			switch {
			case want == refused && (status != 400 || got != nil):
				t.Errorf("%s, %s: %d, and the app got %v; want 400 and nothing", mode, tt.rule, status, got)
			case want != refused && (got == nil || got.RequestURI != want):
				t.Errorf("%s, %s: %d, the app got %v; want %s", mode, tt.rule, status, got, want)
			}
		}
	}
}

// A rule that matches a path matches every way of writing it that the app would
// take for the same.
func TestRulesSeeWhatTheAppGets(t *testing.T) {
	r, app := behind(t, "rate_limits: [{name: auth, match: {paths: [/login]}, limit: 1, window: 1h}]")
	if status, _, _ := r.send(app, "POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); status != 200 {
		t.Fatalf("the first: %d", status)
	}
	for _, target := range []string{
		"/login", "/LOGIN", "/login/", "//login", "/./login", "/x/../login", "/%6cogin", "/%2e/login", "/login;x=1", "/login?x=1", "http://h/login",
	} {
		for _, method := range []string{"POST", "GET", "get"} {
			if status, _, got := r.send(app, method+" "+target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); status != 429 || got != nil {
				t.Errorf("%s %s: %d, the app got %v; want 429", method, target, status, got)
			}
		}
	}
	for _, target := range []string{"/login.php", "/logins", "/a/login", "/login/x"} {
		if status, _, _ := r.send(app, "POST "+target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); status != 200 {
			t.Errorf("%s: %d, want 200", target, status)
		}
	}
	// Probes are answered in front of the app, whichever way they are written.
	for _, target := range []string{"/livez", "//livez", "/x/../livez", "/%6civez"} {
		if status, _, got := r.send(app, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n"); status != 200 || got != nil {
			t.Errorf("%s: %d, the app got %v", target, status, got)
		}
	}
}

func TestHeadersReachTheAppAsTheyMay(t *testing.T) {
	const (
		untrusted = "trusted_proxies: []\n"
		trusted   = "trusted_proxies: [loopback]\n"
		forwarded = "forwarded_header: Forwarded\n"
		keep      = "underscore_headers: keep\n"
	)
	// The values are those the app gets under the names that the sidecar
	// vouches for, and under X-Other.
	type header = map[string]string
	own := header{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "h", "X-Forwarded-Proto": "http"}
	with := func(more header) header {
		out := maps.Clone(own)
		maps.Copy(out, more)
		return out
	}
	for _, tt := range []struct {
		rule, config, send string
		want               header
	}{
		{"ours are set", untrusted, "", own},
		{"others go on", untrusted, "X-Other: 1\r\n", with(header{"X-Other": "1"})},
		{"Handrail-* is removed", untrusted, "Handrail-Flags: a\r\nhandrail-request-verified: x\r\nHANDRAIL-X: 1\r\n", own},
		{"Handrail-* is removed even from proxies", trusted, "Handrail-Flags: a\r\n", own},
		{"a name that begins like ours is not ours", untrusted, "Handrails: 1\r\nX-Other: 1\r\n", with(header{"X-Other": "1", "Handrails": "1"})},
		{"underscores are dropped", untrusted, "X_Other: 1\r\nHandrail_Flags: a\r\nX_Forwarded_For: 6.6.6.6\r\n", own},
		{"underscores are dropped even from proxies", trusted, "X_Other: 1\r\n", own},
		{"underscores are kept", keep + untrusted, "X_Other: 1\r\n", with(header{"X_other": "1"})},
		{"kept underscores stand for nothing of ours", keep + trusted,
			"Handrail_Flags: a\r\nHANDRAIL_FLAGS: a\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nForwarded_: x\r\nX_Request_Id: x\r\nX-Request_Id: x\r\nIdempotency_Key: x\r\nTrue_Client-IP: 6.6.6.6\r\n",
			with(header{"Forwarded_": "x"})},
		{"nor do other signs", keep + untrusted, "Handrail.Flags: a\r\nHandrail~Flags: a\r\nX.Forwarded.For: 6.6.6.6\r\nX!Other: 1\r\n", with(header{"X!other": "1"})},
		{"a client names its own address", untrusted,
			"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /admin\r\nX-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n", own},
		{"a proxy names the client's", trusted, "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 203.0.113.7\r\n",
			header{"X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Forwarded-Host": "h", "X-Forwarded-Proto": "https", "X-Real-Ip": "203.0.113.7"}},
		{"several lines are one list", trusted, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7\r\n",
			with(header{"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 127.0.0.1"})},
		{"the header that does not count is deleted", trusted, "Forwarded: for=6.6.6.6\r\n", own},
		{"as is the other one", trusted + forwarded, "X-Forwarded-For: 6.6.6.6\r\n",
			with(header{"Forwarded": "for=127.0.0.1;host=h;proto=http"})},
		{"Forwarded is continued", trusted + forwarded, "Forwarded: for=203.0.113.7;proto=https\r\n",
			header{"Forwarded": "for=203.0.113.7;proto=https, for=127.0.0.1;host=h;proto=http", "X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Forwarded-Host": "h", "X-Forwarded-Proto": "https"}},
		{"Connection cannot remove what is ours", untrusted, "Connection: X-Forwarded-For, X-Request-Id, Handrail-Flags, X-Other\r\nX-Other: 1\r\n", own},
		{"nor what a proxy says", trusted, "X-Forwarded-For: 203.0.113.7\r\nConnection: X-Forwarded-For\r\n",
			with(header{"X-Forwarded-For": "203.0.113.7, 127.0.0.1"})},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			r, app := behind(t, tt.config+"rate_limits: []\n")
			_, header, got := r.send(app, "GET / HTTP/1.1\r\nHost: h\r\n"+tt.send+"\r\n")
			if got == nil {
				t.Fatal("the app got nothing")
			}
			seen := map[string]string{}
			for name, values := range got.Header {
				seen[name] = strings.Join(values, " | ")
			}
			if len(seen["X-Request-Id"]) != 36 {
				t.Errorf("X-Request-Id %q, want one of ours", seen["X-Request-Id"])
			}
			delete(seen, "X-Request-Id")
			delete(seen, "User-Agent")
			if diff := cmp.Diff(tt.want, seen); diff != "" {
				t.Errorf("the app got other headers (-want +got):\n%s", diff)
			}
			if header.Get("Handrail-Flags") != "" || header.Get("Handrail-Webhook") != "" || header.Get("X-Kept") != "yes" {
				t.Errorf("the client got %v", header)
			}
		})
	}
}

func TestRequestIDIsBelievedFromProxiesAlone(t *testing.T) {
	for _, tt := range []struct{ rule, trusted, send, want string }{
		{"from a client", "[]", "abc", ""},
		{"from a proxy", "[loopback]", "abc-1.2_3", "abc-1.2_3"},
		{"from a proxy, with signs that none has", "[loopback]", "a b", ""},
		{"from a proxy, too long", "[loopback]", strings.Repeat("x", 129), ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			r, app := behind(t, "rate_limits: []\ntrusted_proxies: "+tt.trusted)
			_, header, got := r.send(app, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: "+tt.send+"\r\n\r\n")
			id := got.Header.Get("X-Request-Id")
			if id != header.Get("X-Request-Id") {
				t.Errorf("the app got %q, the client %q", id, header.Get("X-Request-Id"))
			}
			if tt.want != "" && id != tt.want || tt.want == "" && (id == tt.send || len(id) != 36) {
				t.Errorf("%q became %q", tt.send, id)
			}
		})
	}
}

func TestTrailersCarryNothingOfOurs(t *testing.T) {
	r, app := behind(t, "trusted_proxies: [loopback]\nrate_limits: []\n")
	_, _, got := r.send(app, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"+
		"Trailer: X-Sum, Handrail-Flags, X-Forwarded-For, X_Sum\r\n\r\n"+
		"2\r\nhi\r\n0\r\nX-Sum: 1\r\nHandrail-Flags: a\r\nX-Forwarded-For: 6.6.6.6\r\nX_Sum: 2\r\nHandrail-Unannounced: x\r\n\r\n")
	if got == nil {
		t.Fatal("the app got nothing")
	}
	if diff := cmp.Diff(http.Header{"X-Sum": {"1"}}, got.Trailer); diff != "" {
		t.Errorf("trailer (-want +got):\n%s", diff)
	}
}

// Requests that two servers could take for different ones do not pass.
func TestRequestsThatCouldBeSmuggledAreRefused(t *testing.T) {
	r, app := behind(t, "rate_limits: []\n")
	for _, tt := range []struct{ rule, send string }{
		{"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"},
		{"another coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost: h\r\nHandrail-Flags : a\r\n\r\n"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"},
		{"no host", "GET / HTTP/1.1\r\n\r\n"},
		{"a header that goes on in the next line after nothing", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
		{"a length with a sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd"},
	} {
		status, _, got := r.send(app, tt.send)
		if status/100 == 2 || got != nil {
			t.Errorf("%s: %d, the app got %v", tt.rule, status, got)
		}
	}
	if status, _, _ := r.send(app, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"); status/100 == 2 {
		t.Errorf("CONNECT: %d", status)
	}
}

// A proxy that nobody told of makes all of its clients one.
func TestPrivatePeerThatForwardsIsWarnedOfOnce(t *testing.T) {
	for _, tt := range []struct {
		rule, config, peer string
		want               int
	}{
		{"a private peer, nobody is named", "", "10.1.2.3:4", 1},
		{"loopback is not private", "", "127.0.0.1:4", 0},
		{"a public peer may forge", "", "203.0.113.7:4", 0},
		{"somebody said that nobody is", "trusted_proxies: []\n", "10.1.2.3:4", 0},
		{"somebody is named", "trusted_proxies: [192.0.2.1]\n", "10.1.2.3:4", 0},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			r, app := behind(t, tt.config+"rate_limits: []\n")
			for range 3 {
				req := httptest.NewRequest("GET", "/", nil)
				req.RemoteAddr = tt.peer
				req.Header.Set("X-Forwarded-For", "203.0.113.8")
				r.sidecar.ServeHTTP(httptest.NewRecorder(), req)
				if got := <-app.seen; got.Header.Get("X-Forwarded-For") != strings.TrimSuffix(tt.peer, ":4") {
					t.Errorf("the app got X-Forwarded-For %q", got.Header.Get("X-Forwarded-For"))
				}
			}
			if n := strings.Count(r.log.String(), "that are not believed"); n != tt.want {
				t.Errorf("%d lines in the log, want %d", n, tt.want)
			}
			eventually(t, "client_identity in health", func() bool {
				return strings.Contains(health(t, r), `"client_identity":"warning"`) == (tt.want > 0)
			})
		})
	}
}

// health is what /health answers.
func health(t *testing.T, r *running) string {
	t.Helper()
	resp, err := http.Get("http://" + r.public + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
