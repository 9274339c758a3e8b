package sidecar_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
)

// A kill switch does not wait for whoever reads the log.
func TestFlagsChangeWhileTheLogTakesNothing(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("flags.yaml", "a: {rolloutPercentage: 0}")
	put("handrail.yaml", "listen: '127.0.0.1:0'\nadmin: {listen: '127.0.0.1:0'}\nupstream: {url: 'http://127.0.0.1:1'}\ntrusted_proxies: []\ndata_dir: data\nflags: {source: flags.yaml}")
	r := runSidecar(t, sidecar.Options{File: filepath.Join(dir, "handrail.yaml"), Getenv: func(string) string { return "" }})
	eventually(t, "the start is told", func() bool { return strings.Contains(r.log.String(), "flags loaded") })
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for n := 1; n <= 3; n++ {
		put("flags.yaml", fmt.Sprintf("a: {enabled: %t, rolloutPercentage: 100}", n%2 == 1))
		want := fmt.Sprintf(`"value":%t`, n%2 == 1)
		eventually(t, want, func() bool {
			_, body := ask(t, "tcp", r.admin, "POST /ofrep/v1/evaluate/flags/a", r.admin, "")
			return strings.Contains(body, want)
		})
	}
}
