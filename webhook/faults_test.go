package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

type failingBody struct{}

func (failingBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (failingBody) Close() error             { return nil }

// untouchable is a store that must not be called.
type untouchable struct {
	webhook.Store
	t testing.TB
}

func (s untouchable) Claim(context.Context, string, webhook.ClaimRequest) (webhook.Claim, error) {
	s.t.Error("the store was called")
	return webhook.Claim{}, errors.New("untouchable")
}

var errDown = errors.New("store is down")

// faulty fails the named steps, before or after they happen.
type faulty struct {
	*webhook.Memory
	before, after []string
	steps         []string
}

func (s *faulty) step(name string, do func() error) error {
	s.steps = append(s.steps, name)
	if slices.Contains(s.before, name) {
		return errDown
	}
	if err := do(); err != nil {
		return err
	}
	if slices.Contains(s.after, name) {
		return errDown
	}
	return nil
}

func (s *faulty) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (c webhook.Claim, err error) {
	err = s.step("claim", func() error { c, err = s.Memory.Claim(ctx, key, req); return err })
	return c, err
}

func (s *faulty) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	return s.step("complete", func() error { return s.Memory.Complete(ctx, key, fence, a) })
}

func (s *faulty) Release(ctx context.Context, key string, fence int64, maybe bool) error {
	return s.step("release", func() error { return s.Memory.Release(ctx, key, fence, maybe) })
}

func (s *faulty) Kill(ctx context.Context, key string, fence int64) error {
	return s.step("kill", func() error { return s.Memory.Kill(ctx, key, fence) })
}

func (s *faulty) Lookup(ctx context.Context, key string) (r webhook.Record, err error) {
	err = s.step("lookup", func() error { r, err = s.Memory.Lookup(ctx, key); return err })
	return r, err
}

