package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
)

// sdks is the folder with OpenFeature's SDKs for JavaScript.
const sdks = "testdata/ofrep-js"

// javascript returns the path of node. Without it, or without what the tests
// import, the test ends: skipped, or failed when servers are required.
func javascript(t *testing.T) string {
	t.Helper()
	missing := t.Skipf
	if os.Getenv(testenv.RequiredEnv) == "required" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node is not installed: run `make deps`")
	}
	if _, err := os.Stat(filepath.Join(sdks, "node_modules")); err != nil {
		missing("OpenFeature's SDKs are not in %s: run `make deps`", sdks)
	}
	return node
}

// withSDKFlags writes the definitions of the folder, and a configuration beside
// them, to a new directory.
func withSDKFlags(t *testing.T, upstream, more string) (dir string) {
	t.Helper()
	definitions, err := os.ReadFile(filepath.Join(sdks, "flags.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, text := range map[string]string{"flags.yaml": string(definitions), "handrail.yaml": config(upstream, more)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const ofrepToken = "token-of-programs-in-javascript"

// The real SDKs are asked; what they must answer stands in the folder.
func TestJavaScriptSDKsAskTheSidecar(t *testing.T) {
	node := javascript(t)
	for _, script := range []string{"server.test.mjs", "web.test.mjs"} {
		t.Run(script, func(t *testing.T) {
			dir := withSDKFlags(t, newApp(t).URL, "flags: {source: flags.yaml, ofrep: {public: true, tokens: ["+ofrepToken+"]}}")
			p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, script)
			cmd.Dir = sdks
			cmd.Env = []string{
				"OFREP_URL=http://" + p.admin, "OFREP_PUBLIC_URL=http://" + p.public, "OFREP_TOKEN=" + ofrepToken,
				"OFREP_FLAGS=" + filepath.Join(dir, "flags.yaml"),
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// remote asks addr to evaluate flags. A header Host is the request's.
func remote(t *testing.T, addr, path string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/ofrep/v1/evaluate/flags"+path, strings.NewReader(`{"context":{"targetingKey":"alice"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func TestFlagsAreEvaluatedForWhoMayAsk(t *testing.T) {
	const adminToken = "token-of-the-operators"
	for _, tc := range []struct {
		rule, flags string
		public      bool // the public listener is asked
		path        string
		header      []string
		status      int
	}{
		{"this machine needs no token", "", false, "/color", nil, 200},
		{"an operator's token", "", false, "/color", []string{"Authorization", "Bearer " + adminToken}, 200},
		{"a wrong token", "", false, "/color", []string{"Authorization", "Bearer wrong"}, 401},
		{"a page that rebinds its name", "", false, "/color", []string{"Host", "evil.example"}, 403},
		{"nor where there are tokens", "tokens: [" + ofrepToken + "]", false, "/color", nil, 200},
		{"a wrong token beside them", "tokens: [" + ofrepToken + "]", false, "/color", []string{"X-API-Key", "wrong"}, 401},
		{"one of the tokens", "tokens: [" + ofrepToken + "]", false, "/color", []string{"X-API-Key", ofrepToken}, 200},
		{"an operator's beside tokens", "tokens: [" + ofrepToken + "]", false, "/color", []string{"Authorization", "Bearer " + adminToken}, 200},
		{"nothing on the public listener by default", "", true, "/on", nil, 404},
		{"a public flag", "public: true", true, "/on", nil, 200},
		{"a flag that is not public", "public: true", true, "/color", nil, 404},
		{"a page on this machine", "", false, "/color", []string{"Origin", "http://127.0.0.1:3000"}, 403},
		{"a page with a token", "", false, "/color", []string{"Origin", "http://127.0.0.1:3000", "Authorization", "Bearer " + adminToken}, 200},
		{"the admin listener's tokens are not the public one's", "public: true, tokens: [" + ofrepToken + "]", true, "/on", nil, 200},
		{"the public one's token is not the admin listener's", "public: true, public_tokens: [" + ofrepToken + "]", false, "/color", []string{"X-API-Key", ofrepToken}, 401},
		{"a wrong bearer beside a right key", "tokens: [" + ofrepToken + "]", false, "/color", []string{"Authorization", "Bearer wrong", "X-API-Key", ofrepToken}, 200},
		{"a public flag, with tokens and none", "public: true, public_tokens: [" + ofrepToken + "]", true, "/on", nil, 401},
		{"a public flag, with a token", "public: true, public_tokens: [" + ofrepToken + "]", true, "/on", []string{"Authorization", "Bearer " + ofrepToken}, 200},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			app := httptest.NewServer(http.NotFoundHandler())
			defer app.Close()
			dir := withSDKFlags(t, app.URL, "flags: {source: flags.yaml, ofrep: {"+tc.flags+"}}")
			p := launch(t, dir, []string{"serve", "--config", "handrail.yaml"}, "HANDRAIL_ADMIN_TOKEN="+adminToken)
			addr := p.admin
			if tc.public {
				addr = p.public
			}
			got := remote(t, addr, tc.path, tc.header...)
			if got.status != tc.status || (tc.status == 200) != strings.Contains(got.body, `"value":`) {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}

func TestTheExampleInJavaScriptAsksForAFlag(t *testing.T) {
	node := javascript(t)
	dir := t.TempDir()
	modules, err := filepath.Abs(filepath.Join(sdks, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../../examples/openfeature/flags.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"flags.yaml": "new-checkout: {allowList: [user-1]}", "flags.mjs": string(script),
		"handrail.yaml": config(newApp(t).URL, "flags: {source: flags.yaml}"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, []string{"serve", "--config", "handrail.yaml"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "flags.mjs")
	cmd.Dir, cmd.Env = dir, []string{"OFREP_URL=http://" + p.admin}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "true\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
