package webhooktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// WrapFunc makes the middleware under test, as [webhook.New] and its Wrap do. Of
// the configuration it changes nothing, or plants a fault.
type WrapFunc func(cfg webhook.Config) func(next http.Handler) http.Handler

// MiddlewareRule is one thing that whatever delivers events to a handler, while
// the provider waits, keeps to.
type MiddlewareRule struct {
	// Name states the rule.
	Name string
	// Check returns what breaks the rule. It lets hours pass: call it within
	// [synctest.Test].
	Check func(ctx context.Context, wrap WrapFunc) error
}

// RunMiddleware checks each of MiddlewareRules as a subtest of t.
func RunMiddleware(t *testing.T, wrap func(t *testing.T, cfg webhook.Config) func(next http.Handler) http.Handler) {
	t.Helper()
	for _, rule := range MiddlewareRules() {
		t.Run(rule.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := rule.Check(t.Context(), func(cfg webhook.Config) func(http.Handler) http.Handler { return wrap(t, cfg) })
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// MiddlewareRules returns what a middleware keeps to: what it says and does, by
// what it gets and by how the handler ends.
func MiddlewareRules() []MiddlewareRule {
	return slices.Concat(attemptRules, onceRules, refusalRules)
}

// stage is a middleware under test between a provider and a handler.
type stage struct {
	ctx    context.Context
	wrap   WrapFunc
	cfg    webhook.Config
	store  *watched
	signer *webhook.Signer
	// next is what the handler does, after it is noted that it was called. Nil
	// answers 200.
	next http.HandlerFunc

	handler http.Handler
	mu      sync.Mutex // over what follows
	calls   []call
	ahead   time.Duration // of the store's clock
	err     error
}

// call is one of the handler.
type call struct {
	header http.Header
	body   []byte
	state  webhook.State // of the event at that time
}

const (
	stageID   = "evt_1"
	stageKey  = "hook/" + stageID
	stageBody = `{"id":"evt_1","type":"t","amount":1.0}`

	stageTimeout   = 5 * time.Second
	stageLease     = time.Minute
	stageRetention = 200 * time.Hour
)

func middlewareRule(name string, check func(s *stage)) MiddlewareRule {
	return MiddlewareRule{Name: name, Check: func(ctx context.Context, wrap WrapFunc) error {
		s := &stage{ctx: ctx, wrap: wrap}
		memory, err := webhook.NewMemory(webhook.MemoryConfig{Now: s.now})
		if err != nil {
			return err
		}
		s.store = watch(memory)
		s.cfg = webhook.Config{
			Route: "hook", Store: s.store, Timeout: stageTimeout, Lease: stageLease, Retention: stageRetention,
			MaxBodyBytes: bodyLimit,
		}
		s.sends("stripe")
		if s.err == nil {
			check(s)
		}
		return s.err
	}}
}

func (s *stage) failf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// now is the time of the store.
func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

// jump sets the store's clock ahead.
func (s *stage) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// sends lets another provider send, and starts the middleware anew.
func (s *stage) sends(provider string) {
	cfg := webhook.VerifierConfig{Provider: provider, Secrets: []string{"whsec_the secret"}}
	verifier, err1 := webhook.NewVerifier(cfg)
	signer, err2 := webhook.NewSigner(cfg)
	if err := errors.Join(err1, err2); err != nil {
		s.failf("%w", err)
		return
	}
	s.cfg.Verifier, s.signer = verifier, signer
	s.start()
}

// start makes the middleware, by what cfg says now.
func (s *stage) start() {
	s.handler = s.wrap(s.cfg)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.failf("the handler cannot read the body: %w", err)
		}
		record, err := s.store.memory.Lookup(context.WithoutCancel(r.Context()), stageKey)
		if err != nil {
			s.failf("%w", err)
		}
		s.mu.Lock()
		s.calls = append(s.calls, call{r.Header.Clone(), body, record.State})
		s.mu.Unlock()
		if s.next != nil {
			s.next(w, r)
		}
	}))
}

// request is a message as the provider sends it now.
func (s *stage) request(body string, header http.Header) *http.Request {
	r := httptest.NewRequestWithContext(s.ctx, http.MethodPost, "/hook", io.NopCloser(strings.NewReader(body)))
	r.ContentLength = int64(len(body))
	maps.Copy(r.Header, header)
	signed, err := s.signer.Sign(webhook.Message{Header: r.Header, Body: []byte(body)})
	if err != nil {
		s.failf("%w", err)
	}
	maps.Copy(r.Header, signed)
	return r
}

// reply is what the provider gets.
type reply struct {
	status int
	mark   string // Handrail-Webhook
	body   string
	again  bool // it says when to send again
}

func (r reply) String() string {
	return fmt.Sprintf("%d %q, marked %q, with Retry-After %t", r.status, r.body, r.mark, r.again)
}

func (s *stage) serve(r *http.Request) reply {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	body := bytes.TrimSpace(w.Body.Bytes())
	return reply{w.Code, w.Header().Get("Handrail-Webhook"), string(body), w.Header().Get("Retry-After") != ""}
}

// send sends the event of the stage.
func (s *stage) send() reply { return s.serve(s.request(stageBody, nil)) }

// want compares an answer with a status and a mark.
func (s *stage) want(what string, got reply, status int, mark string) {
	if got.status != status || got.mark != mark || got.again != (status == http.StatusServiceUnavailable) {
		s.failf("%s: the answer is %v; want %d, marked %q", what, got, status, mark)
	}
}

// called wants the handler to have been called n times by now, and returns the
// last call.
func (s *stage) called(what string, n int) call {
	s.mu.Lock()
	calls := s.calls
	s.mu.Unlock()
	if len(calls) != n {
		s.failf("%s: the handler was called %d times, want %d", what, len(calls), n)
	}
	if len(calls) == 0 {
		return call{header: http.Header{}}
	}
	return calls[len(calls)-1]
}

// is wants the event to be in a state.
func (s *stage) is(what string, state webhook.State, fence int64, maybe bool) {
	r, err := s.store.memory.Lookup(s.ctx, stageKey)
	if err != nil || r.State != state || r.Fence != fence || r.MaybeProcessed != maybe {
		s.failf("%s: the event is %v at fence %d, maybe processed %t (error %v); want %v at %d, %t", what, r.State, r.Fence, r.MaybeProcessed, err, state, fence, maybe)
	}
}

// watched is the store of a stage. It counts its steps, and fails those that are
// named.
type watched struct {
	Between
	memory *webhook.Memory
	mu     sync.Mutex
	steps  int
	down   []string
}

var errDown = errors.New("webhooktest: the store is down")

func watch(memory *webhook.Memory) *watched {
	w := &watched{memory: memory}
	w.Next = func(step string) (webhook.Store, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.steps++
		if slices.Contains(w.down, step) {
			return nil, errDown
		}
		return memory, nil
	}
	return w
}

// fails lets these steps fail from now on, and no others.
func (w *watched) fails(steps ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = steps
}

func (w *watched) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}
