package observe_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/observe"
)

func newMiddleware(t *testing.T, cfg observe.Config) *observe.Middleware {
	t.Helper()
	m, err := observe.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// events collects what one middleware tells, for handlers run one by one.
type events struct {
	requests chan observe.RequestEvent
	panics   chan observe.PanicEvent
}

func (e *events) config() observe.Config {
	e.requests = make(chan observe.RequestEvent, 16)
	e.panics = make(chan observe.PanicEvent, 16)
	return observe.Config{
		Routes:    []string{"/users/{id}", "/ws"},
		OnRequest: func(ev observe.RequestEvent) { e.requests <- ev },
		OnPanic:   func(ev observe.PanicEvent) { e.panics <- ev },
	}
}

func TestConfigProblemsAreReportedAtOnce(t *testing.T) {
	_, err := observe.New(observe.Config{
		Routes:          []string{"no-slash"},
		TrustedProxies:  []string{"nowhere"},
		ForwardedHeader: "X-Real-IP",
	})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *observe.ConfigError
		if !errors.As(e, &ce) {
			t.Fatalf("%T is no ConfigError", e)
		}
		got = append(got, ce.Field)
	}
	if d := cmp.Diff([]string{"Routes", "TrustedProxies", "ForwardedHeader"}, got); d != "" {
		t.Error(d)
	}
}

var uuidv7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestRequestID(t *testing.T) {
	const own = "" // a new one is expected
	for _, tt := range []struct {
		rule     string
		remote   string
		identity *clientip.Identity
		inbound  []string
		want     string
	}{
		{"none: a new one", "10.0.0.1:1", nil, nil, own},
		{"from a trusted proxy: kept", "10.0.0.1:1", nil, []string{"abc.DEF_1-2"}, "abc.DEF_1-2"},
		{"from anyone else: replaced", "192.0.2.1:1", nil, []string{"abc"}, own},
		{"the context's identity counts first: trusted", "192.0.2.1:1", &clientip.Identity{PeerTrusted: true}, []string{"abc"}, "abc"},
		{"the context's identity counts first: untrusted", "10.0.0.1:1", &clientip.Identity{}, []string{"abc"}, own},
		{"128 characters: kept", "10.0.0.1:1", nil, []string{strings.Repeat("a", 128)}, strings.Repeat("a", 128)},
		{"129 characters: replaced", "10.0.0.1:1", nil, []string{strings.Repeat("a", 129)}, own},
		{"empty: replaced", "10.0.0.1:1", nil, []string{""}, own},
		{"two headers: replaced", "10.0.0.1:1", nil, []string{"a", "b"}, own},
		{"line break: replaced", "10.0.0.1:1", nil, []string{"a\nb"}, own},
		{"space: replaced", "10.0.0.1:1", nil, []string{"a b"}, own},
		{"not ASCII: replaced", "10.0.0.1:1", nil, []string{"ä"}, own},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var seen, inContext string
			h := newMiddleware(t, observe.Config{TrustedProxies: []string{"private"}}).Wrap(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					seen, inContext = r.Header.Get("X-Request-Id"), observe.RequestID(r.Context())
				}))
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.remote
			r.Header["X-Request-Id"] = tt.inbound
			if tt.identity != nil {
				r = r.WithContext(clientip.NewContext(r.Context(), *tt.identity))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			echoed := w.Header().Get("X-Request-Id")
			if seen != echoed || inContext != echoed {
				t.Errorf("handler %q, context %q, response %q", seen, inContext, echoed)
			}
			if tt.want != own && echoed != tt.want || tt.want == own && !uuidv7.MatchString(echoed) {
				t.Errorf("got %q, want %q or a new one", echoed, tt.want)
			}
		})
	}
	if id := observe.RequestID(context.Background()); id != "" {
		t.Errorf("outside of a request: %q", id)
	}
}

