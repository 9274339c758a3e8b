package flags_test

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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func httpSource(t *testing.T, cfg flags.HTTPConfig) flags.Source {
	t.Helper()
	s, err := flags.HTTP(cfg)
	must(t, err)
	return s
}

func TestHTTPRefusesWhatIsUnsafeOrCannotWork(t *testing.T) {
	const secret = "s3cr3t"
	for _, tc := range []struct {
		rule string
		cfg  flags.HTTPConfig
		want string // the fields of all problems; empty: none
	}{
		{"https", flags.HTTPConfig{URL: "https://flags.example/a.yaml"}, ""},
		{"a user and a query", flags.HTTPConfig{URL: "https://u:" + secret + "@flags.example/?token=" + secret}, ""},
		{"http to loopback", flags.HTTPConfig{URL: "http://127.0.0.2:80/a.yaml"}, ""},
		{"http to loopback, IPv6", flags.HTTPConfig{URL: "http://[::1]/a.yaml"}, ""},
		{"http to localhost", flags.HTTPConfig{URL: "http://localhost/a.yaml"}, ""},
		{"http elsewhere", flags.HTTPConfig{URL: "http://flags.example/" + secret}, "URL"},
		{"http to what only looks like loopback", flags.HTTPConfig{URL: "http://127.0.0.1.example/"}, "URL"},
		{"http elsewhere, allowed", flags.HTTPConfig{URL: "http://flags.example/", DangerouslyAllowPlainHTTP: true}, ""},
		{"nothing", flags.HTTPConfig{}, "URL"},
		{"another scheme", flags.HTTPConfig{URL: "file:///etc/" + secret}, "URL"},
		{"no host", flags.HTTPConfig{URL: "https:///" + secret}, "URL"},
		{"no URL", flags.HTTPConfig{URL: "https://u:" + secret + "%zz@x/"}, "URL"},
		{"times", flags.HTTPConfig{URL: "https://x/", Interval: time.Millisecond, Timeout: -1}, "Interval Timeout"},
		{"a token of two lines", flags.HTTPConfig{URL: "https://x/", Token: secret + "\r\nX: y"}, "Token"},
		{"two ways to say who one is", flags.HTTPConfig{URL: "https://u:" + secret + "@x/", Token: secret}, "URL"},
		{"and another", flags.HTTPConfig{URL: "https://x/", Token: secret, Header: http.Header{"authorization": {secret}}}, "Header"},
		{"a header that is the source's", flags.HTTPConfig{URL: "https://x/", Header: http.Header{"if-none-match": {secret}}}, "Header"},
		{"a header of two lines", flags.HTTPConfig{URL: "https://x/", Header: http.Header{"X-Key": {secret + "\n"}}}, "Header"},
		{"a name of a header", flags.HTTPConfig{URL: "https://x/", Header: http.Header{"X Key": {secret}}}, "Header"},
	} {
		_, err := flags.HTTP(tc.cfg)
		var got []string
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				if problem, ok := errors.AsType[*flags.ConfigError](e); ok {
					got = append(got, strings.TrimPrefix(problem.Field, "HTTPConfig."))
				}
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v", tc.rule, err)
		}
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%s: the error tells what is secret: %v", tc.rule, err)
		}
	}
}