func TestStoreFails(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after []string
		upstream      int
		status        int
		body, mark    string
		outcome       webhook.Outcome
		called        bool
	}{
		"claiming: the handler is not called": {before: []string{"claim"}, upstream: 200,
			status: 503, body: `{"error":"webhook_store_unavailable"}`, outcome: webhook.OutcomeStoreError},
		"completing: no 2xx": {before: []string{"complete"}, upstream: 200, called: true,
			status: 503, body: `{"error":"webhook_store_unavailable"}`, outcome: webhook.OutcomeStoreError},
		"completing and looking up: no 2xx": {before: []string{"complete", "lookup"}, upstream: 200, called: true,
			status: 503, body: `{"error":"webhook_store_unavailable"}`, outcome: webhook.OutcomeStoreError},
		"after it has completed: a duplicate": {after: []string{"complete"}, upstream: 200, called: true,
			status: 200, body: `{"status":"duplicate"}`, mark: "duplicate", outcome: webhook.OutcomeDuplicate},
		"after it has killed: dead": {after: []string{"kill"}, upstream: 410, called: true,
			status: 200, body: `{"status":"dead"}`, mark: "dead", outcome: webhook.OutcomeDead},
		"killing: no 2xx": {before: []string{"kill"}, upstream: 410, called: true,
			status: 503, body: `{"error":"webhook_store_unavailable"}`, outcome: webhook.OutcomeStoreError},
		"releasing: the lease will do it": {before: []string{"release"}, upstream: 500, called: true,
			status: 503, body: `{"error":"upstream_failed"}`, outcome: webhook.OutcomeRetry},
	} {
		t.Run(name, func(t *testing.T) {
			called := false
			store := &faulty{Memory: memory(t), before: tt.before, after: tt.after}
			m, ev := build(t, func(c *webhook.Config) { c.Store = store })
			res := serve(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				called = true
				w.WriteHeader(tt.upstream)
			})), stripeRequest(stripeBody))
			answerIs(t, res, tt.status, tt.body, tt.mark)
			if called != tt.called {
				t.Errorf("handler called: %t", called)
			}
			if e := ev.last(t); e.Outcome != tt.outcome || !errors.Is(e.Err, errDown) {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// TestSuperseded lets the lease of a slow handler end and another copy claim
// before it answers.
func TestSuperseded(t *testing.T) {
	for name, tt := range map[string]struct {
		settle     func(s webhook.Store) error
		status     int
		body, mark string
		outcome    webhook.Outcome
		state      webhook.State
	}{
		"by one still in flight: no 2xx": {func(webhook.Store) error { return nil },
			503, `{"error":"superseded"}`, "", webhook.OutcomeSuperseded, webhook.StateClaimed},
		"by one that is done: a duplicate": {func(s webhook.Store) error { return s.Complete(context.Background(), stripeKey, 2, nil) },
			200, `{"status":"duplicate"}`, "duplicate", webhook.OutcomeDuplicate, webhook.StateDone},
		"by one that is dead: dead": {func(s webhook.Store) error { return s.Kill(context.Background(), stripeKey, 2) },
			200, `{"status":"dead"}`, "dead", webhook.OutcomeDead, webhook.StateDead},
		"by one that was released: no 2xx": {func(s webhook.Store) error { return s.Release(context.Background(), stripeKey, 2, true) },
			503, `{"error":"superseded"}`, "", webhook.OutcomeSuperseded, webhook.StateRetry},
	} {
		t.Run(name, func(t *testing.T) {
			ahead := time.Duration(0)
			store, err := webhook.NewMemory(webhook.MemoryConfig{Now: func() time.Time { return time.Now().Add(ahead) }})
			if err != nil {
				t.Fatal(err)
			}
			m, ev := build(t, func(c *webhook.Config) { c.Store = store })
			res := serve(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				ahead = time.Minute
				c, err := store.Claim(context.Background(), stripeKey, webhook.ClaimRequest{Lease: time.Hour, Retention: time.Hour})
				if err != nil || c.Status != webhook.Claimed || c.Fence != 2 {
					t.Errorf("claim %+v, %v", c, err)
				}
				if err := tt.settle(store); err != nil {
					t.Error(err)
				}
			})), stripeRequest(stripeBody))
			answerIs(t, res, tt.status, tt.body, tt.mark)
			recordIs(t, store, stripeKey, tt.state, 2, true)
			if e := ev.last(t); e.Outcome != tt.outcome || !errors.Is(e.Err, webhook.ErrStaleFence) {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		next http.HandlerFunc
		took time.Duration
	}{
		"a handler that writes nothing": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 20 * time.Second},
		"one that then answers 200":     {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); fmt.Fprint(w, "ok") }, 20 * time.Second},
		"one that then answers 500":     {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); w.WriteHeader(500) }, 20 * time.Second},
		"one that had answered half":    {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "o"); <-r.Context().Done() }, 20 * time.Second},
		"one that ignores its context":  {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, 21 * time.Second},
		"one that panics late":          {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute); panic("late") }, 21 * time.Second},
	} {
		t.Run(name+" keeps the claim", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory(t)
				m, ev := build(t, func(c *webhook.Config) { c.Store = store })
				start := time.Now()
				res := serve(m.Wrap(tt.next), stripeRequest(stripeBody))
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				answerIs(t, res, 504, `{"error":"gateway_timeout"}`, "")
				recordIs(t, store, stripeKey, webhook.StateClaimed, 1, false)
				if e := ev.last(t); e.Outcome != webhook.OutcomeNoAnswer || e.Err == nil {
					t.Errorf("event %+v", e)
				}
				time.Sleep(30*time.Second - time.Since(start)) // the end of the lease
				called := false
				answerIs(t, serve(m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					called = true
					for name, want := range map[string]string{"Maybe-Processed": "true", "Attempt": "2", "Fence": "2"} {
						if got := r.Header.Get("Handrail-Webhook-" + name); got != want {
							t.Errorf("Handrail-Webhook-%s: %q, want %q", name, got, want)
						}
					}
				})), stripeRequest(stripeBody)), 200, `{"status":"processed"}`, "processed")
				if !called {
					t.Error("not called again after the lease")
				}
				time.Sleep(time.Minute) // until the handlers left behind are gone
			})
		})
	}
	t.Run("a request that was not written by then is released", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := memory(t)
			m, _ := build(t, func(c *webhook.Config) { c.Store = store })
			res := serve(m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done() // dialling in vain
				webhook.ReportNotWritten(r.Context())
			})), stripeRequest(stripeBody))
			answerIs(t, res, 503, `{"error":"upstream_unreachable"}`, "")
			recordIs(t, store, stripeKey, webhook.StateRetry, 1, false)
		})
	})
	t.Run("a claim that took all the time is released", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := memory(t)
			m, _ := build(t, func(c *webhook.Config) { c.Store, c.Timeout = slowClaim{store, 2 * time.Second}, time.Second })
			res := serve(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") })), stripeRequest(stripeBody))
			answerIs(t, res, 503, `{"error":"upstream_unreachable"}`, "")
			recordIs(t, store, stripeKey, webhook.StateRetry, 1, false)
		})
	})
}