func TestWhatAHandlerDoesToOneIDLeavesTheOthers(t *testing.T) {
	var e events
	var id string
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	newMiddleware(t, e.config()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id = observe.RequestID(r.Context())
		r.Header["X-Request-Id"][0] = "changed"
		r.Header.Add("X-Request-Id", "added")
		r.Method = "DELETE"
	})).ServeHTTP(w, r)
	if ev := <-e.requests; ev.RequestID != id || ev.Method != "GET" {
		t.Errorf("the event has %q and %s, want %q and GET", ev.RequestID, ev.Method, id)
	}
	if d := cmp.Diff([]string{id}, w.Header()["X-Request-Id"]); d != "" {
		t.Errorf("the answer: %s", d)
	}
}

func TestInPlaceTheHandlerGetsTheRequestItself(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		r := httptest.NewRequest("GET", "/", nil)
		var got *http.Request
		m := newMiddleware(t, observe.Config{InPlace: inPlace})
		m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
		if (got == r) != inPlace || (observe.RequestID(r.Context()) != "") != inPlace || observe.RequestID(got.Context()) == "" {
			t.Errorf("in place %v: the handler got the request itself: %v, the caller's context has %q", inPlace, got == r, observe.RequestID(r.Context()))
		}
	}
}

func TestEventOfAnOrdinaryRequest(t *testing.T) {
	var e events
	cfg := e.config()
	cfg.TrustedProxies = []string{"10.0.0.0/8"}
	type key struct{}
	cfg.OnStart = func(r *http.Request, route string) context.Context {
		if observe.RequestID(r.Context()) == "" {
			t.Error("OnStart sees no request id")
		}
		return context.WithValue(r.Context(), key{}, "started "+route)
	}
	h := newMiddleware(t, cfg).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Context().Value(key{}); got != "started /users/{id}" {
			t.Errorf("the handler's context has %v", got)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	}))
	r := httptest.NewRequest("BREW", "/users/7?token=secret", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	h.ServeHTTP(httptest.NewRecorder(), r)
	ev := <-e.requests
	if ev.Context.Value(key{}) == nil || time.Since(ev.Start) > time.Minute || ev.Duration <= 0 || !uuidv7.MatchString(ev.RequestID) {
		t.Errorf("event %+v", ev)
	}
	ev.Context, ev.Start, ev.Duration, ev.RequestID = nil, time.Time{}, 0, ""
	want := observe.RequestEvent{
		Method: "_OTHER", Route: "/users/{id}", Path: "/users/7", Status: 201, Bytes: 5,
		Client: netip.MustParseAddr("203.0.113.9"), TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Outcome: observe.Completed,
	}
	if d := cmp.Diff(want, ev, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestTraceparent(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01":                       id,
		"00-" + id + "-00f067aa0ba902b7-01-x":                     "",
		"cc-" + id + "-00f067aa0ba902b7-01-later":                 id,
		"cc-" + id + "-00f067aa0ba902b7-01later":                  "",
		"ff-" + id + "-00f067aa0ba902b7-01":                       "",
		"00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01":      "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-" + id + "-0000000000000000-01":                       "",
		"00-" + id + "-00f067aa0ba902b7":                          "",
		"":                                                        "",
	} {
		var e events
		h := newMiddleware(t, e.config()).Wrap(http.NotFoundHandler())
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Traceparent", header)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got := (<-e.requests).TraceID; got != want {
			t.Errorf("%q: got %q", header, got)
		}
	}
}

