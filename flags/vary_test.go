package flags_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func TestVaryWithOurHeaderBecomesWhatTheKeyIsReadFrom(t *testing.T) {
	for _, tc := range []struct {
		rule, vary string
		anonymous  bool
		app, want  []string
	}{
		{"none", "Cookie", false, nil, nil},
		{"another", "Cookie", false, []string{"Accept-Encoding"}, []string{"Accept-Encoding"}},
		{"ours", "Cookie", false, []string{"Handrail-Flags"}, []string{"Cookie"}},
		{"in other letter case", "Cookie", false, []string{"handrail-FLAGS"}, []string{"Cookie"}},
		{"others stay", "Cookie", false, []string{"Origin, Handrail-Flags, Accept"}, []string{"Origin, Accept, Cookie"}},
		{"several lines", "Cookie", false, []string{"Origin", "Handrail-Flags ,Accept"}, []string{"Origin, Accept, Cookie"}},
		{"no name twice", "Cookie", false, []string{"cookie, Handrail-Flags"}, []string{"cookie"}},
		{"* stays", "Cookie", false, []string{"*"}, []string{"*"}},
		{"* wins", "Cookie", false, []string{"Handrail-Flags, *"}, []string{"*"}},
		{"a longer name is another", "Cookie", false, []string{"X-Handrail-Flags, Handrail-Flagship"}, []string{"X-Handrail-Flags, Handrail-Flagship"}},
		{"a header", "X-User-Id", false, []string{"Handrail-Flags"}, []string{"X-User-Id"}},
		{"a header or a cookie", "X-User-Id", true, []string{"Handrail-Flags"}, []string{"X-User-Id, Cookie"}},
		{"a cookie or a cookie", "cookie", true, []string{"Handrail-Flags"}, []string{"cookie"}},
		{"nobody said from what", "", true, []string{"Handrail-Flags, Accept"}, []string{"*"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			cfg := flags.MiddlewareConfig{TargetingKey: flags.CookieKey("uid"), Vary: tc.vary, Inject: true}
			if tc.anonymous {
				cfg.Anonymous = &flags.AnonymousCookie{Name: "visitor"}
			}
			for name, answer := range answers {
				v := visiting(middleware(t, cfg), request("GET", "/", inHalf), func(w http.ResponseWriter, r *http.Request) {
					if tc.app != nil {
						w.Header()["Vary"] = tc.app
					}
					answer(w, r)
				})
				if diff := cmp.Diff(tc.want, v.answer.Header["Vary"]); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

// answers are the ways in which a handler sends its header.
var answers = map[string]http.HandlerFunc{
	"nothing":             func(http.ResponseWriter, *http.Request) {},
	"WriteHeader":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) },
	"Write":               func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
	"Flush":               func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
	"ResponseController":  func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
	"io.Copy":             func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("x")) },
	"what comes too late": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.Header().Set("Vary", "late") },
	"SettleHeader before": func(w http.ResponseWriter, r *http.Request) { flags.SettleHeader(r.Context(), 200, w.Header()) },
}

// A proxy's answer has a header of its own, which is added to what the gate said.
func TestVaryNamesNothingTwiceBehindAGate(t *testing.T) {
	for _, settled := range []bool{false, true} {
		m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) {
			cfg.Settled, cfg.Gates = settled, []flags.Gate{{Flag: "half", Paths: []string{"/gated"}}}
		}))
		for app, want := range map[string]string{"": "Cookie", "Handrail-Flags": "Cookie", "Accept, Handrail-Flags": "Cookie, Accept"} {
			v := visiting(m, request("GET", "/gated", inHalf), func(w http.ResponseWriter, r *http.Request) {
				answer := http.Header{}
				if app != "" {
					answer.Set("Vary", app)
				}
				if settled {
					flags.SettleHeader(r.Context(), 200, answer)
				}
				w.Header()["Vary"] = append(w.Header()["Vary"], answer["Vary"]...)
			})
			if got := strings.Join(v.answer.Header["Vary"], ", "); got != want {
				t.Errorf("settled %t, %q: %q, want %q", settled, app, got, want)
			}
		}
	}
}

