package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
)

// sharedStores are the servers by which several sidecars keep deliveries.
var sharedStores = map[string]func(t *testing.T) (env string, stop, start func()){
	"postgres": func(t *testing.T) (string, func(), func()) {
		s := testenv.Postgres(t)
		return "DATABASE_URL=" + s.DSN() + "&schema=public&pgbouncer=true", s.Stop, s.Start
	},
	"redis": func(t *testing.T) (string, func(), func()) {
		s := testenv.Redis(t, testenv.Persistent())
		return "REDIS_URL=" + s.URL(), s.Stop, s.Start
	},
}

func (p *process) deliver(id string) answer {
	p.t.Helper()
	event := signed(id)
	return p.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header)
}

func TestTwoSidecarsOnOneStoreCallTheAppOnceForEachEvent(t *testing.T) {
	for name, open := range sharedStores {
		t.Run(name, func(t *testing.T) {
			env, _, _ := open(t)
			a := newApp(t)
			sidecars := [2]*process{serve(t, stripeConfig(a.URL), env), serve(t, stripeConfig(a.URL), env)}
			const events, copies = 10, 6
			var wg sync.WaitGroup
			for i := range events * copies {
				wg.Go(func() { sidecars[i%2].deliver(fmt.Sprint("evt_", i/copies)) })
			}
			wg.Wait()
			for i := range events {
				if got := sidecars[i%2].deliver(fmt.Sprint("evt_", i)); got.header.Get("Handrail-Webhook") != "duplicate" {
					t.Errorf("event %d: %d %s", i, got.status, got.body)
				}
			}
			if n := len(a.requests("/webhooks/stripe")); n != events {
				t.Errorf("the app was called %d times for %d events", n, events)
			}
		})
	}
}