// slowClaim ignores its context, as a driver may while it commits.
type slowClaim struct {
	webhook.Store
	by time.Duration
}

func (s slowClaim) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	c, err := s.Store.Claim(ctx, key, req)
	time.Sleep(s.by)
	return c, err
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, end := context.WithCancel(t.Context())
		m, ev := build(t, func(c *webhook.Config) { c.Drain = drain })
		h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		time.AfterFunc(3*time.Second, end)
		start := time.Now()
		answerIs(t, serve(h, stripeRequest(stripeBody)), 504, `{"error":"gateway_timeout"}`, "")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		// After that nothing new is begun.
		answerIs(t, serve(h, stripeRequest(strings.Replace(stripeBody, "evt_1", "evt_2", 1))), 503, `{"error":"draining"}`, "")
		if e := ev.last(t); e.Outcome != webhook.OutcomeDraining {
			t.Errorf("event %+v", e)
		}
	})
}

// TestClientThatHangsUpDoesNotEndTheCall uses a real connection.
func TestClientThatHangsUpDoesNotEndTheCall(t *testing.T) {
	store := memory(t)
	called, hungUp := make(chan struct{}), make(chan struct{})
	m, ev := build(t, func(c *webhook.Config) { c.Store = store })
	ended := make(chan struct{})
	wrapped := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(called)
		<-hungUp
		if err := r.Context().Err(); err != nil {
			t.Errorf("the handler's context has ended: %v", err)
		}
		fmt.Fprint(w, "ok")
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		context.AfterFunc(r.Context(), func() { close(hungUp) })
		wrapped.ServeHTTP(w, r)
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /hook HTTP/1.1\r\nHost: x\r\nStripe-Signature: %s\r\nContent-Length: %d\r\n\r\n%s",
		stripeHeader(stripeBody, time.Now()), len(stripeBody), stripeBody)
	<-called
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	recordIs(t, store, stripeKey, webhook.StateDone, 1, false)
	if e := ev.last(t); e.Outcome != webhook.OutcomeProcessed {
		t.Errorf("event %+v", e)
	}
}

// proxy is a reverse proxy that reports what it knows.
func proxy(t *testing.T, target string) http.Handler {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var op *net.OpError
			if errors.As(err, &op) && op.Op == "dial" {
				webhook.ReportNotWritten(r.Context())
			} else {
				webhook.ReportNoAnswer(r.Context())
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

func TestBehindAReverseProxy(t *testing.T) {
	hijack := func(write string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, write)
			_ = conn.Close()
		}
	}
	for name, tt := range map[string]struct {
		upstream http.HandlerFunc // nil: nobody listens
		status   int
		state    webhook.State
		fence    int64
	}{
		"a 200 is done":                        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }, 200, webhook.StateDone, 1},
		"refused is released":                  {nil, 503, webhook.StateRetry, 1},
		"a connection cut before the answer":   {hijack(""), 504, webhook.StateClaimed, 1},
		"a connection cut within the header":   {hijack("HTTP/1.1 200 OK\r\nContent-"), 504, webhook.StateClaimed, 1},
		"a connection cut within the body":     {hijack("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), 504, webhook.StateClaimed, 1},
		"a connection cut within a chunk":      {hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"), 504, webhook.StateClaimed, 1},
		"a chunked answer without its last":    {hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), 504, webhook.StateClaimed, 1},
		"an upgrade nobody asked for, refused": {hijack("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 504, webhook.StateClaimed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			target := "http://" + unused(t)
			if tt.upstream != nil {
				srv := httptest.NewServer(tt.upstream)
				defer srv.Close()
				target = srv.URL
			}
			store := memory(t)
			m, _ := build(t, func(c *webhook.Config) { c.Store = store })
			front := httptest.NewServer(m.Wrap(proxy(t, target)))
			defer front.Close()
			req, err := http.NewRequest(http.MethodPost, front.URL, strings.NewReader(stripeBody))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Stripe-Signature", stripeHeader(stripeBody, time.Now()))
			res, err := front.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != tt.status {
				t.Errorf("answer %d %s, want %d", res.StatusCode, text(t, res), tt.status)
			}
			recordIs(t, store, stripeKey, tt.state, tt.fence, false)
		})
	}
}

// unused is an address of the loopback on which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
