package webhook_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// abandoned is a store with a guard that is done by the id one, whose message
// was never kept.
func abandoned(t *testing.T) (p unsignedID, store *fakeInbox, inbox *webhook.Middleware, ev *events) {
	t.Helper()
	p = unsignedIDs()["github"]
	inbox, store, ev = p.guarded(t, func(c *webhook.Config) {
		c.Inbox = &webhook.InboxConfig{Store: c.Store.(*fakeInbox)}
	})
	store.fail = func(step, _ string) error {
		if step == "put" {
			return errDown
		}
		return nil
	}
	answerIs(t, serve(inbox.Wrap(uncalled(t)), p.request(t, "one", "/hook", "{}")), 503, "*", "")
	lives(store)
	return p, store, inbox, ev
}

func syncRoute(t *testing.T, p unsignedID, store *fakeInbox) (*webhook.Middleware, *events) {
	return build(t, func(c *webhook.Config) { c.Route, c.Verifier, c.Store = "hook", newVerifier(t, p.cfg), store })
}

func TestABodyThatWasNotKeptIsKeptUnderTheIDOfItsGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, store, m, ev := abandoned(t)
		accept := func(id, answer, mark string) {
			t.Helper()
			answerIs(t, serve(m.Wrap(uncalled(t)), p.request(t, id, "/hook", "{}")), 200, answer, mark)
		}
		accept("two", `{"status":"accepted"}`, "accepted")
		if e := ev.last(t); e.EventID != "one" || e.Err == nil || !strings.Contains(e.Err.Error(), `"two"`) {
			t.Errorf("event %+v does not name both ids", e)
		}
		accept("three", `{"status":"duplicate"}`, "duplicate")
		accept("one", `{"status":"duplicate"}`, "duplicate")
		if message := store.all["hook/one"].message; message == nil || message.Event.ID != "one" || message.Header.Get(p.id) != "two" {
			t.Errorf("kept is %+v", message)
		}
		h := &handler{statuses: []int{200}}
		stop := delivering(t, m, h)
		synctest.Wait()
		accept("two", `{"status":"duplicate"}`, "duplicate")
		accept("four", `{"status":"duplicate"}`, "duplicate")
		synctest.Wait()
		stop()
		if want := []string{"hook/one"}; !slices.Equal(h.calls, want) {
			t.Errorf("calls %q, want %q", h.calls, want)
		}
		recordIs(t, store, "hook/two", webhook.StateAbsent, 0, false)
	})
}

func TestABodyThatWasNotKeptIsHandledUnderTheIDOfItsGuard(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		ids      string // one letter for each message; o is the owner
		calls    []string
		outcomes []webhook.Outcome
	}{
		"once": {[]int{200}, "abao", []string{"hook/o"},
			[]webhook.Outcome{"processed", "replayed", "replayed", "duplicate"}},
		"again after a failure, marked, by whoever comes": {[]int{500, 200}, "abo", []string{"hook/o", "hook/o maybe"},
			[]webhook.Outcome{"retry", "processed", "duplicate"}},
		"again when it was never written, unmarked": {[]int{502, 200}, "aab", []string{"hook/o", "hook/o"},
			[]webhook.Outcome{"not_written", "processed", "replayed"}},
		"or by its owner": {[]int{500, 200}, "aoa", []string{"hook/o", "hook/o maybe"},
			[]webhook.Outcome{"retry", "processed", "replayed"}},
		"until it is dead": {[]int{410}, "abo", []string{"hook/o"},
			[]webhook.Outcome{"dead", "dead", "dead"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, store, _, _ := abandoned(t)
				m, ev := syncRoute(t, p, store)
				h := &handler{statuses: tt.statuses}
				for _, id := range tt.ids {
					serve(m.Wrap(h), p.request(t, strings.ReplaceAll(string(id), "o", "one"), "/hook", "{}"))
				}
				want := strings.Split(strings.ReplaceAll(strings.Join(tt.calls, ","), "/o", "/one"), ",")
				if !slices.Equal(h.calls, want) || !slices.Equal(ev.outcomes(), tt.outcomes) {
					t.Errorf("calls %q with %v, want %q with %v", h.calls, ev.outcomes(), want, tt.outcomes)
				}
			})
		})
	}
}

func TestOneOfManyActsAsTheOwnerOfABody(t *testing.T) {
	for _, mode := range []string{"sync", "inbox"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, store, m, ev := abandoned(t)
				if mode == "sync" {
					m, ev = syncRoute(t, p, store)
				}
				var mu sync.Mutex
				var calls []string
				h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					mu.Lock()
					calls = append(calls, r.Header.Get("Idempotency-Key"))
					mu.Unlock()
					time.Sleep(time.Second)
				})
				if mode == "inbox" {
					defer delivering(t, m, h)()
				}
				var senders sync.WaitGroup
				for i := range 100 {
					id := fmt.Sprint(i / 4)
					if i < 4 {
						id = "one"
					}
					senders.Go(func() {
						if res := serve(m.Wrap(h), p.request(t, id, "/hook", "{}")); res.StatusCode != 200 {
							t.Errorf("%s is answered %d", id, res.StatusCode)
						}
					})
				}
				senders.Wait()
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(calls, []string{"hook/one"}) {
					t.Errorf("calls %q, with %v", calls, ev.outcomes())
				}
			})
		})
	}
}

