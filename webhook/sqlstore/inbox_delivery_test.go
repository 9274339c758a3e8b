package sqlstore_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestDeliverSQLite(t *testing.T) {
	runDeliveries(t, func(t *testing.T) func() *sqlstore.Store {
		path := filepath.Join(t.TempDir(), "d.sqlite")
		return func() *sqlstore.Store { return open(t, path) }
	})
}

func TestDeliverPostgres(t *testing.T) {
	server := testenv.Postgres(t)
	runDeliveries(t, func(t *testing.T) func() *sqlstore.Store {
		db := database(t, server, "")
		return func() *sqlstore.Store { return openPostgres(t, sqlstore.PostgresConfig{Conn: db}) }
	})
}

func runDeliveries(t *testing.T, database func(t *testing.T) func() *sqlstore.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, func() *sqlstore.Store){
		"two instances, with a handler that fails, deliver all, in order": deliverAll,
		"what was kept is delivered by the next process":                  deliverLater,
		"a message comes out as it came in":                               deliverBytes,
		"a body is kept once, under whatever id it comes":                 deliverOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, database(t)) })
	}
}

var githubSecret = webhook.VerifierConfig{Provider: "github", Secrets: []string{"secret"}}

// githubRoute is a route for GitHub with an inbox, ordered by a header.
func githubRoute(t *testing.T, s *sqlstore.Store) *webhook.Middleware {
	t.Helper()
	verifier, err := webhook.NewVerifier(githubSecret)
	if err != nil {
		t.Fatal(err)
	}
	m, err := webhook.New(webhook.Config{Route: "github", Verifier: verifier, Inbox: &webhook.InboxConfig{
		Store: s, Order: "header:X-Account", FirstRetry: 2 * time.Millisecond, LongestRetry: 20 * time.Millisecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// accepted posts a message, as GitHub does until it is acknowledged.
func accepted(t *testing.T, m *webhook.Middleware, id, account, target string, body []byte, mark string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	r.Header.Set("X-GitHub-Delivery", id)
	r.Header.Set("X-Account", account)
	webhooktest.Sign(t, githubSecret, r)
	w := httptest.NewRecorder()
	m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })).ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Handrail-Webhook") != mark {
		t.Errorf("%s: %d %s", id, w.Code, w.Body)
	}
}