// answering gives a server's handler for one answer.
func answering(status int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func zipped(data []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.String()
}

func TestHTTPTakesAnAnswerWholeOrNotAtAll(t *testing.T) {
	text := version(1)
	chunked := func(body string, abort bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, body)
			w.(http.Flusher).Flush()
			if abort {
				panic(http.ErrAbortHandler)
			}
		}
	}
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}
	}
	tooLarge := bytes.Repeat([]byte("#"), flags.MaxFileBytes+1)
	for _, tc := range []struct {
		rule    string
		handler http.HandlerFunc
		want    string // in the error; empty: none
	}{
		{"with a length", answering(200, map[string]string{"Content-Type": "text/html"}, text), ""},
		{"in chunks", chunked(text, false), ""},
		{"in chunks, and cut", chunked(text[:40], true), "EOF"},
		{"shorter than it said", raw("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + text[:40]), "EOF"},
		{"until the connection ends", raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + text), "may be cut"},
		{"until the connection ends, HTTP/1.0", raw("HTTP/1.0 200 OK\r\n\r\n" + text), "may be cut"},
		{"gzip", answering(200, map[string]string{"Content-Encoding": "gzip"}, zipped([]byte(text))), ""},
		{"gzip, cut", answering(200, map[string]string{"Content-Encoding": "gzip"}, zipped([]byte(text))[:40]), "EOF"},
		{"gzip, too large once it is not", answering(200, map[string]string{"Content-Encoding": "gzip"}, zipped(tooLarge)), "more than 8388608 bytes"},
		{"another encoding", answering(200, map[string]string{"Content-Encoding": "br"}, text), "not asked for"},
		{"too large", answering(200, nil, string(tooLarge)), "more than 8388608 bytes"},
		{"empty", answering(200, nil, ""), "empty"},
		{"no content", answering(204, nil, ""), "says 204 No Content"},
		{"a part", answering(206, nil, text), "says 206"},
		{"304 unasked", answering(304, nil, ""), "says 304 without"},
		{"not found", answering(404, nil, text), "says 404 Not Found"},
		{"gone", answering(410, nil, text), "says 410 Gone"},
		{"not allowed", answering(403, nil, text), "says 403 Forbidden"},
		{"a status of nobody", answering(599, nil, text), "says 599"},
		{"no HTTP", raw("hello\r\n\r\n"), "malformed"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			defer server.Close()
			doc, err := httpSource(t, flags.HTTPConfig{URL: server.URL + "/flags.yaml"}).Load(t.Context())
			switch {
			case doc.Name != server.URL+"/flags.yaml":
				t.Errorf("name %q", doc.Name)
			case tc.want == "" && (err != nil || string(doc.Data) != text):
				t.Errorf("%q, %v", doc.Data, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || doc.Data != nil):
				t.Errorf("%d bytes, %v", len(doc.Data), err)
			}
		})
	}
}

func TestHTTPStaysOnItsServer(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, version(1))
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/good", answering(200, nil, version(1)))
	mux.Handle("/here", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL+"/?k3y=t0p", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{"/here": "", "/away": "redirected to another server", "/round": "redirected too often"} {
		_, err := httpSource(t, flags.HTTPConfig{URL: server.URL + path, Token: "t0ken"}).Load(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if asked.Load() != 0 {
		t.Error("another server was asked")
	}
}

// A server, or what stands in its place, may repeat what it was sent.
func TestHTTPTellsNoSecrets(t *testing.T) {
	secrets := []string{"us3rname", "p4ssword", "t0ken-t0ken", "qu3ry", "h3ader"}
	repeat := func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			fmt.Fprintf(conn, "HTTP/1.1 %s %s %s %s %s\r\n\r\n", user, password, r.Header.Get("Authorization"), r.URL.RawQuery, r.Header.Get("X-Key"))
			_ = conn.Close()
		}
	}
	server := httptest.NewServer(http.HandlerFunc(repeat))
	addr := server.Listener.Addr().String()
	withToken := flags.HTTPConfig{URL: "http://" + addr + "/f.yaml?key=qu3ry#x", Token: "t0ken-t0ken", Header: http.Header{"X-Key": {"h3ader"}}}
	withUser := flags.HTTPConfig{URL: "http://us3rname:p4ssword@" + addr + "/f.yaml?key=qu3ry", Header: http.Header{"X-Key": {"h3ader"}}}
	check := func(rule string) {
		t.Helper()
		for _, cfg := range []flags.HTTPConfig{withToken, withUser} {
			var told bytes.Buffer
			c, err := flags.New(t.Context(), flags.Config{Source: httpSource(t, cfg), AllowUnready: true, OnEvent: func(ev flags.Event) {
				fmt.Fprintf(&told, "%+v", ev)
			}})
			must(t, err)
			fmt.Fprint(&told, c.Err())
			if !strings.Contains(told.String(), addr+"/f.yaml") || strings.Contains(told.String(), "f.yaml?") {
				t.Errorf("%s: %s", rule, told.String())
			}
			for _, s := range secrets {
				if strings.Contains(told.String(), s) {
					t.Errorf("%s: %q is told: %s", rule, s, told.String())
				}
			}
		}
	}
	check("repeated")
	server.Close()
	check("unreachable")
}