// Without an answer the claim of the owner stays, and the next one is told.
func TestWhoActsAsTheOwnerMayGetNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, store, _, _ := abandoned(t)
		m, _ := syncRoute(t, p, store)
		hangs := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		answerIs(t, serve(m.Wrap(hangs), p.request(t, "two", "/hook", "{}")), 504, "*", "")
		answerIs(t, serve(m.Wrap(uncalled(t)), p.request(t, "three", "/hook", "{}")), 503, `{"error":"in_flight"}`, "in-flight")
		time.Sleep(time.Minute)
		h := &handler{statuses: []int{200}}
		answerIs(t, serve(m.Wrap(h), p.request(t, "two", "/hook", "{}")), 200, "*", "processed")
		if want := []string{"hook/one maybe"}; !slices.Equal(h.calls, want) {
			t.Errorf("calls %q, want %q", h.calls, want)
		}
		recordIs(t, store, "hook/one", webhook.StateDone, 2, true)
	})
}

func TestAnOwnerThatTurnsOutToHaveAnotherBodyIsNotActedAs(t *testing.T) {
	for _, mode := range []string{"sync", "inbox"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, store, m, _ := abandoned(t)
				if mode == "sync" {
					m, _ = syncRoute(t, p, store)
				}
				store.failAfter = func(step, key string) error {
					if step == "lookup" && key == "hook/one" {
						store.all[key] = &fakeRecord{Record: webhook.Record{BodyDigest: webhook.Digest{1}, State: webhook.StateDone, Fence: 1}}
					}
					return nil
				}
				answerIs(t, serve(m.Wrap(uncalled(t)), p.request(t, "two", "/hook", "{}")), 503, `{"error":"in_flight"}`, "in-flight")
				lives(store)
				answerIs(t, serve(m.Wrap(&handler{statuses: []int{200}}), p.request(t, "two", "/hook", "{}")), 200, "*",
					map[string]string{"sync": "processed", "inbox": "accepted"}[mode])
			})
		})
	}
}

// The process died after the guard was done, and before its event was.
func TestWhatTheHandlerAnsweredIsKnownByTheGuardAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		provider     string
		handler      int
		status       int
		answer, mark string
		state        webhook.State // of the second id
	}{
		"a success is a duplicate":                      {"github", 200, 200, `{"status":"duplicate"}`, "duplicate", webhook.StateDone},
		"what was discarded is dead":                    {"github", 410, 200, `{"status":"dead"}`, "dead", webhook.StateDead},
		"an answer that is used is waited for, in vain": {"twilio", 200, 503, `{"error":"in_flight"}`, "in-flight", webhook.StateRetry},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := unsignedIDs()[tt.provider]
				m, store, _ := p.guarded(t, nil)
				dies(store, 3, true)
				answerIs(t, serve(m.Wrap(&handler{statuses: []int{tt.handler}}), p.request(t, "one", "/hook", p.body())), 503, "*", "")
				lives(store)
				time.Sleep(time.Hour)
				answerIs(t, serve(m.Wrap(uncalled(t)), p.request(t, "two", "/hook", p.body())), tt.status, tt.answer, tt.mark)
				recordIs(t, store, "hook/two", tt.state, 1, false)
				recordIs(t, store, "hook/one", webhook.StateClaimed, 1, false)
			})
		})
	}
}

// An operator revived what was dead: whoever brings the body brings it back.
func TestARevivedEventIsHandledForWhoeverBringsItsBody(t *testing.T) {
	p := unsignedIDs()["github"]
	m, store, _ := p.guarded(t, nil)
	h := &handler{statuses: []int{410, 200}}
	for _, id := range []string{"one", "two", "", "three"} {
		if id == "" {
			if err := store.Revive(t.Context(), "hook/one"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		serve(m.Wrap(h), p.request(t, id, "/hook", "{}"))
	}
	if want := []string{"hook/one", "hook/one maybe"}; !slices.Equal(h.calls, want) {
		t.Errorf("calls %q, want %q", h.calls, want)
	}
}

func TestTheGuardOfAnInboxOutlastsTheOutcome(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		over     time.Duration // when it is, at the latest
		answer   string
	}{
		"of what is done at once":          {[]int{200}, time.Minute, `{"status":"duplicate"}`},
		"of what failed for as long as it": {[]int{503}, 3*time.Hour + 2*time.Minute, `{"status":"dead"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := unsignedIDs()["github"]
				m, _, _ := p.guarded(t, func(c *webhook.Config) {
					c.Retention = time.Hour
					c.Inbox = &webhook.InboxConfig{Store: c.Store.(*fakeInbox), MaxAge: 2 * time.Hour}
				})
				send := func(id, answer string) {
					t.Helper()
					if got := text(t, serve(m.Wrap(uncalled(t)), p.request(t, id, "/hook", "{}"))); got != answer {
						t.Errorf("%s is answered %s, want %s", id, got, answer)
					}
				}
				start := time.Now()
				send("one", `{"status":"accepted"}`)
				h := &handler{statuses: tt.statuses}
				stop := delivering(t, m, h)
				for i := range 7 { // past the retention, while it waits or is done
					time.Sleep(15 * time.Minute)
					send(fmt.Sprint("while ", i), `{"status":"duplicate"}`)
				}
				time.Sleep(time.Until(start.Add(tt.over)))
				stop()
				for i := range 4 {
					send(fmt.Sprint("after ", i), tt.answer)
					time.Sleep(15*time.Minute - time.Second)
				}
				for _, call := range h.calls {
					if !strings.HasPrefix(call, "hook/one") {
						t.Errorf("call %q", call)
					}
				}
				time.Sleep(5 * time.Hour)
				send("much later", `{"status":"accepted"}`)
			})
		})
	}
}
