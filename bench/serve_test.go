package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/bench/measure"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/ratelimit"
)

// startServer runs one of the servers of serve until the test ends.
func startServer(t *testing.T, kind string, app ...string) (addr string) {
	t.Helper()
	addr, err := measure.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, append([]string{kind, addr}, app...)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	})
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v", kind, err)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestAppKeepsConnectionsOpen(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", startServer(t, "app"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Two in one packet, one in pieces.
	const request = "GET /api/items?id=7 HTTP/1.1\r\nHost: a.example\r\n\r\n"
	in := bufio.NewReader(conn)
	for _, text := range []string{request + request, request[:9], request[9:]} {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || len(body) != answerBytes || resp.Close {
			t.Fatalf("status %d, %d bytes, close %v, %v", resp.StatusCode, len(body), resp.Close, err)
		}
	}
}

func TestReverseProxiesAnswerAsTheApp(t *testing.T) {
	t.Parallel()
	app := startServer(t, "app")
	for _, kind := range []string{"tuned", "default"} {
		addr := startServer(t, kind, app)
		if err := probe(t.Context(), addr, peer{status: 200}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		_, echo, err := get(t.Context(), "tcp", addr, echoPath)
		if err != nil || !strings.Contains(echo, "X-Forwarded-For: 127.0.0.1\r\n") || !strings.Contains(echo, "Host: localhost\r\n") {
			t.Errorf("%s: the app was sent %q, %v", kind, echo, err)
		}
	}
}

func TestServeRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "app", "tuned 127.0.0.1:0", "other 127.0.0.1:0"} {
		if err := serve(t.Context(), strings.Fields(args)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// The handlers that the sidecar's 429 is compared with: one writes the status
// alone, the other what the sidecar writes.
func TestDenyHandlers(t *testing.T) {
	t.Parallel()
	if err := probe(t.Context(), startServer(t, "deny"), peer{status: 429}); err != nil {
		t.Error(err)
	}
	m, err := ratelimit.New(ratelimit.Config{Policies: []ratelimit.Policy{{Name: "api", Limit: 1, Window: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	limited := m.Wrap(http.NotFoundHandler())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, loadPath, nil)
	limited.ServeHTTP(httptest.NewRecorder(), r)
	want, got := httptest.NewRecorder(), httptest.NewRecorder()
	limited.ServeHTTP(want, r)
	denyAnswer(got, r)
	want.Header().Set("X-Request-Id", strings.Repeat("x", 36))
	if got.Code != want.Code || got.Body.String() != want.Body.String() {
		t.Errorf("%d %q, want %d %q", got.Code, got.Body, want.Code, want.Body)
	}
	gotNames, wantNames := slices.Sorted(maps.Keys(got.Header())), slices.Sorted(maps.Keys(want.Header()))
	if diff := cmp.Diff(wantNames, gotNames); diff != "" {
		t.Error(diff)
	}
	for name := range want.Header() {
		if g, w := got.Header().Get(name), want.Header().Get(name); len(g) != len(w) {
			t.Errorf("%s: %q, want the length of %q", name, g, w)
		}
	}
}

func TestConfigurationsAreFilledIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := place{
		Dir: dir, Listen: "127.0.0.1:10001", Port: "10001", App: "127.0.0.1:10002",
		Redis: "redis://127.0.0.1:10003", Admin: filepath.Join(dir, "admin.sock"), Cores: 2,
	}
	if err := os.WriteFile(p.path(definitions), []byte(embedded(definitions)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, peer := range allPeers() {
		text, err := render(peer.config, p)
		if err != nil || strings.Contains(text, "{{") {
			t.Errorf("%s: %v\n%s", peer.Name, err, text)
		}
		if !peer.sidecar {
			continue
		}
		file := filepath.Join(dir, peer.Name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := sidecar.Load(sidecar.Options{File: file, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Errorf("%s: %v", peer.Name, err)
		} else if len(l.Warnings) > 0 {
			t.Errorf("%s: %q", peer.Name, l.Warnings)
		}
	}
	if _, err := render("{{.Nobody}}", p); err == nil {
		t.Error("a name that is not there: no error")
	}
}
