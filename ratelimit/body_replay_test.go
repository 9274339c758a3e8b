package ratelimit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/server"
	"github.com/handrail-go/handrail/ratelimit"
)

// patience bounds every wait of a test; no rule depends on it.
const patience = 20 * time.Second

// servers are those that the middleware stands in.
var servers = map[string]func(http.Handler) interface {
	Serve(net.Listener) error
	Close() error
}{
	"net/http": func(h http.Handler) interface {
		Serve(net.Listener) error
		Close() error
	} {
		return &http.Server{Handler: h, ReadHeaderTimeout: patience}
	},
	"internal/server": func(h http.Handler) interface {
		Serve(net.Listener) error
		Close() error
	} {
		return server.New(server.Config{
			Handler: h, HeaderTimeout: patience, IdleTimeout: patience, ClientTimeout: patience, RestTimeout: patience,
			MaxHeaderBytes: 64 << 10, Log: slog.New(slog.DiscardHandler),
		})
	},
}

// listenOn starts the server called name around h and returns a function that
// connects to it.
func listenOn(t *testing.T, name string, h http.Handler) (dial func() *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := servers[name](h)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ln) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return func() *net.TCPConn {
		conn, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
}

// behind is h behind policies of several sizes that read the body.
func behind(t testing.TB, h http.Handler, sizes ...int64) http.Handler {
	t.Helper()
	var policies []ratelimit.Policy
	for i, size := range sizes {
		p := keyed(fmt.Sprint("p", i), ratelimit.MaxCount, "json:/email")
		p.MaxBodyBytes = size
		policies = append(policies, p)
	}
	m, err := ratelimit.New(ratelimit.Config{Policies: policies, Limiter: &recorder{}})
	if err != nil {
		t.Fatal(err)
	}
	return m.Wrap(h)
}

// seen is what an application sees of a body.
type seen struct {
	Length   int64
	Encoding []string
	Body     string
	Err      string
	Trailer  http.Header
}

// watch returns a handler that reads bodies in random steps and tells what it
// saw.
func watch(seed uint64, out chan<- seen) http.Handler {
	rng := rand.New(rand.NewPCG(seed, 2))
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := seen{Length: r.ContentLength, Encoding: r.TransferEncoding}
		var body []byte
		for {
			p := make([]byte, rng.IntN(300))
			n, err := r.Body.Read(p)
			body = append(body, p[:n]...)
			if err != nil {
				s.Err = err.Error()
				break
			}
		}
		if n, err := r.Body.Read(make([]byte, 1)); n > 0 || err == nil {
			s.Err += ", then more"
		}
		s.Body, s.Trailer = string(body), r.Trailer.Clone()
		out <- s
	})
}

// aRequest is one with a body of random size and form, as bytes.
func aRequest(rng *rand.Rand) []byte {
	text := strings.Repeat("x", rng.IntN(2000))
	if rng.IntN(2) == 0 {
		text = `{"email":"` + text + `"}`
	}
	head := "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	var out bytes.Buffer
	if rng.IntN(2) == 0 {
		fmt.Fprintf(&out, "%sContent-Length: %d\r\n\r\n%s", head, len(text), text)
	} else {
		out.WriteString(head + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
		for text != "" {
			n := 1 + rng.IntN(min(len(text), 400))
			fmt.Fprintf(&out, "%x\r\n%s\r\n", n, text[:n])
			text = text[n:]
		}
		out.WriteString("0\r\nX-Sum: 1\r\n\r\n")
	}
	request := out.Bytes()
	switch start := bytes.Index(request, []byte("\r\n\r\n")) + 4; rng.IntN(4) {
	case 0: // it breaks off
		request = request[:start+rng.IntN(len(request)-start+1)]
	case 1: // something in it is another byte
		if start < len(request) {
			request[start+rng.IntN(len(request)-start)] = "\n\r\x00;g"[rng.IntN(5)]
		}
	}
	return request
}

// An application sees the same body with the middleware as without it, whatever
// the client sends, in what pieces, and wherever it breaks off.
func TestTheApplicationGetsTheBodyAsItCame(t *testing.T) {
	for name := range servers {
		t.Run(name, func(t *testing.T) {
			for i := range 60 {
				seed := rand.Uint64()
				rng := rand.New(rand.NewPCG(seed, 1))
				request := aRequest(rng)
				sizes := []int64{1 + rng.Int64N(2500), 1 + rng.Int64N(2500)}
				ask := func(wrap func(http.Handler) http.Handler) seen {
					out := make(chan seen, 1)
					conn := listenOn(t, name, wrap(watch(seed, out)))()
					defer conn.Close()
					for rest := request; len(rest) > 0; {
						n := 1 + rng.IntN(len(rest))
						if _, err := conn.Write(rest[:n]); err != nil {
							break // what is malformed was noticed
						}
						rest = rest[n:]
					}
					_ = conn.CloseWrite()
					select {
					case s := <-out:
						return s
					case <-time.After(patience):
						t.Fatalf("seed %d: %q was never read", seed, request)
						return seen{}
					}
				}
				want := ask(func(h http.Handler) http.Handler { return h })
				got := ask(func(h http.Handler) http.Handler { return behind(t, h, sizes...) })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("request %d, seed %d, %v bytes of %q: -without +with\n%s", i, seed, sizes, request, diff)
				}
			}
		})
	}
}

