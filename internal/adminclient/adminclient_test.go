package adminclient_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/adminclient"
)

// answer is what a sidecar would say.
type answer struct{ Said string }

func (a *answer) Check() error {
	if a.Said == "" {
		return errors.New("it says nothing")
	}
	return nil
}

// serve answers on ln until the test ends.
func serve(t *testing.T, ln net.Listener, h http.HandlerFunc) {
	t.Helper()
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
}

// listen skips the test when there is no such address here.
func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", addr, err)
	}
	return ln
}

func newClient(t *testing.T, addr, token string) *adminclient.Client {
	t.Helper()
	c, err := adminclient.New(addr, token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asked is the error, and what was said, of one question to h.
func asked(t *testing.T, h http.HandlerFunc) (string, error) {
	t.Helper()
	ln := listen(t, "tcp", "127.0.0.1:0")
	serve(t, ln, h)
	var out answer
	err := newClient(t, ln.Addr().String(), "").Do(t.Context(), "GET", "/api", nil, &out)
	return out.Said, err
}

func TestWhereASidecarIsAsked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	for _, tt := range []struct {
		rule, network, listen string
		addr                  string // with the port for a %s
	}{
		{"by address", "tcp", "127.0.0.1:0", "127.0.0.1:%s"},
		{"by name", "tcp", "127.0.0.1:0", "localhost:%s"},
		{"every address is this machine's", "tcp", "127.0.0.1:0", "0.0.0.0:%s"},
		{"every IPv6 address is as well", "tcp", "127.0.0.1:0", "[::]:%s"},
		{"no address is as well", "tcp", "127.0.0.1:0", ":%s"},
		{"IPv6", "tcp", "[::1]:0", "[::1]:%s"},
		{"a socket", "unix", socket, "unix:" + socket},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			ln := listen(t, tt.network, tt.listen)
			requests := make(chan string, 1)
			serve(t, ln, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				requests <- fmt.Sprintf("%s %s %q %q %s", r.Method, r.URL, r.Header["Authorization"], r.Header["Content-Type"], body)
				fmt.Fprint(w, `{"said":"yes"}`)
			})
			addr := tt.addr
			if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
				addr = fmt.Sprintf(tt.addr, fmt.Sprint(tcp.Port))
			}
			var out answer
			if err := newClient(t, addr, "secret").Do(t.Context(), "POST", "/api?x=1", map[string]int{"n": 1}, &out); err != nil {
				t.Fatal(err)
			}
			got := <-requests
			if want := `POST /api?x=1 ["Bearer secret"] ["application/json"] {"n":1}`; got != want || out.Said != "yes" {
				t.Errorf("asked %s, answered %q; want %s", got, out.Said, want)
			}
		})
	}
	for _, addr := range []string{"", "nowhere", "1.2.3.4", "::1:9090"} {
		if _, err := adminclient.New(addr, ""); err == nil {
			t.Errorf("%q is taken for an address", addr)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	addr := ln.Addr().String()
	_ = ln.Close()
	for _, addr := range []string{addr, "unix:" + filepath.Join(t.TempDir(), "none")} {
		err := newClient(t, addr, "").Do(t.Context(), "GET", "/", nil, &answer{})
		if err == nil || !strings.HasPrefix(err.Error(), "no sidecar answers on its admin listener "+addr+": dial ") {
			t.Errorf("error %v", err)
		}
	}
}

func TestWhatIsNoAnswerOfASidecar(t *testing.T) {
	const foreign = " is not a sidecar of this version"
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, text)
		}
	}
	for _, tt := range []struct {
		rule   string
		answer http.HandlerFunc
		want   string
	}{
		{"no JSON", status(200, "<html>hi"), foreign + ": invalid character '<'"},
		{"nothing", status(204, ""), foreign + ": unexpected end of JSON input"},
		{"an empty object", status(200, "{}"), foreign + ": it says nothing"},
		{"null", status(200, "null"), foreign + ": it says nothing"},
		{"a list", status(200, "[]"), foreign},
		{"more after the object", status(200, `{"said":"yes"}{}`), foreign},
		{"an error that is no JSON", status(500, "oops"), "answered 500 Internal Server Error: what answers on "},
		{"a status that has no name", status(599, ""), "answered 599: what answers on "},
		{"one that is cut short", raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), "broke off: unexpected EOF"},
		{"another protocol", raw("220 \x1b[31mmail\r\n"), `malformed HTTP`},
		{"a header that is none", raw("HTTP/1.1 200 OK\r\n\x1b[31mred\r\n\r\n"), `\x1b[31mred`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := asked(t, tt.answer)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

func TestARedirectionIsNotFollowed(t *testing.T) {
	elsewhere := listen(t, "tcp", "127.0.0.1:0")
	serve(t, elsewhere, func(http.ResponseWriter, *http.Request) { t.Error("the token went elsewhere") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, err := asked(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://"+elsewhere.Addr().String()+"/")
			w.WriteHeader(status)
		})
		if e, ok := errors.AsType[*adminclient.AnswerError](err); !ok || e.Status != status {
			t.Errorf("%d: error %v", status, err)
		}
	}
}

func TestALongAnswerIsNotKept(t *testing.T) {
	plain := bytes.Repeat([]byte(" "), 1<<20)
	var compressed bytes.Buffer // many of it are one stream too
	z := gzip.NewWriter(&compressed)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for encoding, block := range map[string][]byte{"identity": plain, "gzip": compressed.Bytes()} {
		ln := listen(t, "tcp", "127.0.0.1:0")
		serve(t, ln, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			for range 3 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		})
		c := newClient(t, ln.Addr().String(), "")
		c.Bound(2 << 20) // what a busy machine reads in time
		err := c.Do(t.Context(), "GET", "/", nil, &answer{})
		if err == nil || !strings.HasSuffix(err.Error(), "is longer than 2 MiB") {
			t.Errorf("%s: error %v", encoding, err)
		}
	}
}

