package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

// A sidecar that is killed while flags are changed leaves a whole file, and an
// audit log that tells of every change that was answered and, once it runs
// again, of the definitions as they are.
func TestFlagsAreChangedWholeByASidecarThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	app := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(app.Close)
	const token = "0123456789abcdef-token"
	file := filepath.Join(dir, "flags.yaml")
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0', token: %s}\nupstream: {url: %q}\nredis: ''\n", token, app.URL)
	for name, text := range map[string]string{"flags.yaml": "a: {rolloutPercentage: 1} # kept\nb: {rolloutPercentage: 1}\n", "handrail.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := flagaudit.New(filepath.Join(dir, "handrail-data"), 0)
	var mu sync.Mutex
	answered := map[string]bool{} // versions of all definitions after a change
	for round := range 6 {
		p := start(t, dir, []string{"serve"})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, key := range []string{"a", "b"} {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					body := fmt.Sprintf(`{"description": "%d-%d-%d"}`, round, i, n)
					out, err := patchFlag(ctx, p.admin, token, key, body)
					if err != nil {
						return // killed
					}
					mu.Lock()
					answered[out.Configuration] = true
					mu.Unlock()
				}
			})
		}
		p.eventually("some changes", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(answered) > 3*round
		})
		p.kill() // in the middle of others
		cancel()
		wg.Wait()
	}
	p := start(t, dir, []string{"serve"})
	if _, err := patchFlag(t.Context(), p.admin, token, "a", `{"description": "the end"}`); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flags.Parse("f", data); err != nil || !strings.Contains(string(data), "# kept") {
		t.Fatalf("%v\n%s", err, data)
	}
	lines, err := log.Verify(t.Context())
	if err != nil || len(answered) == 0 {
		t.Fatalf("%d lines, %v; %d changes", lines, err, len(answered))
	}
	last := checkAudit(t, log, answered)
	if now := flags.VersionOf(data); last != now || len(answered) > 0 {
		t.Errorf("the log ends with %s, the file is %s; not in the log: %v", last, now, answered)
	}
	t.Logf("%d lines", lines)
}

// checkAudit takes what the log tells of out of answered, and returns what the
// definitions are according to it.
func checkAudit(t *testing.T, log *flagaudit.Log, answered map[string]bool) (last string) {
	t.Helper()
	undone := map[int64]bool{}
	for before := int64(0); before != 1; {
		page, err := log.Read(before, 100)
		if err != nil || len(page) == 0 {
			t.Fatalf("before %d: %v", before, err)
		}
		for _, e := range page {
			before = e.N
			if e.What == flagaudit.NotMade {
				undone[e.Of] = true
				continue
			}
			if last == "" {
				last = e.ConfigurationAfter
			}
			if !undone[e.N] {
				delete(answered, e.ConfigurationAfter)
			}
		}
	}
	return last
}

func patchFlag(ctx context.Context, admin, token, key, body string) (out sidecar.FlagChanged, err error) {
	req, err := http.NewRequestWithContext(ctx, "PATCH", "http://"+admin+sidecar.FlagsPath+"/"+key, strings.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("If-Match", "*")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return out, errors.New(resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&out)
	return out, err
}
