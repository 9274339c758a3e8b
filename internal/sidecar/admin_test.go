package sidecar_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/testenv"
)

const token = "0123456789abcdef-token"

// ask sends a request in its raw form and returns status and body.
func ask(t *testing.T, network, addr, target, host, authorization string) (int, string) {
	t.Helper()
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		method, path = "GET", target
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	if authorization != "" {
		request += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestWhoMayDoWhatOnTheAdminListener(t *testing.T) {
	const (
		loopback      = `admin: {listen: "127.0.0.1:0"}`
		loopbackToken = `admin: {listen: "127.0.0.1:0", token: ` + token + `}`
		everywhere    = `admin: {listen: "0.0.0.0:0", token: ` + token + `}`
		right, wrong  = "Bearer " + token, "Bearer 0123456789abcdef-wrong"
		own, foreign  = "127.0.0.1:9090", "evil.example"
	)
	running := map[string]*running{}
	for _, config := range []string{loopback, loopbackToken, everywhere} {
		running[config] = adminOf(t, config)
	}
	for _, tt := range []struct {
		rule, config, target, host, authorization string
		status                                    int
		body                                      string
	}{
		{"loopback: reading", loopback, "/metrics", own, "", 200, "handrail_"},
		{"loopback: reading, by HEAD", loopback, "HEAD /metrics", own, "", 200, ""},
		{"loopback: details of health", loopback, "/health?verbose", own, "", 200, `"details"`},
		{"loopback: health", loopback, "/health", own, "", 200, `"status"`},
		{"loopback: livez", loopback, "/livez", own, "", 200, ""},
		{"loopback: readyz", loopback, "/readyz", own, "", 200, ""},
		{"loopback: startupz", loopback, "/startupz", own, "", 200, ""},
		{"loopback: localhost", loopback, "/metrics", "localhost", "", 200, ""},
		{"loopback: localhost in capitals", loopback, "/metrics", "LOCALHOST:1", "", 200, ""},
		{"loopback: IPv6", loopback, "/metrics", "[::1]:9090", "", 200, ""},
		{"loopback: IPv6 without a port", loopback, "/metrics", "[::1]", "", 200, ""},
		{"loopback: another of its addresses", loopback, "/metrics", "127.8.9.1", "", 200, ""},
		{"loopback: another kind of authorization counts as none", loopback, "/metrics", own, "Basic eDp5", 200, ""},
		{"loopback: a page that rebinds its name", loopback, "/metrics", foreign, "", 403, "forbidden_host"},
		{"loopback: a name that begins alike", loopback, "/metrics", "localhost.evil.example", "", 403, "forbidden_host"},
		{"loopback: a name that begins like the address", loopback, "/metrics", "127.0.0.1.evil.example", "", 403, "forbidden_host"},
		{"loopback: absolute form", loopback, "http://evil.example/metrics", own, "", 403, "forbidden_host"},
		{"loopback: no name", loopback, "/metrics", "", "", 403, "forbidden_host"},
		{"loopback: no changes", loopback, "POST /health", own, "", 403, "token_required"},
		{"loopback: no deletions", loopback, "DELETE /metrics", own, "", 403, "token_required"},
		{"loopback: no profiles", loopback, "/debug/pprof/heap", own, "", 403, "token_required"},
		{"loopback: no list of profiles", loopback, "/debug/pprof/", own, "", 403, "token_required"},
		{"loopback: no command line", loopback, "/debug/pprof/cmdline", own, "", 403, "token_required"},
		{"loopback: no profiles by another path", loopback, "/%64ebug/pprof/heap", own, "", 403, "token_required"},
		{"loopback: a token where none is set", loopback, "/metrics", own, right, 401, "unauthorized"},
		{"loopback: an empty token where none is set", loopback, "/debug/pprof/", own, "Bearer ", 401, "unauthorized"},

		{"token: reading without it", loopbackToken, "/metrics", own, "", 200, ""},
		{"token: profiles with it", loopbackToken, "/debug/pprof/cmdline", own, right, 200, ""},
		{"token: the scheme in small letters", loopbackToken, "/debug/pprof/cmdline", own, "bearer " + token, 200, ""},
		{"token: from a name of its own", loopbackToken, "/metrics", foreign, right, 200, ""},
		{"token: profiles without it", loopbackToken, "/debug/pprof/cmdline", own, "", 403, "token_required"},
		{"token: a wrong one does not read either", loopbackToken, "/metrics", own, wrong, 401, "unauthorized"},
		{"token: half of it", loopbackToken, "/metrics", own, right[:len(right)-1], 401, "unauthorized"},
		{"token: more than it", loopbackToken, "/metrics", own, right + "x", 401, "unauthorized"},
		{"token: none after the scheme", loopbackToken, "/metrics", own, "Bearer", 401, "unauthorized"},
		{"token: a method that nothing has", loopbackToken, "POST /metrics", own, right, 405, ""},
		{"token: nothing there", loopbackToken, "/api/v9", own, right, 404, ""},

		{"everywhere: nothing without the token", everywhere, "/metrics", own, "", 401, "unauthorized"},
		{"everywhere: no probe without the token", everywhere, "/livez", own, "", 401, "unauthorized"},
		{"everywhere: nothing with a wrong one", everywhere, "/metrics", own, wrong, 401, "unauthorized"},
		{"everywhere: all with it", everywhere, "/debug/pprof/cmdline", foreign, right, 200, ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, port, _ := net.SplitHostPort(running[tt.config].admin)
			status, body := ask(t, "tcp", "127.0.0.1:"+port, tt.target, tt.host, tt.authorization)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%d %.200q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
}

// adminOf is a ready sidecar with this admin listener.
func adminOf(t *testing.T, config string) *running {
	t.Helper()
	app := newRawApp(t)
	content := "listen: 127.0.0.1:0\nupstream: {url: '" + app.url + "'}\ndrain: {delay: 0s}\n" + config
	r := runSidecar(t, sidecar.Options{File: writeFile(t, t.TempDir(), "handrail.yaml", content), Getenv: env{}.get})
	eventually(t, "ready", func() bool {
		status, _ := ask(t, "tcp", r.public, "/readyz", "h", "")
		return status == 200
	})
	return r
}

// A refusal tells a client what to send.
func TestRefusalAsksForTheToken(t *testing.T) {
	r := adminOf(t, `admin: {listen: "127.0.0.1:0", token: `+token+`}`)
	req, err := http.NewRequest("GET", "http://"+r.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer wrong")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("WWW-Authenticate"); got != `Bearer realm="handrail"` {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
}

func TestSocketIsForItsOwner(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	// Left over from a crash: a socket that nobody listens on.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()

	config := "admin: {listen: 'unix:admin.sock'}\nlisten: 127.0.0.1:0\nupstream: {url: 'http://127.0.0.1:1'}\ndrain: {delay: 0s}\n"
	options := sidecar.Options{File: writeFile(t, dir, "handrail.yaml", config), Getenv: env{}.get}
	t.Run("everything is allowed", func(t *testing.T) {
		runSidecar(t, options)
		info, err := os.Stat(socket) // beside the configuration that names it
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("mode %o, want 600", mode)
		}
		for _, target := range []string{"/metrics", "/debug/pprof/cmdline"} {
			if status, _ := ask(t, "unix", socket, target, "anything", ""); status != 200 {
				t.Errorf("%s: %d", target, status)
			}
		}
		// A second one does not take it away.
		l, err := sidecar.Load(options)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sidecar.New(t.Context(), l, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), sidecar.RunOptions{}); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("a second sidecar on one socket: %v", err)
		}
		if status, _ := ask(t, "unix", socket, "/livez", "h", ""); status != 200 {
			t.Errorf("afterwards: %d", status)
		}
	})
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestMetricsListenerHasMetricsAlone(t *testing.T) {
	port := testenv.FreePort(t)
	r := adminOf(t, "admin: {listen: ''}\nmetrics: {listen: '0.0.0.0:"+strconv.Itoa(port)+"'}")
	if r.admin != "" {
		t.Errorf("admin listens on %q", r.admin)
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	for target, want := range map[string]int{"/metrics": 200, "POST /metrics": 405, "/health": 404, "/debug/pprof/": 404, "/": 404} {
		if status, _ := ask(t, "tcp", addr, target, "prometheus", ""); status != want {
			t.Errorf("%s: %d, want %d", target, status, want)
		}
	}
}

// What is for operators is the app's path on the public listener.
func TestPublicListenerHasNoAdmin(t *testing.T) {
	r, app := behind(t, "rate_limits: []\n")
	for _, target := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline"} {
		if _, _, got := r.send(app, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n"); got == nil {
			t.Errorf("%s does not reach the app", target)
		}
	}
	body := health(t, r)
	if _, verbose := ask(t, "tcp", r.public, "/health?verbose", "h", ""); strings.Contains(verbose, "details") || strings.Contains(body, "details") {
		t.Errorf("details in public: %s", verbose)
	}
}

func TestRunEndsWhenItCannotListen(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	addr := busy.Addr().String()
	for _, key := range []string{"listen", "admin.listen", "metrics.listen"} {
		config := map[string]string{"listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "metrics.listen": ""}
		config[key] = addr
		l := mustLoad(t, "upstream: {url: 'http://127.0.0.1:1'}\nlisten: '"+config["listen"]+
			"'\nadmin: {listen: '"+config["admin.listen"]+"'}\nmetrics: {listen: '"+config["metrics.listen"]+"'}\n", env{})
		s, err := sidecar.New(t.Context(), l, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(context.Background(), sidecar.RunOptions{OnListening: func(string, string) { t.Error("it says that it listens") }})
		if err == nil || !strings.Contains(err.Error(), key+": listen tcp "+addr) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
