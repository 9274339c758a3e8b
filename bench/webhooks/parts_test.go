package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/bench/measure"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/webhook"
)

func TestEventsAreSignedAndDiffer(t *testing.T) {
	t.Parallel()
	m, err := newMint()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	events, err := m.events(3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	req := m.request(webhookPath, time.Second)
	for i := range events {
		req.put(&events[i])
		head, body, _ := strings.Cut(string(req.bytes), "\r\n\r\n")
		_, signature, _ := strings.Cut(head, "Stripe-Signature: ")
		got, err := verifier.Verify(webhook.Message{Header: http.Header{"Stripe-Signature": {signature}}, Body: []byte(body)})
		if err != nil || got.ID != string(events[i].id[:]) || seen[got.ID] {
			t.Errorf("event %d: id %q, %v", i, got.ID, err)
		}
		seen[got.ID] = true
		if len(body) != eventBytes || !json.Valid([]byte(body)) {
			t.Errorf("event %d: %d bytes: %s", i, len(body), body)
		}
	}
}

// startApp runs the app until the test ends.
func startApp(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveApp(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestAppCountsWhatIsPosted(t *testing.T) {
	t.Parallel()
	m, err := newMint()
	if err != nil {
		t.Fatal(err)
	}
	addr := startApp(t)
	b := &bench{mint: m}
	events, err := m.events(5)
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.drive(t.Context(), addr, webhookPath, 2, &source{events: events}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"200": 5}, l.answers); diff != "" || len(l.times) != 5 {
		t.Errorf("%d times, %s", len(l.times), diff)
	}
	if got, err := callsOf(t.Context(), addr); err != nil || got != 5 {
		t.Errorf("%d calls, %v", got, err)
	}
	if _, err := b.drive(t.Context(), addr, webhookPath, 1, &source{}, time.Minute); err == nil {
		t.Error("no event to send: no error")
	}
}

func TestKindsBeginWithTheMostFrequent(t *testing.T) {
	t.Parallel()
	got := kinds(map[string]int64{"200 processed": 1, "503 in-flight": 3, "200 duplicate": 3})
	if want := "3 times 200 duplicate, 3 times 503 in-flight, 1 times 200 processed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatIsAddedIsOfOneRound(t *testing.T) {
	t.Parallel()
	all := samples{
		{Subject: "sqlite", Sent: plain, Connections: 8, Round: 1, P50: 10},
		{Subject: "sqlite", Sent: fresh, Connections: 8, Round: 1, P50: 12},
		{Subject: "sqlite", Sent: plain, Connections: 8, Round: 2, P50: 1},
		{Subject: "sqlite", Sent: fresh, Connections: 8, Round: 2, P50: 5},
		{Subject: "sqlite", Sent: fresh, Connections: 8, Round: 3, P50: 100},
		{Subject: "sqlite", Sent: plain, Connections: 8, Round: 3, Failure: "does not count"},
		{Subject: "sqlite", Sent: plain, Connections: 1, Round: 3, P50: 50},
	}
	got := all.of("sqlite", fresh, 8).paired(all.of("sqlite", plain, 8), func(s sample) float64 { return s.P50 }, func(a, b float64) float64 { return a - b })
	if got != (measure.Spread{Median: 3, Low: 2, High: 4, Count: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestRecordPutsTheResultBetweenItsLines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + recordBegin + "old\n" + recordEnd + "after\n")
	for range 2 {
		if err := record(file, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if want := "before\n" + recordBegin + "\nnew\n\n" + recordEnd + "after\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	write("no place\n" + recordEnd)
	if err := record(file, "new\n"); err == nil {
		t.Error("a page without a place: no error")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(readme), recordBegin) || !strings.Contains(string(readme), recordEnd) {
		t.Errorf("README.md has no place for a result: %v", err)
	}
}

func TestConfigurationsAreValid(t *testing.T) {
	t.Parallel()
	for _, sub := range allSubjects() {
		if sub.byHand {
			continue
		}
		dir := t.TempDir()
		p := place{Dir: dir, Listen: "127.0.0.1:10001", App: "127.0.0.1:10002", Admin: filepath.Join(dir, "admin.sock"), Secret: secret, Store: sub.store, Mode: sub.mode}
		if sub.redis != nil {
			p.Redis = "redis://127.0.0.1:10003"
		}
		if sub.postgres {
			p.Database = (&postgres{addr: "127.0.0.1:10004"}).url()
		}
		text, err := p.config()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "handrail.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sidecar.Load(sidecar.Options{File: file, Getenv: func(string) string { return "" }}); err != nil {
			t.Errorf("%s: %v", sub.Name, err)
		}
	}
}
