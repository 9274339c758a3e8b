package webhooktest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// bent is a store with a fault between the middleware and a sound one.
type bent struct {
	webhook.Store
	claim    func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error)
	complete func(ctx context.Context, key string, fence int64, a *webhook.Answer) error
	release  func(ctx context.Context, key string, fence int64, maybe bool) error
	kill     func(ctx context.Context, key string, fence int64) error
}

func (b *bent) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	return b.claim(ctx, key, req)
}

func (b *bent) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	return b.complete(ctx, key, fence, a)
}

func (b *bent) Release(ctx context.Context, key string, fence int64, maybe bool) error {
	return b.release(ctx, key, fence, maybe)
}

func (b *bent) Kill(ctx context.Context, key string, fence int64) error {
	return b.kill(ctx, key, fence)
}

// part is a configuration, and what stands around the middleware and the handler,
// for a fault to change.
type part struct {
	cfg   webhook.Config
	store *bent
	// outer stands before the middleware, inner before the handler.
	outer, inner func(next http.Handler) http.Handler
}

func (p *part) sound() webhook.Store { return p.store.Store }

// with plants a fault in the middleware.
func with(t *testing.T, fault func(p *part)) webhooktest.WrapFunc {
	return func(cfg webhook.Config) func(http.Handler) http.Handler {
		same := func(next http.Handler) http.Handler { return next }
		s := cfg.Store
		p := &part{cfg: cfg, store: &bent{s, s.Claim, s.Complete, s.Release, s.Kill}, outer: same, inner: same}
		p.cfg.Store = p.store
		fault(p)
		m, err := webhook.New(p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		return func(next http.Handler) http.Handler { return p.outer(m.Wrap(p.inner(next))) }
	}
}

// answered lets change see and change what the middleware answers.
func answered(change func(w *httptest.ResponseRecorder)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			held := httptest.NewRecorder()
			next.ServeHTTP(held, r)
			change(held)
			maps.Copy(w.Header(), held.Header())
			w.WriteHeader(held.Code)
			_, _ = w.Write(held.Body.Bytes())
		})
	}
}

// asked lets change change a request.
func asked(change func(r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			next.ServeHTTP(w, r)
		})
	}
}