func TestReadingAheadAsksTheClientOnce(t *testing.T) {
	for name := range servers {
		t.Run(name, func(t *testing.T) {
			conn := listenOn(t, name, behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header["Expect"] == nil {
					_, _ = io.Copy(w, r.Body)
				}
			}), 100))()
			defer conn.Close()
			const text = `{"email":"alice"}`
			_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(text))
			const asked = "HTTP/1.1 100 Continue\r\n\r\n"
			got := make([]byte, len(asked))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != asked {
				t.Fatalf("%q, %v", got, err)
			}
			_, _ = io.WriteString(conn, text)
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) || !bytes.HasSuffix(answer, []byte(text)) {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

// asked tells whether a body was read, and how often it was closed.
type asked struct {
	io.Reader
	reads, closes int
}

func (a *asked) Read(p []byte) (int, error) { a.reads++; return a.Reader.Read(p) }
func (a *asked) Close() error               { a.closes++; return errors.New("closed") }

func post(text io.Reader, length int64, edit ...func(*http.Request)) (*http.Request, *asked) {
	r, a := login(edit...), &asked{Reader: text}
	r.Body, r.ContentLength = a, length
	return r, a
}

func TestABodyIsNotReadForNothing(t *testing.T) {
	for _, c := range []struct {
		rule   string
		length int64
		edit   func(*http.Request)
	}{
		{"one that is announced as too long", 101, func(*http.Request) {}},
		{"one of the other kind", 10, with("Content-Type", formType)},
		{"one that is encoded", 10, with("Content-Encoding", "br")},
	} {
		r, a := post(strings.NewReader("x"), c.length, c.edit)
		behind(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Body != a {
				t.Errorf("%s is replaced", c.rule)
			}
		}), 100).ServeHTTP(httptest.NewRecorder(), r)
		if a.reads > 0 {
			t.Errorf("%s is read", c.rule)
		}
	}
	allowed := policy(func(p *ratelimit.Policy) { p.Key = []string{"json:/email"}; p.Allow = []string{"192.0.2.1"} })
	r, a := post(strings.NewReader("{}"), 2)
	wrapped(t, one(allowed)).ServeHTTP(httptest.NewRecorder(), r)
	if a.reads > 0 {
		t.Error("one of a client that is not limited is read")
	}
}

// The bytes over the largest size stay on the connection until the application
// reads them.
func TestNoMoreIsReadAheadThanTheLargestPolicyAllows(t *testing.T) {
	for _, length := range []int64{-1, 5} { // what is announced may be wrong
		text := strings.NewReader(strings.Repeat("x", 100_000))
		r, _ := post(text, length)
		reached := false
		behind(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			reached = true
			if ahead := 100_000 - text.Len(); ahead > 9001 {
				t.Errorf("%d bytes were read ahead", ahead)
			}
			if b, err := io.ReadAll(r.Body); len(b) != 100_000 || err != nil {
				t.Errorf("the application got %d bytes, %v", len(b), err)
			}
		}), 10, 9000, 100).ServeHTTP(httptest.NewRecorder(), r)
		if !reached {
			t.Error("the body is refused")
		}
	}
}

