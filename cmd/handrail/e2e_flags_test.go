package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const flagFile = `
flags:
  quarter: {rolloutPercentage: 25}
  hidden: {rolloutPercentage: 0, allowList: [tester]}
`

// askAll asks for every id up to ids, step by step, on keep-alive connections
// and returns which of them the app was told have the flag.
func askAll(t *testing.T, p *process, ids, step int) map[int]bool {
	t.Helper()
	const workers = 4
	var mu sync.Mutex
	var wg sync.WaitGroup
	on := map[int]bool{}
	for w := range workers {
		wg.Go(func() {
			conn, err := net.Dial("tcp", p.public)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for id := w * step; id < ids; id += workers * step {
				fmt.Fprintf(conn, "GET /flags HTTP/1.1\r\nHost: app\r\nCookie: uid=user-%d\r\n\r\n", id)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				var body strings.Builder
				_, err = bufio.NewReader(resp.Body).WriteTo(&body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("id %d: %d, %v", id, resp.StatusCode, err)
					return
				}
				if body.String() == `"quarter"` {
					mu.Lock()
					on[id] = true
					mu.Unlock()
				} else if body.String() != "" {
					t.Errorf("id %d: the app was told %q", id, body.String())
				}
			}
		})
	}
	wg.Wait()
	return on
}

func TestAppIsToldOfAQuarterOfAllVisitorsTheSameAfterARestart(t *testing.T) {
	ids := 100_000
	if testing.Short() {
		ids = 2_000
	}
	dir := withFlags(t, newApp(t).URL, "rate_limits: []")
	p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
	on := askAll(t, p, ids, 1)
	if share := float64(len(on)) / float64(ids) * 100; share < 24.5 || share > 25.5 {
		t.Errorf("a 25%% flag is on for %.2f%% of %d ids", share, ids)
	}
	p.stop()
	const step = 10
	again := askAll(t, start(t, dir, []string{"serve", "--config", "handrail.yaml"}), ids, step)
	for id := 0; id < ids; id += step {
		if on[id] != again[id] {
			t.Errorf("id %d: %t, after a restart %t", id, on[id], again[id])
		}
	}
}

// withFlags writes a configuration with the test's flags to a new directory.
func withFlags(t *testing.T, upstream, more string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"flags.yaml": flagFile, "handrail.yaml": config(upstream, more)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClosedRouteOpensForWhoHasTheFlag(t *testing.T) {
	dir := withFlags(t, newApp(t).URL, `flags: {routes: [{flag: hidden, paths: ["/beta/**"]}]}`)
	p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
	for _, path := range []string{"/beta", "/beta/x", "/BETA/x", "//beta/x", "/%62eta/x"} {
		if got := p.do("GET", path, ""); got.status != 404 {
			t.Errorf("GET %s: %d", path, got.status)
		}
	}
	if got := p.do("GET", "/beta/x", "", "Cookie", "uid=tester"); got.status != 200 || got.body != `"hidden"` {
		t.Errorf("with the flag: %d %q", got.status, got.body)
	}
}

// caching is an app whose answers say who may keep them. It tells what it was
// told of flags, and by which cookies.
func caching(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Vary", "Accept-Encoding, Handrail-Flags")
		switch r.URL.Path {
		case "/socket":
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		case "/same":
			w.WriteHeader(http.StatusNotModified)
			return
		case "/own":
			http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "mine"})
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s|%s", r.Header.Get("Handrail-Flags"), r.Header.Get("Cookie"))
	}))
	t.Cleanup(app.Close)
	return app
}