func TestVaryStaysWithoutInject(t *testing.T) {
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Inject = false }))
	v := visiting(m, request("GET", "/", inHalf), func(w http.ResponseWriter, r *http.Request) {
		if _, wrapped := w.(*httptest.ResponseRecorder); !wrapped {
			t.Error("a writer of our own around, though there is nothing to settle")
		}
		w.Header().Set("Vary", "Handrail-Flags")
	})
	if got := v.answer.Header.Get("Vary"); got != "Handrail-Flags" {
		t.Error(got)
	}
}

func TestAnswerWithAFreshKeyIsNotForSharedCaches(t *testing.T) {
	m := middleware(t, anonymousConfig())
	for _, tc := range []struct {
		rule      string
		app, want http.Header
	}{
		{"nothing said", nil, http.Header{"Cache-Control": {"private"}}},
		{"public", http.Header{"Cache-Control": {"public, max-age=60"}}, http.Header{"Cache-Control": {"max-age=60, private"}}},
		{"s-maxage", http.Header{"Cache-Control": {"max-age=60,S-MaxAge=600 , proxy-revalidate"}}, http.Header{"Cache-Control": {"max-age=60, private"}}},
		{"several lines", http.Header{"Cache-Control": {"public", "max-age=60"}}, http.Header{"Cache-Control": {"max-age=60, private"}}},
		{"private", http.Header{"Cache-Control": {"private, max-age=60"}}, http.Header{"Cache-Control": {"max-age=60, private"}}},
		{"private for some fields is not enough", http.Header{"Cache-Control": {`private="X-A, X-B", max-age=60`}}, http.Header{"Cache-Control": {"max-age=60, private"}}},
		{"no-store", http.Header{"Cache-Control": {"No-Store"}}, http.Header{"Cache-Control": {"No-Store"}}},
		{"no-cache lets caches store", http.Header{"Cache-Control": {`no-cache="Set-Cookie, public"`}}, http.Header{"Cache-Control": {`no-cache="Set-Cookie, public", private`}}},
		{"a quote left open", http.Header{"Cache-Control": {`x="\", public`}}, http.Header{"Cache-Control": {`x="\", public, private`}}},
		{"what outranks it", http.Header{
			"Cache-Control": {"max-age=60"}, "Cdn-Cache-Control": {"max-age=60"}, "Cloudflare-Cdn-Cache-Control": {"max-age=60"},
			"Surrogate-Control": {"max-age=60"}, "X-Accel-Expires": {"60"}, "Expires": {"Thu, 01 Dec 2099 16:00:00 GMT"},
		}, http.Header{"Cache-Control": {"max-age=60, private"}, "Expires": {"Thu, 01 Dec 2099 16:00:00 GMT"}}},
		{"Vary is added to", http.Header{"Vary": {"Accept"}}, http.Header{"Cache-Control": {"private"}, "Vary": {"Accept", "Cookie"}}},
		{"Vary is there", http.Header{"Vary": {"Accept, cookie"}}, http.Header{"Cache-Control": {"private"}, "Vary": {"Accept, cookie"}}},
		{"Vary with ours", http.Header{"Vary": {"Handrail-Flags"}}, http.Header{"Cache-Control": {"private"}}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			v := visiting(m, withCookies(), func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), tc.app)
			})
			if v.set(t) == nil {
				t.Error("no cookie")
			}
			if tc.want["Vary"] == nil {
				tc.want["Vary"] = []string{"Cookie"}
			}
			v.answer.Header.Del("Set-Cookie")
			if diff := cmp.Diff(tc.want, v.answer.Header); diff != "" {
				t.Error(diff)
			}
			before := tc.app.Clone()
			again := visiting(m, withCookies("visitor="+visitor), func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), tc.app)
			})
			if before.Get("Vary") == "Handrail-Flags" {
				before.Set("Vary", "Cookie")
			}
			if diff := cmp.Diff(before, again.answer.Header); diff != "" && before != nil {
				t.Errorf("who has a key gets another answer: %s", diff)
			}
		})
	}
}

