package handrail_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	stripe "github.com/stripe/stripe-go/v79/webhook"
)

// A reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, url, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

var serviceListens = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)

func tryGoService(t *testing.T, bin string) {
	t.Helper()
	dir := copyOf(t, t.TempDir(), "examples/go-service")
	secret := "whsec_0123456789abcdef"
	cmd := exec.Command(filepath.Join(bin, "go-service"))
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "LISTEN=127.0.0.1:0", "STRIPE_WEBHOOK_SECRET=" + secret}
	p := start(t, t, cmd)
	url := "http://" + p.await(t, serviceListens)
	awaitOK(t, url+"/readyz")
	for i := range 9 {
		want := http.StatusOK
		if i == 8 {
			want = http.StatusTooManyRequests
		}
		if got := ask(t, "POST", url+"/login", "", "X-Forwarded-For", "203.0.113.7"); got.status != want {
			t.Errorf("login %d: %d %s", i+1, got.status, got.body)
		}
	}
	for user, want := range map[string]string{"user-1": "The new checkout.\n", "": "The old checkout.\n"} {
		if got := ask(t, "GET", url+"/checkout", "", "Cookie", "uid="+user); got.body != want {
			t.Errorf("checkout of %q: %d %s", user, got.status, got.body)
		}
	}
	event := `{"id":"evt_1","object":"event","type":"invoice.paid"}`
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(event), Secret: secret})
	for _, want := range []string{`{"status":"processed"}`, `{"status":"duplicate"}`} {
		got := ask(t, "POST", url+"/webhooks/stripe", event, "Stripe-Signature", signed.Header)
		if got.status != http.StatusOK || strings.TrimSpace(got.body) != want {
			t.Errorf("webhook: %d %s, want %s", got.status, got.body, want)
		}
	}
	forged := strings.Replace(event, "paid", "made", 1)
	if got := ask(t, "POST", url+"/webhooks/stripe", forged, "Stripe-Signature", signed.Header); got.status != http.StatusBadRequest {
		t.Errorf("forged webhook: %d %s", got.status, got.body)
	}
	var health struct{ Status string }
	if got := ask(t, "GET", url+"/health", ""); got.status != http.StatusOK || json.Unmarshal([]byte(got.body), &health) != nil {
		t.Errorf("health: %d %s", got.status, got.body)
	}
	if id := ask(t, "GET", url+"/", "", "X-Request-Id", "forged").header.Get("X-Request-Id"); id == "" || id == "forged" {
		t.Errorf("X-Request-Id: %q", id)
	}
	if n := strings.Count(p.logged(), `"msg":"paid"`); n != 1 {
		t.Errorf("the event was handled %d times", n)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if t.Failed() {
		t.Log(p.logged())
	}

	cmd = exec.Command(filepath.Join(bin, "go-service"))
	cmd.Env = []string{"STRIPE_WEBHOOK_SECRET=sk_live_in_the_wrong_place"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "STRIPE_WEBHOOK_SECRET: invalid") || strings.Contains(string(out), "sk_live") {
		t.Errorf("a wrong environment: %v\n%s", err, out)
	}
}

func tryNode(t *testing.T, owner owner, bin string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	command := func(env ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, "handrail"), "exec", "--admin", "127.0.0.1:0", "--", "node", "server.js")
		cmd.Dir = copyOf(t, owner.TempDir(), "examples/node")
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, env...)
		return cmd
	}
	out, err := command("SESSION_SECRET=hunter2hunter2").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "SESSION_SECRET: invalid") || strings.Contains(string(out), "hunter2") {
		t.Errorf("a wrong environment: %v\n%s", err, out)
	}
	p := start(t, owner, command("SESSION_SECRET="+strings.Repeat("x", 32), "HANDRAIL_LISTEN=127.0.0.1:0"))
	url := "http://127.0.0.1:" + p.awaitReady(t)
	want := "Hello from Corner Shop. Flags that are on: \"new-checkout\"\n"
	if got := ask(t, "GET", url+"/", "", "Cookie", "uid=user-1"); got.body != want {
		t.Errorf("front page: %d %s", got.status, got.body)
	}
	for i := range 9 {
		if got := ask(t, "POST", url+"/login", ""); (got.status == http.StatusOK) != (i < 8) {
			t.Errorf("login %d: %d %s", i+1, got.status, got.body)
		}
	}
	p.end(t, owner)
}

// copyOf is dir with the files of an example.
func copyOf(t *testing.T, dir, example string) string {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	return dir
}