func TestACompressedAnswerIsRead(t *testing.T) {
	said, err := asked(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"said":"yes"}`)
		_ = z.Close()
	})
	if said != "yes" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

func TestASlowAnswerEndsWithTheContext(t *testing.T) {
	for rule, begin := range map[string]string{"before its headers": "", "in the middle": "{"} {
		ctx, cancel := context.WithCancel(t.Context())
		ln := listen(t, "tcp", "127.0.0.1:0")
		serve(t, ln, func(w http.ResponseWriter, r *http.Request) {
			if begin != "" {
				_, _ = io.WriteString(w, begin)
				_ = http.NewResponseController(w).Flush()
			}
			cancel()
			<-r.Context().Done()
		})
		err := newClient(t, ln.Addr().String(), "").Do(ctx, "GET", "/", nil, &answer{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", rule, err)
		}
	}
}

func TestWhatARefusalSays(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		status int
		body   string
		want   string
	}{
		{"a wrong token", 401, `{"error":"unauthorized"}`, "unauthorized: the admin token is missing or wrong: set HANDRAIL_ADMIN_TOKEN"},
		{"a missing token", 403, `{"error":"token_required"}`,
			"token_required: changes need the admin token: set admin.token for the sidecar and HANDRAIL_ADMIN_TOKEN here, or listen on unix:/path"},
		{"another name", 403, `{"error":"forbidden_host"}`, "forbidden_host"},
		{"a reason", 400, `{"error":"bad_subject","detail":"ip: \"x\" is not an address"}`, `bad_subject: ip: "x" is not an address`},
		{"a reason that a terminal must not get", 500, `{"error":"\u001b[31mboom\nhi","detail":"\u009b0m"}`, `"\x1b[31mboom\nhi": "\u009b0m"`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := asked(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			e, ok := errors.AsType[*adminclient.AnswerError](err)
			if !ok || e.Status != tt.status || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		`json:/e-mail, "a\b"`:     `json:/e-mail, "a\b"`,
		"Zürich 東京 🙂":             "Zürich 東京 🙂",
		"two\nlines":              `"two\nlines"`,
		"a\tb\r\v\f":              `"a\tb\r\v\f"`,
		"\x1b]0;title\a":          `"\x1b]0;title\a"`,
		"\u009b31m":               `"\u009b31m"`,
		"\x7f":                    `"\x7f"`,
		"abc\u202edef":            `"abc\u202edef"`,
		"no\u00a0break":           `"no\u00a0break"`,
		"line\u2028end\U000e0001": `"line\u2028end\U000e0001"`,
		"not UTF-8 \x9b":          `"not UTF-8 \x9b"`,
	} {
		if got := adminclient.Printable(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	json := "{\n  \"é🙂\": \"\u009b\x7f\u202e\U000e0001\\n\"\n}"
	if got, want := adminclient.PrintableJSON([]byte(json)), "{\n  \"é🙂\": \"\\u009b\\u007f\\u202e\\udb40\\udc01\\n\"\n}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestHeadersAreSentWithEachRequest(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	got := make(chan string, 2)
	serve(t, ln, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("If-Match") + " " + r.Header.Get("Authorization")
		fmt.Fprint(w, `{"said":"yes"}`)
	})
	c := newClient(t, ln.Addr().String(), "secret")
	c.SetHeader("if-match", "*")
	for range 2 {
		if err := c.Do(t.Context(), "GET", "/", nil, &answer{}); err != nil {
			t.Fatal(err)
		}
		if h := <-got; h != "* Bearer secret" {
			t.Errorf("sent %q", h)
		}
	}
}