func TestABodyCountsUpToTheSizeOfItsPolicy(t *testing.T) {
	const text = `{"email":"alice"}`
	of := func(size int64, text string) string {
		k := &recorder{}
		p := keyed("p", 1, "json:/email")
		p.MaxBodyBytes = size
		wide := keyed("wide", 1, "json:/email") // reads more of it, before and after
		h := wrapped(t, ratelimit.Config{Policies: []ratelimit.Policy{wide, p, wide2(wide)}, Limiter: k})
		r, _ := post(iotest.OneByteReader(strings.NewReader(text)), -1)
		h.ServeHTTP(httptest.NewRecorder(), r)
		return strings.Split(k.all, "}")[1]
	}
	size := int64(len(text))
	if of(size, text) == of(size, "") {
		t.Error("a body of just the size does not count")
	}
	if of(size-1, text) != of(size, "") {
		t.Error("a body over the size counts")
	}
}

func wide2(p ratelimit.Policy) ratelimit.Policy { p.Name = "wide2"; return p }

func TestAnErrorOfTheClientReachesTheApplication(t *testing.T) {
	broken := errors.New("broken")
	r, a := post(io.MultiReader(strings.NewReader(`{"email":"alice"}`), iotest.ErrReader(broken)), -1)
	k := &recorder{}
	m, err := ratelimit.New(ratelimit.Config{Limiter: k, Policies: []ratelimit.Policy{keyed("p", 1, "json:/email")}})
	if err != nil {
		t.Fatal(err)
	}
	m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); string(b) != `{"email":"alice"}` || !errors.Is(err, broken) {
			t.Errorf("the application got %q, %v", b, err)
		}
		if err := r.Body.Close(); err == nil || err.Error() != "closed" || a.closes != 1 {
			t.Errorf("Close: %v, %d times", err, a.closes)
		}
		if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("after Close: %v", err)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if k.key != keyOf(t, ratelimit.Config{}, "json:/email")() {
		t.Error("a body that broke off counts")
	}
}

// What is left of a body that was read from is not taken for the whole.
func TestWhatTheFirstPolicyLeftIsNoBody(t *testing.T) {
	k := &recorder{}
	inner := wrapped(t, ratelimit.Config{Limiter: k, Policies: []ratelimit.Policy{keyed("p", 1, "json:/email")}})
	r, _ := post(strings.NewReader(`{"email":"alice"} {"email":"bob"}`), -1)
	behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 17)) // beyond what was read ahead
		inner.ServeHTTP(w, r)
		if rest, err := io.ReadAll(r.Body); string(rest) != ` {"email":"bob"}` || err != nil {
			t.Errorf("the application got %q, %v", rest, err)
		}
	}), 10).ServeHTTP(httptest.NewRecorder(), r)
	if k.key != keyOf(t, ratelimit.Config{}, "json:/email")() {
		t.Error("the rest of a body counts")
	}
}

func TestTwoMiddlewaresReadABodyOnce(t *testing.T) {
	k := &recorder{}
	inner := wrapped(t, ratelimit.Config{Limiter: k, Policies: []ratelimit.Policy{keyed("p", 1, "json:/email")}})
	r, a := post(strings.NewReader(`{"email":"alice"}`), 17)
	behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := a.reads
		_, _ = io.ReadFull(r.Body, make([]byte, 5)) // what stands between may read
		inner.ServeHTTP(w, r)
		if a.reads != reads {
			t.Error("the body is read again")
		}
	}), 100).ServeHTTP(httptest.NewRecorder(), r)
	if k.key != keyOf(t, ratelimit.Config{}, "json:/email")(asJSON(`{"email":"alice"}`)) {
		t.Error("the body does not count for the second")
	}
	if !slices.Contains([]int{1, 2}, a.reads) {
		t.Errorf("%d reads", a.reads)
	}
}