// startDelivering runs Deliver until what it returns is called, or the test
// ends.
func startDelivering(t *testing.T, m *webhook.Middleware, next http.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Deliver(ctx, next) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Deliver: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// app collects what was handled, by account.
type app struct {
	mu      sync.Mutex
	handled map[string][]string
	failed  map[string]bool
	left    int
	done    chan struct{} // closed when left is none
}

func newApp(left int) *app {
	return &app{handled: map[string][]string{}, failed: map[string]bool{}, left: left, done: make(chan struct{})}
}

// ServeHTTP fails each third message once, and one of those without having been
// reached.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, _ := webhook.DeliveryFrom(r.Context())
	a.mu.Lock()
	defer a.mu.Unlock()
	n := sha256.Sum256([]byte(d.Event.ID))
	if n[0]%3 == 0 && !a.failed[d.Event.ID] {
		a.failed[d.Event.ID] = true
		if n[1]%2 == 0 {
			webhook.ReportNotWritten(r.Context())
		}
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	account := r.Header.Get("X-Account")
	a.handled[account] = append(a.handled[account], d.Event.ID)
	if a.left--; a.left == 0 {
		close(a.done)
	}
}

func (a *app) await(t *testing.T) {
	t.Helper()
	select {
	case <-a.done:
	case <-time.After(time.Minute):
		t.Error("not all were handled in a minute")
	}
}

func deliverAll(t *testing.T, open func() *sqlstore.Store) {
	const accounts, each = 6, 12
	stores := []*sqlstore.Store{open(), open()}
	routes := []*webhook.Middleware{githubRoute(t, stores[0]), githubRoute(t, stores[1])}
	a := newApp(accounts * each)
	stops := []func(){startDelivering(t, routes[0], a), startDelivering(t, routes[1], a)}
	var senders sync.WaitGroup
	want := map[string][]string{}
	for i := range accounts {
		account := fmt.Sprint("account-", i)
		var ids []string
		for k := range each {
			ids = append(ids, fmt.Sprintf("%s-%d", account, k))
		}
		want[account] = ids
		senders.Go(func() {
			for k, id := range ids {
				accepted(t, routes[(i+k)%2], id, account, "/hook", []byte(id), "accepted")
			}
		})
	}
	senders.Wait()
	a.await(t)
	for _, stop := range stops {
		stop()
	}
	for account, ids := range want {
		if !slices.Equal(a.handled[account], ids) {
			t.Errorf("%s: handled %v", account, a.handled[account])
		}
		for _, id := range ids {
			rec, err := stores[0].Lookup(t.Context(), "github/"+id)
			if err != nil || rec.State != webhook.StateDone {
				t.Errorf("%s is %v, %v", id, rec.State, err)
			}
			if _, err := stores[0].Message(t.Context(), "github/"+id); !errors.Is(err, webhook.ErrNoMessage) {
				t.Errorf("%s is kept: %v", id, err)
			}
		}
	}
	if backlog, err := stores[1].Backlog(t.Context()); err != nil || len(backlog) > 0 {
		t.Errorf("backlog %v, %v", backlog, err)
	}
}

func deliverLater(t *testing.T, open func() *sqlstore.Store) {
	first := open()
	for i := range 20 {
		id := fmt.Sprint("evt-", i)
		accepted(t, githubRoute(t, first), id, "", "/hook", []byte(id), "accepted")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	a := newApp(20)
	stop := startDelivering(t, githubRoute(t, open()), a)
	a.await(t)
	stop()
	slices.Sort(a.handled[""])
	if got := slices.Compact(a.handled[""]); len(got) != 20 {
		t.Errorf("handled %v", got)
	}
}

func deliverBytes(t *testing.T, open func() *sqlstore.Store) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	bodies := map[string][]byte{
		"every byte": all, "none": {}, "invalid UTF-8": []byte("\xff\xfe{\"a\":1}"), "zeros": make([]byte, 4096),
		"the largest": bytes.Repeat([]byte("x"), 1<<20), "duplicate keys": []byte(`{"a":1,"a":2,"\u0061":3}`),
	}
	m := githubRoute(t, open())
	const target = "/a%2Fb//c?x=%00&y=%zz;"
	for name, body := range bodies {
		accepted(t, m, hex.EncodeToString([]byte(name)), name, target, body, "accepted")
	}
	got := make(chan error, len(bodies))
	stop := startDelivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("X-Account")
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("secret"))
		mac.Write(body)
		signature := "sha256=" + hex.EncodeToString(mac.Sum(nil))
		if err != nil || !bytes.Equal(body, bodies[name]) || r.Header.Get("X-Hub-Signature-256") != signature || r.RequestURI != target ||
			r.URL.RequestURI() != target || r.Host != "example.com" || r.RemoteAddr != "192.0.2.1:1234" {
			got <- fmt.Errorf("%s: %d bytes at %s of %s from %s, %w", name, len(body), r.RequestURI, r.Host, r.RemoteAddr, err)
			return
		}
		got <- nil
	}))
	for range bodies {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	stop()
}

func deliverOnce(t *testing.T, open func() *sqlstore.Store) {
	stores := []*sqlstore.Store{open(), open()}
	var senders sync.WaitGroup
	marks := make(chan string, 40)
	for i := range 40 {
		m := githubRoute(t, stores[i%2])
		senders.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader([]byte("{}")))
			r.Header.Set("X-GitHub-Delivery", fmt.Sprint("evt-", i/2)) // each twice
			webhooktest.Sign(t, githubSecret, r)
			w := httptest.NewRecorder()
			m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })).ServeHTTP(w, r)
			marks <- w.Header().Get("Handrail-Webhook")
		})
	}
	senders.Wait()
	close(marks)
	count := map[string]int{}
	for mark := range marks {
		count[mark]++
	}
	if count["accepted"] != 1 || count["duplicate"]+count["in-flight"] != 39 {
		t.Errorf("%v", count)
	}
	backlog, err := stores[0].Backlog(t.Context())
	if err != nil || len(backlog) != 1 || backlog[0].Waiting != 1 {
		t.Errorf("backlog %v, %v", backlog, err)
	}
}
