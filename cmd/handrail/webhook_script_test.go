package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
)

// TestWebhookScripts runs testdata/webhooks: operators, a sidecar, its stores, an
// app and a provider that signs as acme does: an HMAC, the id in X-Acme-Id.
// Commands beside the usual ones:
//
//	redis start|kill|pause|resume           sets $REDIS_URL
//	postgres start|stop                     sets $DATABASE_URL
//	sidecar NAME                            starts handrail serve --config NAME.yaml, and
//	                                        sets $PUBLIC and $ADMIN to where it listens
//	app STATUS                              is what the app answers from here on; 0: nothing
//	send ROUTE ID STATUS [FILE]             delivers an event to /ROUTE, which is answered
//	                                        so; 0: does not wait for the answer
//	called N KEY                            the app is called N times for it, in the end
//	until PATTERN PROGRAM ARG...            repeats until its output matches
//	logged N TEXT                           the sidecar's log has TEXT in N lines
//	answers NAME FILE [STATUS]              sets $NAME to where FILE is the answer to everything
//	fill N                                  Redis has N dead deliveries more, of the route redis
func TestWebhookScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/webhooks/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			s := newWebhookScript(t)
			testscript.Run(t, testscript.Params{
				Files: []string{script}, UpdateScripts: *update, RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("GORACE", "atexit_sleep_ms=0")
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "until": until, "answers": answers, "logged": s.logged,
					"sidecar": s.sidecar, "redis": s.redisServer, "postgres": s.postgresServer,
					"app": s.appSays, "send": s.send, "called": s.called, "fill": s.fill,
				},
			})
		})
	}
}

type webhookScript struct {
	limitScript // for its process
	app         *httptest.Server
	postgres    *testenv.PostgresServer
	signer      *webhook.Signer
	ended       chan struct{} // lets go of requests that are not answered
	sending     sync.WaitGroup

	mu     sync.Mutex
	status int
	calls  map[string]int // by Idempotency-Key
}

func newWebhookScript(t *testing.T) *webhookScript {
	t.Helper()
	s := &webhookScript{limitScript: limitScript{t: t}, status: http.StatusOK, calls: map[string]int{}, ended: make(chan struct{})}
	var err error
	if s.signer, err = webhook.NewSigner(webhook.VerifierConfig{
		Provider: "hmac", Secrets: []string{"secret"}, ID: "header:X-Acme-Id",
		HMAC: webhook.HMACConfig{Header: "X-Acme-Signature", Algorithm: "sha256", Encoding: "hex"},
	}); err != nil {
		t.Fatal(err)
	}
	s.app = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		close(s.ended)
		s.sending.Wait()
		s.app.Close()
	})
	return s
}

// serve is the app.
func (s *webhookScript) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		s.calls[key]++
	}
	status := s.status
	s.mu.Unlock()
	if status == 0 {
		<-s.ended
		return
	}
	w.WriteHeader(status)
}

func (s *webhookScript) appSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: app status")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *webhookScript) called(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: called n key")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	times := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.calls[args[1]]
	}
	for deadline := time.Now().Add(30 * time.Second); times() < want && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if got := times(); got != want {
		ts.Fatalf("the app was called %d times for %s, want %d", got, args[1], want)
	}
}

func (s *webhookScript) sidecar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sidecar name")
	}
	s.process = start(s.t, ts.Getenv("WORK"), []string{"serve", "--config", args[0] + ".yaml"},
		"APP="+s.app.URL, "REDIS_URL="+ts.Getenv("REDIS_URL"), "DATABASE_URL="+ts.Getenv("DATABASE_URL"))
	ts.Setenv("PUBLIC", s.process.public)
	ts.Setenv("ADMIN", s.process.admin)
	ts.Setenv("HANDRAIL_ADMIN", s.process.admin)
}

func (s *webhookScript) redisServer(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case neg || len(args) != 1:
		ts.Fatalf("usage: redis start|kill|pause|resume")
	case args[0] != "start":
		s.control(ts, neg, args)
	case s.redis != nil:
		s.redis.Start()
	default:
		s.redis = testenv.Redis(s.t, testenv.Persistent())
		ts.Setenv("REDIS_URL", s.redis.URL())
	}
}

func (s *webhookScript) postgresServer(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case neg || len(args) != 1:
		ts.Fatalf("usage: postgres start|stop")
	case args[0] == "stop":
		s.postgres.Stop()
	case s.postgres != nil:
		s.postgres.Start()
	default:
		s.postgres = testenv.Postgres(s.t)
		ts.Setenv("DATABASE_URL", s.postgres.DSN())
	}
}

func (s *webhookScript) send(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: send route id status [file]")
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	m := webhook.Message{Header: http.Header{"X-Acme-Id": {args[1]}}, Body: fmt.Appendf(nil, `{"type":"invoice.paid","of":%q}`, args[1])}
	if len(args) == 4 {
		m.Body = []byte(readFile(ts, args[3]))
	}
	header, err := s.signer.Sign(m)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.process.url("/"+args[0]+"?token=s3cret"), bytes.NewReader(m.Body))
	ts.Check(err)
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", "s3cret")
	post := func() (int, error) {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, errors.Join(err, res.Body.Close())
	}
	if want == 0 {
		ts.Defer(cancel)
		s.sending.Go(func() { _, _ = post() })
		return
	}
	defer cancel()
	got, err := post()
	ts.Check(err)
	if got != want {
		ts.Fatalf("%s is answered %d, want %d", args[1], got, want)
	}
}

func (s *webhookScript) fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fill n")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	options, err := redislimit.Options(s.redis.URL()) // as the sidecar has them
	ts.Check(err)
	client := redis.NewUniversalClient(options)
	defer client.Close()
	store, err := redisstore.New(redisstore.Config{Client: client, Namespace: "webhooks"})
	ts.Check(err)
	kill := func(key string) {
		c, err := store.Claim(context.Background(), key, webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour})
		if err == nil {
			err = store.Kill(context.Background(), key, c.Fence)
		}
		if err != nil {
			s.t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				kill(fmt.Sprintf("redis/filled_%05d", i))
			}
		})
	}
	wg.Wait()
	kill("redis/\x1b[31mred\u009b\u202e\n")
}