func TestWhichAnswersBringAFreshKey(t *testing.T) {
	m := middleware(t, anonymousConfig())
	for _, tc := range []struct {
		rule   string
		status int
		set    []string
		want   bool
	}{
		{"200", 200, nil, true},
		{"an error", 500, nil, true},
		{"a redirect", 302, nil, true},
		{"no content", 204, nil, true},
		{"an upgrade: the key counts as long as it lasts", 101, nil, true},
		{"not modified: a cache would add it to what it has", 304, nil, false},
		{"the app sets other cookies", 200, []string{"a=1", "visitors=2", "x=visitor=3"}, true},
		{"the app sets that one", 200, []string{"a=1", "visitor=mine; Path=/"}, false},
		{"the app removes that one", 200, []string{"visitor=; Max-Age=0"}, false},
	} {
		for name, send := range map[string]http.HandlerFunc{
			"Wrap":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) },
			"Settled": func(w http.ResponseWriter, r *http.Request) { flags.SettleHeader(r.Context(), tc.status, w.Header()) },
		} {
			m := m
			if name == "Settled" {
				m = middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Settled = true }))
			}
			v := visiting(m, withCookies(), func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Set-Cookie"] = tc.set
				send(w, r)
			})
			ours := 0
			for _, c := range v.answer.Header["Set-Cookie"] {
				if c == "visitor="+v.key+"; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax" {
					ours++
				}
			}
			if (ours == 1) != tc.want || len(v.answer.Header["Set-Cookie"]) != len(tc.set)+ours {
				t.Errorf("%s, %s: %q", name, tc.rule, v.answer.Header["Set-Cookie"])
			}
			if private := v.answer.Header.Get("Cache-Control") == "private"; private != (tc.status != 304) {
				t.Errorf("%s, %s: Cache-Control %q", name, tc.rule, v.answer.Header["Cache-Control"])
			}
		}
	}
}

func TestSettledLeavesTheAnswerToWhoWritesIt(t *testing.T) {
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Settled = true }))
	v := visiting(m, withCookies(), func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(*httptest.ResponseRecorder); !ok {
			t.Error("a writer of our own around")
		}
		w.Header().Set("Vary", "Handrail-Flags")
	})
	if v.set(t) != nil || v.answer.Header.Get("Vary") != "Handrail-Flags" {
		t.Errorf("settled nevertheless: %v", v.answer.Header)
	}
	h := http.Header{"Vary": {"Handrail-Flags"}}
	flags.SettleHeader(t.Context(), 200, h)
	flags.SettleHeader(context.Background(), 200, h)
	if diff := cmp.Diff(http.Header{"Vary": {"Handrail-Flags"}}, h); diff != "" {
		t.Errorf("for a request that the Middleware never saw: %s", diff)
	}
}

func TestSettlingWriterKeepsWhatTheServerCan(t *testing.T) {
	m := middleware(t, anonymousConfig())
	mux := http.NewServeMux()
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Vary", "Handrail-Flags")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, " second")
		w.Header().Set("X-Sum", "12")
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n")
		_ = rw.Flush()
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := httptest.NewServer(m.Wrap(mux))
	defer srv.Close()

	raw := func(path string) string {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path)
		all, err := io.ReadAll(bufio.NewReader(conn))
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	hints, final, _ := strings.Cut(raw("/hints"), "\r\n\r\n")
	if !strings.HasPrefix(hints, "HTTP/1.1 103") || !strings.Contains(hints, "Link: ") || strings.Contains(hints, "Set-Cookie") {
		t.Errorf("early hints: %q", hints)
	}
	for _, part := range []string{"HTTP/1.1 200", "Vary: Cookie\r\n", "Set-Cookie: visitor=", "Cache-Control: private\r\n", "\r\n5\r\nfirst\r\n7\r\n second\r\n0\r\nX-Sum: 12\r\n"} {
		if !strings.Contains(final, part) {
			t.Errorf("the answer lacks %q: %q", part, final)
		}
	}
	if got := raw("/hijack"); got != "HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("hijacked: %q", got)
	}
	if got := raw("/abort"); got != "" {
		t.Errorf("aborted: %q", got)
	}
}

func TestSettlingDoesNotAllocateWhereNothingIsToBeChanged(t *testing.T) {
	m := middleware(t, anonymousConfig(func(cfg *flags.MiddlewareConfig) { cfg.Settled = true }))
	_, got := serve(m, request("GET", "/", inHalf))
	h := http.Header{"Vary": {"Accept-Encoding, Origin", "Accept"}, "Cache-Control": {"public"}}
	if n := testing.AllocsPerRun(200, func() { flags.SettleHeader(got.Context(), 200, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