func rewriteBody(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	body = reserialised(body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

const stageKey = "hook/evt_1"

// currentFence is the one that a stale fence is taken for.
func (p *part) currentFence(ctx context.Context, key string) int64 {
	r, err := p.sound().Lookup(ctx, key)
	if err != nil {
		return 0
	}
	return r.Fence
}

// faults of the middleware, with the rule that each must break.
var middlewareFaults = []struct {
	name  string
	fault func(p *part)
	rule  string
}{
	{"mark before handle", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := p.sound().Claim(ctx, key, req)
			if c.Status == webhook.Claimed {
				err = p.sound().Complete(ctx, key, c.Fence, nil)
			}
			return c, err
		}
	}, "an event is claimed while it is handled, and done after"},
	{"check-then-insert", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			r, err := p.sound().Lookup(ctx, key)
			time.Sleep(time.Millisecond) // where others have their turn
			if err != nil || r.State != webhook.StateAbsent {
				return p.sound().Claim(ctx, key, req)
			}
			c, err := p.sound().Claim(ctx, key, req)
			if c.Status == webhook.InFlight {
				c.Status = webhook.Claimed
			}
			return c, err
		}
	}, "of 100 copies at once one is handled"},
	{"release on timeout", func(p *part) {
		p.outer = answered(func(w *httptest.ResponseRecorder) {
			if w.Code == http.StatusGatewayTimeout {
				_ = p.sound().Release(context.Background(), stageKey, p.currentFence(context.Background(), stageKey), true)
			}
		})
	}, "without a complete answer the claim lasts until its lease ends, and the next attempt is marked"},
	{"release on a complete 5xx without the mark", func(p *part) {
		p.store.release = func(ctx context.Context, key string, fence int64, _ bool) error {
			return p.sound().Release(ctx, key, fence, false)
		}
	}, "a complete answer other than 2xx gives the event back, marked as maybe processed"},
	{"release of what was never written with the mark", func(p *part) {
		p.store.release = func(ctx context.Context, key string, fence int64, _ bool) error {
			return p.sound().Release(ctx, key, fence, true)
		}
	}, "a request that was never written gives the event back, unmarked"},
	{"lease as TTL of what is done", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			req.Retention = req.Lease
			return p.sound().Claim(ctx, key, req)
		}
	}, "done is done until its retention ends, long after its lease"},
	{"lease as TTL of a claim", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := p.sound().Claim(ctx, key, req)
			if c.Status == webhook.Claimed {
				c.Attempt, c.MaybeProcessed = 1, false
			}
			return c, err
		}
	}, "without a complete answer the claim lasts until its lease ends, and the next attempt is marked"},
	{"stale fence accepted", func(p *part) {
		p.store.complete = func(ctx context.Context, key string, _ int64, a *webhook.Answer) error {
			return p.sound().Complete(ctx, key, p.currentFence(ctx, key), a)
		}
	}, "what answers after its lease changes nothing of the claim that came later"},
	{"stale fence accepted on release", func(p *part) {
		p.store.release = func(ctx context.Context, key string, _ int64, maybe bool) error {
			return p.sound().Release(ctx, key, p.currentFence(ctx, key), maybe)
		}
	}, "what fails after its lease changes nothing of the claim that came later"},
	{"stale timestamp accepted", func(p *part) {
		p.cfg.Verifier = lenient{p.cfg.Verifier, whenever(webhook.ErrTimestamp)}
	}, "what was signed long ago, or in the future, touches neither store nor handler"},
	{"body parsed and re-serialised before it is verified", func(p *part) { p.outer = asked(rewriteBody) },
		"the handler gets the bytes that were sent"},
	{"body parsed and re-serialised after it was verified", func(p *part) { p.inner = asked(rewriteBody) },
		"the handler gets the bytes that were sent"},
	{"body verified as re-serialised", func(p *part) {
		p.cfg.Verifier = lenient{p.cfg.Verifier, func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			got, err := v.Verify(m)
			if errors.Is(err, webhook.ErrSignatureMismatch) {
				m.Body = bytes.TrimSpace(m.Body)
				return v.Verify(m)
			}
			return got, err
		}}
	}, "what the provider did not sign touches neither store nor handler"},
	{"store asked before the signature is", func(p *part) {
		p.outer = asked(func(r *http.Request) { _, _ = p.sound().Lookup(r.Context(), stageKey) })
	}, "what the provider did not sign touches neither store nor handler"},
	{"acknowledged though it is not on record", func(p *part) {
		p.store.complete = func(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
			_ = p.sound().Complete(ctx, key, fence, a)
			return nil
		}
	}, "no 2xx unless the event is on record as done or dead"},
	{"discarded to be tried again", func(p *part) {
		p.store.kill = func(ctx context.Context, key string, fence int64) error {
			return p.sound().Release(ctx, key, fence, false)
		}
	}, "a status to discard makes the event dead, which is acknowledged and stays"},
	{"copy in flight acknowledged", func(p *part) {
		p.outer = answered(func(w *httptest.ResponseRecorder) {
			if w.Header().Get("Handrail-Webhook") == "in-flight" {
				w.Code = http.StatusOK
			}
		})
	}, "a copy of an event that is being handled is not acknowledged"},
	{"handled without the store", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := p.sound().Claim(ctx, key, req)
			if err != nil {
				return webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1}, nil
			}
			return c, nil
		}
	}, "without the store nothing is handled, and the provider is to come again"},
	{"every body let through", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			req.SameBody = false
			return p.sound().Claim(ctx, key, req)
		}
	}, "another body under an id that is not signed is refused, whatever became of the first"},
	{"every other body refused", func(p *part) {
		p.store.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			req.SameBody = true
			return p.sound().Claim(ctx, key, req)
		}
	}, "another body under an id that is signed is the same event"},
	{"ids that are not signed trusted", func(p *part) { p.cfg.DisableReplayGuard = true },
		"a body that came under an id that is not signed is not handled under another"},
	{"limit off by one", func(p *part) { p.cfg.MaxBodyBytes++ }, "a byte more than the limit is refused as too large"},
	{"every method taken", func(p *part) { p.outer = asked(func(r *http.Request) { r.Method = http.MethodPost }) },
		"other methods than POST are refused"},
	{"fence of the client", func(p *part) {
		p.inner = asked(func(r *http.Request) { r.Header.Set("Handrail-Webhook-Fence", "99") })
	}, "each attempt has the same key and a higher fence, whatever the client says of them"},
	{"attempt ends with its client", func(p *part) {
		type clientKey struct{}
		p.outer = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, r.Context())))
			})
		}
		p.inner = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				defer context.AfterFunc(r.Context().Value(clientKey{}).(context.Context), cancel)()
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		}
	}, "a client that hangs up does not end the attempt"},
}

func TestEveryFaultOfAMiddlewareBreaksItsRule(t *testing.T) {
	unbroken := make(map[string]bool)
	for _, rule := range webhooktest.MiddlewareRules() {
		unbroken[rule.Name] = true
	}
	for _, f := range middlewareFaults {
		delete(unbroken, f.rule)
		t.Run(f.name, func(t *testing.T) {
			for _, rule := range webhooktest.MiddlewareRules() {
				if rule.Name != f.rule {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					if err := rule.Check(t.Context(), with(t, f.fault)); err == nil {
						t.Errorf("%q holds", rule.Name)
					} else {
						t.Log(err)
					}
				})
				return
			}
			t.Errorf("there is no rule %q", f.rule)
		})
	}
	for rule := range unbroken {
		t.Errorf("no fault breaks %q", rule)
	}
}

func TestAMiddlewareWithoutAFaultBreaksNoRule(t *testing.T) {
	webhooktest.RunMiddleware(t, func(t *testing.T, cfg webhook.Config) func(http.Handler) http.Handler {
		return with(t, func(*part) {})(cfg)
	})
}
