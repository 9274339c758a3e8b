package redislimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// slack is what a busy machine may add to a call's own timeout.
const slack = 900 * time.Millisecond

// hurriedLimiter has the options and the timeout of production.
func hurriedLimiter(t *testing.T, url string) *redislimit.Limiter {
	t.Helper()
	o, err := redislimit.Options(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	l, err := redislimit.New(redislimit.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// unhurriedLimiter has the options of production but for the times: a machine
// that is busy for a while does not look like a store that is gone.
func unhurriedLimiter(t *testing.T, url string) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(redislimit.Config{Client: patientClient(t, url), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually calls f until it is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestCallsEndInTimeWhateverTheServerDoes(t *testing.T) {
	limit := ratelimit.Limit{Count: 5, Window: time.Hour}
	for _, c := range []struct {
		name       string
		fail, heal func(*testenv.RedisServer)
	}{
		{"killed", (*testenv.RedisServer).Kill, (*testenv.RedisServer).Start},
		{"stopped", (*testenv.RedisServer).Stop, (*testenv.RedisServer).Start},
		{"paused", (*testenv.RedisServer).Pause, (*testenv.RedisServer).Resume},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testenv.Redis(t)
			l := hurriedLimiter(t, server.URL())
			eventually(t, "a first decision", func() bool {
				_, err := l.Allow(t.Context(), "k", limit)
				return err == nil
			})
			c.fail(server)
			for range 10 {
				start := time.Now()
				_, err := l.Allow(t.Context(), "k", limit)
				if took := time.Since(start); took > redislimit.DefaultTimeout+slack {
					t.Errorf("Allow took %v", took)
				}
				if err == nil {
					t.Error("a decision without a server")
				}
				start = time.Now()
				err = l.Refund(t.Context(), "k", limit, ratelimit.Decision{Allowed: true, Token: 1})
				if took := time.Since(start); took > redislimit.DefaultTimeout+slack {
					t.Errorf("Refund took %v", took)
				}
				if err == nil {
					t.Error("a refund without a server")
				}
			}
			c.heal(server)
			eventually(t, "a decision after the server is back", func() bool {
				_, err := l.Allow(t.Context(), "k", limit)
				return err == nil
			})
		})
	}
}

// Batches are under way and calls wait for them when the server goes.
func TestManyCallsEndInTimeWhateverTheServerDoes(t *testing.T) {
	for _, c := range []struct {
		name       string
		fail, heal func(*testenv.RedisServer)
	}{
		{"killed", (*testenv.RedisServer).Kill, (*testenv.RedisServer).Start},
		{"paused", (*testenv.RedisServer).Pause, (*testenv.RedisServer).Resume},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testenv.Redis(t)
			l := hurriedLimiter(t, server.URL())
			var admitted atomic.Int64
			decides := func() bool {
				start := time.Now()
				d, err := l.Allow(t.Context(), "k", hourly(ratelimit.MaxCount))
				if took := time.Since(start); took > redislimit.DefaultTimeout+slack {
					t.Errorf("Allow took %v", took)
				}
				if d.Allowed {
					admitted.Add(1)
				}
				return err == nil
			}
			eventually(t, "a first decision", decides)
			var wg, failing sync.WaitGroup
			for range 64 {
				failing.Add(1)
				wg.Go(func() {
					for decides() {
					}
					failing.Done()
					eventually(t, "a decision after the server is back", decides)
				})
			}
			c.fail(server)
			failing.Wait()
			c.heal(server)
			wg.Wait()
			if n := admitted.Load(); c.name == "paused" && n > ratelimit.MaxCount {
				t.Errorf("P1: admitted %d, want %d at most", n, ratelimit.MaxCount)
			}
		})
	}
}

func TestAContextThatEndedEndsTheCall(t *testing.T) {
	l := hurriedLimiter(t, testenv.Redis(t).URL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Allow(ctx, "k", ratelimit.Limit{Count: 1, Window: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestAKeyOfAnotherTypeIsAnError(t *testing.T) {
	client := patientClient(t, testenv.Redis(t).URL())
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := newLimiter(t, client).Allow(t.Context(), "k", ratelimit.Limit{Count: 1, Window: time.Hour}); err == nil {
		t.Error("no error")
	}
}

// service is a middleware on a shared server, as one instance of a service.
type service struct {
	handler http.Handler
	mu      sync.Mutex
	events  []ratelimit.Event
}

func newService(t *testing.T, l ratelimit.Limiter, onError ratelimit.OnStoreError) *service {
	t.Helper()
	s := &service{}
	p := ratelimit.AuthPolicy()
	p.OnStoreError = onError
	m, err := ratelimit.New(ratelimit.Config{
		Policies: []ratelimit.Policy{p},
		Limiter:  l,
		OnEvent: func(e ratelimit.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.handler = m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return s
}

// login is the status of one POST /login, and the event that tells of it.
func (s *service) login(peer string) (int, ratelimit.Event) {
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.RemoteAddr = peer + ":4711"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.Code, s.events[len(s.events)-1]
}

func (s *service) wantLogins(t *testing.T, peer string, n, status int) {
	t.Helper()
	for i := range n {
		if got, e := s.login(peer); got != status {
			t.Fatalf("login %d of %d from %s: status %d, want %d (%+v)", i+1, n, peer, got, status, e)
		}
	}
}

func TestServerKilledInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		onError ratelimit.OnStoreError
		check   func(t *testing.T, s *service)
	}{
		{ratelimit.Local, func(t *testing.T, s *service) {
			// Five of eight were spent while the store was up.
			s.wantLogins(t, "192.0.2.1", 3, 200)
			s.wantLogins(t, "192.0.2.1", 3, 429)
			// Another instance had spent all eight; this one saw the refusal.
			s.wantLogins(t, "192.0.2.2", 3, 429)
			s.wantLogins(t, "192.0.2.3", 8, 200)
			s.wantLogins(t, "192.0.2.3", 1, 429)
			if _, e := s.login("192.0.2.3"); !e.Local {
				t.Errorf("event %+v, want a local one", e)
			}
		}},
		{ratelimit.Deny, func(t *testing.T, s *service) {
			s.wantLogins(t, "192.0.2.1", 3, 503)
		}},
		{ratelimit.Pass, func(t *testing.T, s *service) {
			s.wantLogins(t, "192.0.2.1", 20, 200)
		}},
	} {
		t.Run(string(c.onError), func(t *testing.T) {
			server := testenv.Redis(t, testenv.Persistent())
			s := newService(t, unhurriedLimiter(t, server.URL()), c.onError)
			other := newService(t, newLimiter(t, patientClient(t, server.URL())), c.onError)
			warm(t, s)
			s.wantLogins(t, "192.0.2.1", 5, 200)
			other.wantLogins(t, "192.0.2.2", 8, 200)
			s.wantLogins(t, "192.0.2.2", 1, 429)
			server.Kill()
			c.check(t, s)
			server.Start()
			warm(t, s)
			s.wantLogins(t, "192.0.2.1", 3, 200) // the store kept its five
			s.wantLogins(t, "192.0.2.1", 1, 429)
			s.wantLogins(t, "192.0.2.2", 1, 429)
		})
	}
}

// warm waits until the store decides.
func warm(t *testing.T, s *service) {
	t.Helper()
	n := 0
	eventually(t, "the store decides", func() bool {
		n++
		s.mu.Lock()
		before := len(s.events)
		s.mu.Unlock()
		s.login("198.51.100." + string(rune('0'+n%10)))
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.events[before].Outcome != ratelimit.StoreError
	})
}