// cookieOf is the value of a visitor's cookie that an answer sets.
func cookieOf(header http.Header, name string) string {
	for _, c := range (&http.Response{Header: header}).Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func TestVisitorWithoutAKeyIsTheSameFromTheFirstRequestOn(t *testing.T) {
	dir := withFlags(t, caching(t).URL, "flags: {anonymous_cookie: visitor}\nrate_limits: []")
	args := []string{"serve", "--config", "handrail.yaml"}
	p := start(t, dir, args)
	const visitors = 400
	first := map[string]string{} // what the app said, by key
	on := 0
	for range visitors {
		got := p.do("GET", "/page", "", "Cookie", "a=1")
		key := cookieOf(got.header, "visitor")
		if _, again := first[key]; again || len(key) != 36 {
			t.Fatalf("key %q", key)
		}
		if want := "|a=1; visitor=" + key; !strings.HasSuffix(got.body, want) {
			t.Fatalf("the app was told %q, want %q at the end", got.body, want)
		}
		if cc, vary := got.header.Get("Cache-Control"), got.header.Get("Vary"); cc != "max-age=60, private" || vary != "Accept-Encoding, Cookie" {
			t.Fatalf("Cache-Control %q, Vary %q", cc, vary)
		}
		first[key] = got.body
		if strings.HasPrefix(got.body, `"quarter"`) {
			on++
		}
	}
	if on < visitors/8 || on > visitors/2 { // 5.8 standard deviations below, 11 above
		t.Errorf("a 25%% flag is on for %d of %d visitors", on, visitors)
	}
	p.stop()
	p = start(t, dir, args)
	for key, want := range first {
		got := p.do("GET", "/page", "", "Cookie", "a=1; visitor="+key)
		if got.body != want || got.header["Set-Cookie"] != nil || got.header.Get("Cache-Control") != "public, max-age=60" {
			t.Fatalf("after a restart: %q, want %q; %v", got.body, want, got.header)
		}
	}
}

func TestWhichAnswersSetTheVisitorsCookie(t *testing.T) {
	app := caching(t)
	dir := withFlags(t, app.URL, `
trusted_proxies: [loopback]
flags: {anonymous_cookie: visitor, routes: [{flag: hidden, paths: ["/hidden"]}]}
webhooks: [{name: hook, path: /hook, provider: github, secrets: [s3cret-s3cret-s3cret]}]`)
	p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
	const secure = "; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"
	const plain = "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
	for _, tc := range []struct {
		rule, method, path string
		header             []string
		status             int
		want               string // behind the value; empty: none is set
	}{
		{"a page", "GET", "/page", nil, 200, plain},
		{"behind early hints", "GET", "/early", nil, 200, plain},
		{"by https, says a trusted proxy", "GET", "/page", []string{"X-Forwarded-Proto", "https"}, 200, secure},
		{"HEAD", "HEAD", "/page", nil, 200, plain},
		{"a form", "POST", "/page", nil, 200, plain},
		{"an upgrade", "GET", "/socket", []string{"Connection", "Upgrade", "Upgrade", "chat"}, 101, plain},
		{"a closed route", "GET", "/hidden", nil, 404, plain},
		{"not modified", "GET", "/same", nil, 304, ""},
		{"the app's own wins", "GET", "/own", nil, 200, ""},
		{"who has a key", "GET", "/page", []string{"Cookie", "uid=alice"}, 200, ""},
		{"a preflight", "OPTIONS", "/page", []string{"Origin", "https://a.example", "Access-Control-Request-Method", "PUT"}, 200, ""},
		{"a font, which a page fetches without cookies", "GET", "/page", []string{"Sec-Fetch-Dest", "font"}, 200, ""},
		{"the app broke off", "GET", "/abort", nil, 502, ""},
		{"a probe", "GET", "/health", nil, 200, ""},
		{"a webhook", "POST", "/hook", nil, 400, ""},
	} {
		got := p.roundTrip(tc.method, tc.path, tc.header...)
		var ours []string
		for _, c := range got.Header["Set-Cookie"] {
			if c != "visitor=mine" {
				ours = append(ours, c)
			}
		}
		if got.StatusCode != tc.status || len(ours) > 1 || (len(ours) == 1) != (tc.want != "") {
			t.Errorf("%s: %d, %q", tc.rule, got.StatusCode, got.Header["Set-Cookie"])
		} else if tc.want != "" && !strings.HasSuffix(ours[0], tc.want) {
			t.Errorf("%s: %q, want %q at the end", tc.rule, ours[0], tc.want)
		}
	}
}

// roundTrip asks on a connection of its own, and follows nothing.
func (p *process) roundTrip(method, path string, header ...string) *http.Response {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestExpiredFlagIsAWarningAndNoOutage(t *testing.T) {
	dir := withFlags(t, newApp(t).URL, "")
	dated := flagFile + "  old: {rolloutPercentage: 100, owner: payments, expires: 2020-01-31}\n"
	if err := os.WriteFile(filepath.Join(dir, "flags.yaml"), []byte(dated), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
	p.eventually("a warning", func() bool { return strings.Contains(p.do("GET", "/health", "").body, `"flags_expired":"warning"`) })
	if got := p.do("GET", "/flags", "", "Cookie", "uid=a"); got.status != 200 || !strings.Contains(got.body, `"old"`) {
		t.Errorf("with an expired flag: %d %q", got.status, got.body)
	}
	if got := p.ask(t, "/health?verbose"); !strings.Contains(got, "old (payments, 2020-01-31)") {
		t.Errorf("operators are not told which: %s", got)
	}
	metrics := p.ask(t, "/metrics")
	for _, line := range []string{
		"handrail_flags_expired 1", "handrail_flags_loaded 3", "handrail_flags_stale 0",
		`handrail_flag_expiry_timestamp_seconds{flag="old",owner="payments"} 1.5805152e+09`,
		"handrail_flags_last_load_timestamp_seconds 1.",
	} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("no %s among the metrics", line)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "flags.new"), []byte(flagFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "flags.new"), filepath.Join(dir, "flags.yaml")); err != nil {
		t.Fatal(err)
	}
	p.eventually("cleaned up", func() bool { return !strings.Contains(p.do("GET", "/health", "").body, "flags_expired") })
}

// ask is the body of a page of the admin listener.
func (p *process) ask(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + p.admin + path)
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