func TestHTTPTellsWhenDefinitionsWereWritten(t *testing.T) {
	date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) // a clock that is decades behind
	text := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for _, tc := range []struct {
		rule   string
		header map[string]string
		ago    time.Duration // -1: not known
	}{
		{"by the server's own clock", map[string]string{"Last-Modified": text(date.Add(-time.Minute)), "Date": text(date)}, time.Minute},
		{"out of a cache", map[string]string{"Last-Modified": text(date.Add(-time.Minute)), "Date": text(date), "Age": "30"}, 90 * time.Second},
		{"later than now", map[string]string{"Last-Modified": text(date.Add(time.Minute)), "Date": text(date)}, 0},
		{"an age that is none", map[string]string{"Last-Modified": text(date), "Date": text(date), "Age": "-5"}, 0},
		{"not told", nil, -1},
	} {
		server := httptest.NewServer(answering(200, tc.header, version(1)))
		before := time.Now()
		doc, err := httpSource(t, flags.HTTPConfig{URL: server.URL}).Load(t.Context())
		server.Close()
		must(t, err)
		if tc.ago < 0 {
			if !doc.Written.IsZero() {
				t.Errorf("%s: %v", tc.rule, doc.Written)
			}
			continue
		}
		if at := doc.Written.Add(tc.ago); at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s: %v ago", tc.rule, time.Since(doc.Written))
		}
	}
}

func TestHTTPEndsWithItsTimeoutAndItsContext(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush() // and then nothing
		<-release
	}))
	defer server.Close()
	defer close(release)
	_, err := httpSource(t, flags.HTTPConfig{URL: server.URL, Timeout: 50 * time.Millisecond}).Load(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- httpSource(t, flags.HTTPConfig{URL: server.URL, Timeout: time.Hour}).Watch(ctx, func(_ flags.Document, err error) { t.Error("told of its end:", err) })
	}()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestHTTPLeavesNoConnection(t *testing.T) {
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(answering(200, nil, version(1)))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	must(t, httpSource(t, flags.HTTPConfig{URL: server.URL}).Watch(ctx, func(_ flags.Document, err error) {
		must(t, err)
		cancel()
	}))
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the connection is still there")
	}
}

// transport is a server without a network, so that its time is the bubble's.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(status int, body string, header ...string) *http.Response {
	w := httptest.NewRecorder()
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	out := w.Result()
	out.ContentLength = int64(len(body))
	return out
}

func TestHTTPAsksForWhatChangedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const modified = "Sat, 21 Nov 2026 10:00:00 GMT"
		var mu sync.Mutex // of what follows
		n, status, conditions := 1, 0, []string{}
		set := func(newN, newStatus int) {
			mu.Lock()
			defer mu.Unlock()
			n, status = newN, newStatus
		}
		send := transport(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			etag := fmt.Sprintf(`"%d"`, n)
			conditions = append(conditions, r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since"))
			switch {
			case status != 0:
				return response(status, ""), nil
			case r.Header.Get("If-None-Match") == etag:
				return response(304, "", "ETag", etag), nil
			}
			return response(200, version(n), "ETag", etag, "Last-Modified", modified), nil
		})
		source := httpSource(t, flags.HTTPConfig{URL: "https://flags.example/", Interval: 10 * time.Second, Client: &http.Client{Transport: send}})
		var got events
		c, err := flags.New(t.Context(), flags.Config{Source: source, OnEvent: got.add})
		must(t, err)
		run(t, c)
		time.Sleep(30 * time.Second)
		got.want(t, "loaded")
		first := `"1"` + modified
		mu.Lock()
		if diff := cmp.Diff([]string{"", "", first, first}, conditions[:4]); diff != "" {
			t.Error(diff)
		}
		mu.Unlock()
		set(2, 0)
		time.Sleep(11 * time.Second)
		if versionOf(t, c.Set()) != 2 {
			t.Error("the change was not seen")
		}
		got.want(t, "loaded")
		set(2, 404)
		time.Sleep(11 * time.Second)
		if versionOf(t, c.Set()) != 2 || c.Err() == nil {
			t.Errorf("Err %v", c.Err())
		}
		set(2, 0)
		time.Sleep(2 * time.Minute)
		if versionOf(t, c.Set()) != 2 || c.Err() != nil {
			t.Errorf("Err %v", c.Err())
		}
		got.want(t, "unreachable", "loaded")
	})
}

