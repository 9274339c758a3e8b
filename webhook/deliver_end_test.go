package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// attempts collects when the handler was called.
type attempts struct {
	mu sync.Mutex
	at []time.Time
}

func (a *attempts) add() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
}

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, ev := inboxed(t, func(c *webhook.Config) {
			c.Inbox.FirstRetry, c.Inbox.LongestRetry, c.Inbox.MaxAttempts = 4*time.Second, 60*time.Second, 8
		})
		put(t, m, stripeBody)
		var calls attempts
		stop := delivering(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.add()
			if got, want := r.Header.Get("Handrail-Webhook-Attempt"), fmt.Sprint(len(calls.at)); got != want {
				t.Errorf("attempt %s, want %s", got, want)
			}
			if got := r.Header.Get("Handrail-Webhook-Maybe-Processed") == "true"; got != (len(calls.at) > 1) {
				t.Errorf("attempt %d is maybe processed: %t", len(calls.at), got)
			}
			w.WriteHeader(500)
		}))
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		if len(calls.at) != 8 {
			t.Fatalf("%d attempts, want 8", len(calls.at))
		}
		for i, seconds := range []int{4, 8, 16, 32, 60, 60, 60} {
			whole := time.Duration(seconds) * time.Second
			// What is due is seen within a second.
			if pause := calls.at[i+1].Sub(calls.at[i]); pause < whole/2 || pause > whole+time.Second {
				t.Errorf("pause %d is %v, want %v to %v", i+1, pause, whole/2, whole)
			}
		}
		recordIs(t, inbox, stripeKey, webhook.StateDead, 8, true)
		if e := ev.last(t); e.Outcome != webhook.OutcomeDead || !errors.Is(e.Err, webhook.ErrExhausted) || e.UpstreamStatus != 500 || e.Attempt != 8 {
			t.Errorf("event %+v", e)
		}
		if r := inbox.stripe(); r.failure.Reason != "attempts_exhausted" || r.message == nil {
			t.Errorf("%+v, message kept: %t", r.failure, r.message != nil)
		}
	})
}

func TestGivingUp(t *testing.T) {
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, tt := range map[string]struct {
		next     http.HandlerFunc
		late     time.Duration // before the first Deliver
		attempts int
		reason   string
	}{
		"when the age is reached by a failure":        {fails, 0, 0, "age_exhausted"},
		"when it is reached by one without an answer": {hangs, 0, 0, "age_exhausted"},
		"after one attempt at least, however late":    {fails, 24 * time.Hour, 1, "age_exhausted"},
		"and when that has no answer":                 {hangs, 24 * time.Hour, 1, "age_exhausted"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, inbox, ev := inboxed(t, func(c *webhook.Config) { c.Inbox.MaxAge = time.Hour })
				put(t, m, stripeBody)
				time.Sleep(tt.late)
				var calls attempts
				start := time.Now()
				stop := delivering(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.add(); tt.next(w, r) }))
				time.Sleep(5 * time.Hour)
				stop()
				r := inbox.stripe()
				if r.State != webhook.StateDead || r.failure.Reason != tt.reason || !r.MaybeProcessed || r.message == nil {
					t.Errorf("%+v after %+v", r.Record, r.failure)
				}
				if tt.attempts > 0 && len(calls.at) != tt.attempts || len(calls.at) == 0 {
					t.Errorf("%d attempts, want %d", len(calls.at), tt.attempts)
				}
				if last := calls.at[len(calls.at)-1].Sub(start); tt.late == 0 && (last < time.Hour-time.Minute || last > 3*time.Hour) {
					t.Errorf("the last attempt was after %v", last)
				}
				if e := ev.last(t); e.Outcome != webhook.OutcomeDead || !errors.Is(e.Err, webhook.ErrExhausted) {
					t.Errorf("event %+v", e)
				}
			})
		})
	}
	t.Run("when each attempt took its process down, without another call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, inbox, ev := inboxed(t, func(c *webhook.Config) { c.Inbox.MaxAttempts = 3 })
			put(t, m, stripeBody)
			for range 3 {
				if taken, err := inbox.Take(t.Context(), "stripe", 1, time.Second); err != nil || len(taken) != 1 {
					t.Fatal(taken, err)
				}
				time.Sleep(time.Second)
			}
			stop := delivering(t, m, uncalled(t))
			synctest.Wait()
			stop()
			if r := inbox.stripe(); r.State != webhook.StateDead || r.failure.Reason != "attempts_exhausted" {
				t.Errorf("%+v after %+v", r.Record, r.failure)
			}
			if e := ev.last(t); e.Outcome != webhook.OutcomeDead || !errors.Is(e.Err, webhook.ErrExhausted) {
				t.Errorf("event %+v", e)
			}
		})
	})
}

func TestDeliverEndsWithDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, end := context.WithCancel(t.Context())
		m, inbox, ev := inboxed(t, func(c *webhook.Config) { c.Drain = drain })
		put(t, m, stripeBody)
		time.AfterFunc(3*time.Second, end)
		start := time.Now()
		if err := m.Deliver(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		recordIs(t, inbox, stripeKey, webhook.StateClaimed, 1, true)
		if e := ev.last(t); e.Outcome != webhook.OutcomeNoAnswer {
			t.Errorf("event %+v", e)
		}
		// After that nothing is taken.
		if err := m.Deliver(t.Context(), uncalled(t)); err != nil {
			t.Error(err)
		}
	})
}

// What was never sent must not be dead for it: see InboxConfig.MaxAttempts.
func TestWhatTheHandlerWasNotCalledForIsNoAttempt(t *testing.T) {
	for name, tt := range map[string]struct {
		after   string        // the step, or "sign", after which
		late    time.Duration // so much passes,
		ends    string        // and ctx or Drain ends
		outcome webhook.Outcome
		reason  string
	}{
		"taken as ctx ended":               {"take", 0, "ctx", webhook.OutcomeDraining, "draining"},
		"taken as Drain ended":             {"take", 0, "drain", webhook.OutcomeDraining, "draining"},
		"Drain ended just before the call": {"sign", 0, "drain", webhook.OutcomeDraining, "draining"},
		"no time was left for the call":    {"sign", time.Hour, "", webhook.OutcomeNotWritten, "not_attempted"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := map[string]context.CancelFunc{"": func() {}}
				var ctx, drain context.Context
				ctx, ends["ctx"] = context.WithTimeout(t.Context(), 2*time.Hour) // a fault must not hang it
				drain, ends["drain"] = context.WithCancel(t.Context())
				defer ends["drain"]()
				inbox, asked := newFakeInbox(), 0
				meanwhile := func(step string) {
					if step == tt.after {
						time.Sleep(tt.late)
						ends[tt.ends]()
					}
					if step == "fail" { // the attempt is over
						ends["ctx"]()
					}
				}
				inbox.failAfter = func(step, _ string) error {
					meanwhile(step)
					return nil
				}
				signer, err := webhook.NewSigner(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{stripeSecret}})
				if err != nil {
					t.Fatal(err)
				}
				config := func(c *webhook.Config) {
					c.Store = untouchable{t: t}
					c.Inbox = &webhook.InboxConfig{Store: inbox, MaxAttempts: 1, MaxAge: time.Minute, Concurrency: 1, Signer: signer}
				}
				m, ev := build(t, func(c *webhook.Config) {
					config(c)
					c.Drain = drain
					c.Now = func() time.Time {
						if inbox.stripe().State == webhook.StateClaimed {
							if asked++; asked == 2 { // the first is for the event
								meanwhile("sign")
							}
						}
						return time.Now()
					}
				})
				put(t, m, stripeBody)
				if err := m.Deliver(ctx, uncalled(t)); err != nil {
					t.Error(err)
				}
				recordIs(t, inbox, stripeKey, webhook.StateRetry, 1, false)
				if r := inbox.stripe(); r.Attempt != 0 || r.failure.Reason != tt.reason || (r.failure.After == 0) != (tt.reason == "draining") {
					t.Errorf("%+v after %+v", r.Record, r.failure)
				}
				if e := ev.last(t); e.Outcome != tt.outcome || !e.Inbox {
					t.Errorf("event %+v", e)
				}

				m, _ = build(t, config)
				called := make(chan string, 1)
				stop := delivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					called <- r.Header.Get("Handrail-Webhook-Attempt") + r.Header.Get("Handrail-Webhook-Maybe-Processed")
				}))
				select {
				case got := <-called:
					if got != "1" {
						t.Errorf("then attempt %q, want 1, unmarked", got)
					}
				case <-time.After(time.Hour):
					t.Error("then there was no attempt")
				}
				stop()
				recordIs(t, inbox, stripeKey, webhook.StateDone, 2, false)
			})
		})
	}
}

func TestAStoreThatFailsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, ev := inboxed(t, nil)
		inbox.fail = func(step, _ string) error {
			if step == "take" {
				return errDown
			}
			return nil
		}
		called := make(chan time.Time, 1)
		stop := delivering(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- time.Now() }))
		put(t, m, stripeBody) // storing works, and wakes nobody who rests after a failure
		time.Sleep(time.Hour)
		n := 0
		for _, e := range ev.each() {
			if e.Outcome == webhook.OutcomeStoreError {
				n++
				if !e.Inbox || !errors.Is(e.Err, errDown) || e.EventID != "" {
					t.Errorf("event %+v", e)
				}
			}
		}
		if n < 120 || n > 250 {
			t.Errorf("told %d times in an hour", n)
		}
		inbox.mu.Lock()
		inbox.fail = func(string, string) error { return nil }
		inbox.mu.Unlock()
		start := time.Now()
		if took := (<-called).Sub(start); took > 30*time.Second {
			t.Errorf("called after %v", took)
		}
		stop()
	})
}

func TestSettlingFails(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) {}
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	for name, tt := range map[string]struct {
		next    http.HandlerFunc
		step    string
		failing time.Duration
		err     error
		outcome webhook.Outcome
		calls   int
		fence   int64
		maybe   bool
	}{
		"for a while: it is settled all the same":       {ok, "complete", 2 * time.Second, errDown, webhook.OutcomeProcessed, 1, 1, false},
		"until the lease ends: another attempt, marked": {ok, "complete", 31 * time.Second, errDown, webhook.OutcomeStoreError, 2, 2, true},
		"by another claim: superseded, and left alone":  {ok, "complete", time.Millisecond, webhook.ErrStaleFence, webhook.OutcomeSuperseded, 2, 2, true},
		"failing, for a while":                          {fails, "fail", 2 * time.Second, errDown, webhook.OutcomeRetry, 2, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, inbox, ev := inboxed(t, nil)
				start := time.Now()
				inbox.fail = func(step, _ string) error {
					if step == tt.step && time.Since(start) < tt.failing {
						return tt.err
					}
					return nil
				}
				put(t, m, stripeBody)
				calls := 0
				stop := delivering(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if calls++; calls == 1 {
						tt.next(w, r)
					}
				}))
				time.Sleep(2 * time.Minute)
				stop()
				if calls != tt.calls {
					t.Errorf("%d calls", calls)
				}
				recordIs(t, inbox, stripeKey, webhook.StateDone, tt.fence, tt.maybe)
				if got := ev.outcomes()[1]; got != tt.outcome {
					t.Errorf("outcomes %v", ev.outcomes())
				}
			})
		})
	}
}

// What cannot be put on record costs a second effect, and must not hold the end of a
// process up for as long as a lease.
func TestAnEndInsistsUntilDrainOrTheLeaseEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		down, drain, took time.Duration // since the end of ctx; 0: never
		outcome           webhook.Outcome
	}{
		"a store that comes back":            {10 * time.Second, 0, 10 * time.Second, webhook.OutcomeProcessed},
		"one that comes back amid the drain": {10 * time.Second, 20 * time.Second, 10 * time.Second, webhook.OutcomeProcessed},
		"one that does not, until Drain":     {time.Hour, 3 * time.Second, 3 * time.Second, webhook.OutcomeStoreError},
		"one that does not, until the lease": {time.Hour, 0, 25 * time.Second, webhook.OutcomeStoreError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				drain, end := context.WithCancel(t.Context())
				m, inbox, ev := inboxed(t, func(c *webhook.Config) {
					if tt.drain > 0 {
						c.Drain = drain
					}
				})
				put(t, m, stripeBody)
				back := time.Now().Add(5*time.Second + tt.down)
				inbox.fail = func(step, _ string) error {
					if step == "complete" && time.Now().Before(back) {
						return errDown
					}
					return nil
				}
				stop := delivering(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				time.Sleep(5 * time.Second)
				start := time.Now()
				if tt.drain > 0 {
					time.AfterFunc(tt.drain, end)
				}
				stop()
				if took := time.Since(start); took > tt.took+2*time.Second || took < tt.took-2*time.Second {
					t.Errorf("the end took %v, want %v", took, tt.took)
				}
				if e := ev.last(t); e.Outcome != tt.outcome || (tt.outcome == webhook.OutcomeStoreError) != errors.Is(e.Err, errDown) {
					t.Errorf("event %+v", e)
				}
				end()
			})
		})
	}
}