func TestAnEventOutlivesAKilledSidecarInASharedStore(t *testing.T) {
	for name, open := range sharedStores {
		t.Run(name, func(t *testing.T) {
			env, _, _ := open(t)
			a := newApp(t)
			p := serve(t, stripeConfig(a.URL), env)
			if got := p.deliver("evt_1"); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			p.kill()
			if got := serve(t, stripeConfig(a.URL), env).deliver("evt_1"); got.header.Get("Handrail-Webhook") != "duplicate" {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// The app is served meanwhile: only deliveries wait for the store.
func TestAStoreThatIsDownWhenTheSidecarStarts(t *testing.T) {
	for name, open := range sharedStores {
		t.Run(name, func(t *testing.T) {
			env, stop, start := open(t)
			stop()
			a := newApp(t)
			p := serve(t, strings.Replace(stripeConfig(a.URL), "webhooks:", "rate_limits: []\nwebhooks:", 1), env)
			if got := p.do("GET", "/", ""); got.status != 200 {
				t.Errorf("the app behind it: %d", got.status)
			}
			if got := p.deliver("evt_1"); got.status != 503 || got.header.Get("Retry-After") == "" {
				t.Errorf("without the store: %d %s", got.status, got.body)
			}
			start()
			p.eventually("a delivery", func() bool { return p.deliver("evt_1").status == 200 })
			if n := len(a.requests("/webhooks/stripe")); n != 1 {
				t.Errorf("the app was called %d times", n)
			}
		})
	}
}

func TestARoleWithoutRightsIsToldWhatToRun(t *testing.T) {
	db := testenv.Postgres(t)
	conn, err := pgx.Connect(t.Context(), db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE ROLE app LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC"); err != nil {
		t.Fatal(err)
	}
	env := "DATABASE_URL=" + strings.Replace(db.DSN(), "//postgres@", "//app@", 1)
	dir := t.TempDir()
	file := filepath.Join(dir, "handrail.yaml")
	if err := os.WriteFile(file, []byte(stripeConfig("http://127.0.0.1:1")), 0o600); err != nil {
		t.Fatal(err)
	}
	handrail := func(args ...string) (int, string) {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = []string{"HANDRAIL_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0", env}
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := handrail("serve", "--config", file); code != exitFailed || !strings.Contains(out, "handrail webhook ddl") {
		t.Fatalf("code %d:\n%s", code, out)
	}
	code, ddl := handrail("webhook", "ddl")
	if code != 0 {
		t.Fatalf("webhook ddl: code %d", code)
	}
	if _, err := conn.Exec(t.Context(), ddl); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "GRANT USAGE ON SCHEMA handrail TO app; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA handrail TO app"); err != nil {
		t.Fatal(err)
	}
	a := newApp(t)
	if got := serve(t, stripeConfig(a.URL), env).deliver("evt_1"); got.status != 200 {
		t.Errorf("after it was run: %d %s", got.status, got.body)
	}
}

// Before a secret is taken out one sees that it is no longer used.
func TestMetricsTellWhichSecretIsUsed(t *testing.T) {
	p := serve(t, config(newApp(t).URL, fmt.Sprintf(
		"webhooks: [{name: stripe, path: /webhooks/stripe, provider: stripe, secrets: [whsec_new, %q], store: memory}]", stripeSecret)))
	p.deliver("evt_1")
	p.deliver("evt_1")
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`handrail_webhook_secret_matches_total{route="stripe",secret="0"} 0`, `handrail_webhook_secret_matches_total{route="stripe",secret="1"} 2`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestEveryProviderIsVerifiedByName(t *testing.T) {
	for _, tt := range []struct{ provider, secret, config, header string }{
		{"github", "It's a Secret to Everybody", "", "X-GitHub-Delivery"},
		{"standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "Webhook-Id"},
		{"shopify", "hush", "", "X-Shopify-Webhook-Id"},
		{"square", "key", `, public_url: "https://shop.example/hooks"`, ""},
		{"hmac", "key", `, id: "header:X-Id", hmac: {header: X-Signature, algorithm: sha256, encoding: hex, prefix: "sha256="}`, "X-Id"},
	} {
		t.Run(tt.provider, func(t *testing.T) {
			a := newApp(t)
			p := serve(t, config(a.URL, fmt.Sprintf("webhooks: [{name: hook, path: /hook, provider: %s, secrets: [%q], store: memory%s}]", tt.provider, tt.secret, tt.config)))
			cfg := webhook.VerifierConfig{Provider: tt.provider, Secrets: []string{tt.secret}}
			switch tt.provider {
			case "square":
				cfg.PublicURL = "https://shop.example/hooks"
			case "hmac":
				cfg.ID = "header:X-Id"
				cfg.HMAC = webhook.HMACConfig{Header: "X-Signature", Algorithm: "sha256", Encoding: "hex", Prefix: "sha256="}
			}
			signer, err := webhook.NewSigner(cfg)
			if err != nil {
				t.Fatal(err)
			}
			m := webhook.Message{Header: http.Header{}, Body: []byte(`{"event_id":"e1","type":"payment"}`)}
			if tt.header != "" {
				m.Header.Set(tt.header, "e1")
			}
			h, err := signer.Sign(m)
			if err != nil {
				t.Fatal(err)
			}
			var headers []string
			for name := range h {
				headers = append(headers, name, h.Get(name))
			}
			first, second := p.do("POST", "/hook", string(m.Body), headers...), p.do("POST", "/hook", string(m.Body), headers...)
			if first.status != 200 || first.header.Get("Handrail-Webhook") != "processed" || second.header.Get("Handrail-Webhook") != "duplicate" {
				t.Errorf("first %d %s, second %d %s", first.status, first.body, second.status, second.body)
			}
			if bad := p.do("POST", "/hook", string(m.Body)+" ", headers...); bad.status != 400 {
				t.Errorf("another body: %d", bad.status)
			}
			if n := len(a.requests("/hook")); n != 1 {
				t.Errorf("the app was called %d times", n)
			}
		})
	}
}

// What was left in SQLite counts no longer, which nobody should find out by
// chance.
func TestALeftStoreIsToldOf(t *testing.T) {
	a := newApp(t)
	dir := t.TempDir()
	configure(t, dir, stripeConfig(a.URL))
	p := serveIn(t, dir)
	p.deliver("evt_1")
	p.stop()
	configure(t, dir, strings.Replace(stripeConfig(a.URL), "provider: stripe", "provider: stripe, store: memory", 1))
	if p := serveIn(t, dir); !strings.Contains(p.logged(), "webhooks.db is of no route any more") {
		t.Errorf("not told:\n%s", p.logged())
	}
}