func TestHTTPLeavesAServerInTroubleAlone(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		fails func() (*http.Response, error)
		least []time.Duration // between requests; twice as long at most
	}{
		{"unreachable", func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}},
		{"Retry-After in seconds", func() (*http.Response, error) { return response(503, "", "Retry-After", "120"), nil }, []time.Duration{2 * time.Minute, 2 * time.Minute}},
		{"Retry-After as a date", func() (*http.Response, error) {
			return response(429, "", "Date", "Sat, 21 Nov 2026 10:00:00 GMT", "Retry-After", "Sat, 21 Nov 2026 10:02:00 GMT"), nil
		}, []time.Duration{2 * time.Minute, 2 * time.Minute}},
		{"Retry-After of a year", func() (*http.Response, error) { return response(503, "", "Retry-After", "31536000"), nil }, []time.Duration{5 * time.Minute, 5 * time.Minute}},
		{"Retry-After of more seconds than there are", func() (*http.Response, error) { return response(503, "", "Retry-After", "99999999999999999999"), nil }, []time.Duration{5 * time.Minute, 5 * time.Minute}},
		{"Retry-After in the past", func() (*http.Response, error) {
			return response(503, "", "Retry-After", "Sat, 21 Nov 1998 10:02:00 GMT"), nil
		}, []time.Duration{500 * time.Millisecond, time.Second}},
		{"Retry-After of nonsense", func() (*http.Response, error) { return response(503, "", "Retry-After", "-99999999999999999999"), nil }, []time.Duration{500 * time.Millisecond, time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var times []time.Time
			client := &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Now())
				return tc.fails()
			})}
			c, err := flags.New(t.Context(), flags.Config{
				Source: httpSource(t, flags.HTTPConfig{URL: "https://flags.example/", Client: client}), AllowUnready: true,
			})
			must(t, err)
			times = nil
			run(t, c)
			time.Sleep(4 * time.Hour)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for i, least := range tc.least {
				if got := times[i+1].Sub(times[i]); got < least || got > 2*least {
					t.Errorf("%s: pause %d of %v, want %v to %v", tc.rule, i+1, got, least, 2*least)
				}
			}
		})
	}
}

// Over real connections, which a proxy or a restart cuts.
func TestHTTPOutlastsItsServer(t *testing.T) {
	handler := answering(200, map[string]string{"ETag": `"x"`}, version(1))
	first := httptest.NewServer(handler)
	addr := first.Listener.Addr().String()
	source := httpSource(t, flags.HTTPConfig{URL: first.URL, Interval: time.Second})
	loaded, lost := make(chan flags.Event, 100), make(chan flags.Event, 100)
	c, err := flags.New(t.Context(), flags.Config{Source: source, OnEvent: func(ev flags.Event) {
		switch ev.Kind {
		case flags.EventLoaded:
			loaded <- ev
		case flags.EventUnreachable:
			lost <- ev
		}
	}})
	must(t, err)
	<-loaded
	run(t, c)
	first.Close()
	<-lost
	if versionOf(t, c.Set()) != 1 {
		t.Error("the last good definitions do not answer")
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("another process has taken %s meanwhile: %v", addr, err)
	}
	second := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = second.Serve(listener) }()
	defer second.Close()
	<-loaded
	if c.Err() != nil {
		t.Error(c.Err())
	}
}
