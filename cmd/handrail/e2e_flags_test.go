package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
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