// serve runs h behind a middleware on a real server.
func serve(t *testing.T, e *events, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(newMiddleware(t, e.config()).Wrap(h))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func TestHowRequestsEnd(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		handler  http.HandlerFunc
		status   int // in the event
		outcome  observe.Outcome
		panics   int
		complete bool   // the client gets an answer and its end
		body     string // of a complete answer
	}{
		{"a silent handler is 200", func(http.ResponseWriter, *http.Request) {}, 200, observe.Completed, 0, true, ""},
		{"a panic before the header is 500", func(http.ResponseWriter, *http.Request) { panic("secret cause") }, 500, observe.Panicked, 1, true, `{"error":"internal"}` + "\n"},
		{"a panic after the header cuts the connection", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "partial")
			_ = http.NewResponseController(w).Flush()
			panic("secret cause")
		}, 200, observe.Panicked, 1, false, ""},
		{"ErrAbortHandler is passed on and is no panic", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "partial")
			panic(http.ErrAbortHandler)
		}, 200, observe.Aborted, 0, false, ""},
		{"ErrAbortHandler before the header is no answer", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, 0, observe.Aborted, 0, false, ""},
		{"fewer bytes than announced are aborted", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
		}, 200, observe.Aborted, 0, false, ""},
		{"a panic with nil is a panic", func(http.ResponseWriter, *http.Request) { panic(nil) }, 500, observe.Panicked, 1, true, `{"error":"internal"}` + "\n"}, //nolint:govet // the rule is about it
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var e events
			srv := serve(t, &e, tt.handler)
			resp, err := srv.Client().Get(srv.URL)
			complete := err == nil
			if err == nil {
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				complete = err == nil
				if complete && string(body) != tt.body {
					t.Errorf("body %q, want %q", body, tt.body)
				}
			}
			if complete != tt.complete {
				t.Errorf("the client got a complete answer: %v, want %v", complete, tt.complete)
			}
			ev := <-e.requests
			if ev.Status != tt.status || ev.Outcome != tt.outcome || len(e.panics) != tt.panics {
				t.Errorf("status %d, outcome %q, %d panics; want %d, %q, %d", ev.Status, ev.Outcome, len(e.panics), tt.status, tt.outcome, tt.panics)
			}
		})
	}
}

func TestClientThatLeavesIsAborted(t *testing.T) {
	var e events
	arrived := make(chan struct{})
	srv := serve(t, &e, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
	if _, err := srv.Client().Do(r); err == nil {
		t.Fatal("no error")
	}
	if ev := <-e.requests; ev.Outcome != observe.Aborted || ev.Status != 0 {
		t.Errorf("got %q with status %d", ev.Outcome, ev.Status)
	}
}

func TestHeadIsCompleteWithoutItsBody(t *testing.T) {
	var e events
	srv := serve(t, &e, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
	})
	resp, err := srv.Client().Head(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if ev := <-e.requests; ev.Outcome != observe.Completed || ev.Bytes != 0 || ev.Status != 200 {
		t.Errorf("got %+v", ev)
	}
}

func TestHijackedConnection(t *testing.T) {
	var e events
	srv := serve(t, &e, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
	})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "101") {
		t.Errorf("got %q", line)
	}
	if ev := <-e.requests; ev.Outcome != observe.Hijacked || ev.Status != 101 || ev.Route != "/ws" {
		t.Errorf("got %+v", ev)
	}
}

func TestPanicGoesToTheLogAndTheHookOnly(t *testing.T) {
	var e events
	var buf bytes.Buffer
	cfg := e.config()
	cfg.Log = slog.New(slog.NewJSONHandler(&buf, nil))
	h := newMiddleware(t, cfg).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "99")
		explode()
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/users/1", nil))
	if w.Code != 500 || w.Body.String() != `{"error":"internal"}`+"\n" || w.Header().Get("Content-Length") == "99" {
		t.Errorf("answer %d %v %s", w.Code, w.Header(), w.Body)
	}
	p := <-e.panics
	if p.Value != "the cause" || !bytes.Contains(p.Stack, []byte("explode")) || p.Route != "/users/{id}" || p.RequestID == "" || p.Context == nil {
		t.Errorf("hook got %+v", p)
	}
	var rec map[string]any
	line, _, _ := bytes.Cut(buf.Bytes(), []byte("\n"))
	if err := json.Unmarshal(line, &rec); err != nil {
		t.Fatal(err)
	}
	if rec["msg"] != "panic" || rec["level"] != "ERROR" || rec["panic"] != "the cause" || !strings.Contains(rec["stack"].(string), "explode") {
		t.Errorf("log %s", line)
	}
}

func explode() { panic("the cause") }
