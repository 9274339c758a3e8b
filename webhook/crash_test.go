package webhook_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

const crashVariable = "HANDRAIL_TEST_CRASH_DB"

// TestMain lets the test binary be the process that gets killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashVariable); path != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveUntilKilled prints the address it serves on, then "called" when the
// handler has been called, which never returns.
func serveUntilKilled(path string) error {
	store, err := sqlstore.OpenSQLite(context.Background(), path)
	if err != nil {
		return err
	}
	verifier, err := stripehook.New(stripehook.Config{Secrets: []string{stripeSecret}})
	if err != nil {
		return err
	}
	m, err := webhook.New(webhook.Config{Route: "stripe", Verifier: verifier, Store: store})
	if err != nil {
		return err
	}
	srv := httptest.NewServer(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		fmt.Println("called")
		select {}
	})))
	fmt.Println(srv.URL)
	select {}
}

func TestKilledBetweenClaimAndComplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", lines.Err())
		}
		return lines.Text()
	}
	url := next()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	failed := make(chan error, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(stripeBody))
		if err != nil {
			failed <- err
			return
		}
		req.Header.Set("Stripe-Signature", stripeHeader(stripeBody, time.Now()))
		res, err := transport.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	if line := next(); line != "called" {
		t.Fatalf("the process said %q", line)
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := <-failed; err == nil {
		t.Error("the delivery was answered")
	}

	store := sqlite(t, path)
	m, _ := build(t, func(c *webhook.Config) { c.Store, c.Timeout = store, time.Second })
	calls := 0
	h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls++
		for name, want := range map[string]string{"Maybe-Processed": "true", "Attempt": "2", "Fence": "2"} {
			if got := r.Header.Get("Handrail-Webhook-" + name); got != want {
				t.Errorf("Handrail-Webhook-%s: %q, want %q", name, got, want)
			}
		}
	}))
	answerIs(t, serve(h, stripeRequest(stripeBody)), 503, `{"error":"in_flight"}`, "in-flight")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE handrail_deliveries SET lease_until = lease_until - 30000"); err != nil {
		t.Fatal(err)
	}
	answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"processed"}`, "processed")
	answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}
