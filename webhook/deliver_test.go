package webhook_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// inboxed returns a middleware for Stripe with an inbox in memory, unless change
// says otherwise.
func inboxed(t testing.TB, change func(*webhook.Config)) (*webhook.Middleware, *fakeInbox, *events) {
	t.Helper()
	inbox := newFakeInbox()
	m, ev := build(t, func(c *webhook.Config) {
		c.Inbox = &webhook.InboxConfig{Store: inbox}
		if change != nil {
			change(c)
		}
		c.Store = untouchable{t: t} // the inbox's is used
	})
	return m, inbox, ev
}

// uncalled is a handler that must not be called.
func uncalled(t testing.TB) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
}

// delivering runs Deliver until the test, or the function it returns, ends it.
func delivering(t testing.TB, m *webhook.Middleware, next http.Handler) (stop func()) {
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

func put(t testing.TB, m *webhook.Middleware, body string) {
	t.Helper()
	answerIs(t, serve(m.Wrap(uncalled(t)), stripeRequest(body)), 200, `{"status":"accepted"}`, "accepted")
}

func stripeEvent(id string) string { return `{"id":"` + id + `","type":"invoice.paid"}` }

func TestMessagesAreAcceptedThenDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, ev := inboxed(t, nil)
		put(t, m, stripeBody)
		if e := ev.last(t); e.Outcome != webhook.OutcomeAccepted || e.EventID != "evt_1" || e.Inbox || e.Attempt != 0 {
			t.Errorf("event %+v", e)
		}
		answerIs(t, serve(m.Wrap(uncalled(t)), stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
		time.Sleep(90 * time.Second)

		calls := 0
		stop := delivering(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			for name, want := range map[string]string{
				"Idempotency-Key": stripeKey, "Handrail-Webhook-Attempt": "1", "Handrail-Webhook-Fence": "1",
				"Handrail-Request-Verified": "stripe", "Handrail-Webhook-Maybe-Processed": "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if d, ok := webhook.DeliveryFrom(r.Context()); !ok || d.Event.ID != "evt_1" || d.Event.Type != "invoice.paid" || string(d.Body) != stripeBody {
				t.Errorf("delivery %+v, %t", d, ok)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		synctest.Wait()
		stop()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
		recordIs(t, inbox, stripeKey, webhook.StateDone, 1, false)
		e := ev.last(t)
		if e.Outcome != webhook.OutcomeProcessed || !e.Inbox || e.Attempt != 1 || e.Fence != 1 || e.UpstreamStatus != 204 ||
			e.EventID != "evt_1" || e.EventType != "invoice.paid" || e.Age != 90*time.Second {
			t.Errorf("event %+v", e)
		}
		answerIs(t, serve(m.Wrap(uncalled(t)), stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
	})
}

func TestTheRequestIsTheOneThatWasReceived(t *testing.T) {
	for _, target := range []string{
		"/hook", "/hook?a=1&b=%2F;c", "/a%2Fb/c%20d", "/hook?", "//two/slashes", "/%zz", "/ünï", "/a;b=c/?x=?y", "/", "/a%2fb",
	} {
		t.Run("target "+target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _, _ := inboxed(t, nil)
				in := stripeRequest(stripeBody)
				if u, err := in.URL.Parse("http://x" + target); err == nil {
					u.Scheme, u.Host = "", ""
					in.URL = u
				} else {
					in.URL.Path = target
				}
				in.RequestURI = in.URL.RequestURI()
				in.Host, in.RemoteAddr = "hooks.example.com:8443", "203.0.113.7:4711"
				for name, value := range map[string]string{
					"X-Kept": "a, b", "Connection": "X-Hop , close", "X-Hop": "1", "Te": "trailers", "Upgrade": "x", "Expect": "100-continue",
					"Proxy-Authorization": "Basic eA==", "Idempotency-Key": "theirs", "Handrail-Request-Verified": "theirs", "Handrail_x": "y",
					"Authorization": "Basic eA==", "Content-Type": "application/json", "Transfer-Encoding": "chunked",
				} {
					in.Header[name] = []string{value}
				}
				signature := in.Header.Get("Stripe-Signature")
				answerIs(t, serve(m.Wrap(uncalled(t)), in), 200, `{"status":"accepted"}`, "accepted")
				stop := delivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || r.Host != in.Host || r.RemoteAddr != in.RemoteAddr || r.RequestURI != in.RequestURI {
						t.Errorf("%s %s of %s from %s", r.Method, r.RequestURI, r.Host, r.RemoteAddr)
					}
					if r.URL.Path != in.URL.Path || r.URL.EscapedPath() != in.URL.EscapedPath() || r.URL.RawQuery != in.URL.RawQuery || r.URL.ForceQuery != in.URL.ForceQuery {
						t.Errorf("%#v, want %#v", r.URL, in.URL)
					}
					names := slices.DeleteFunc(slices.Sorted(func(yield func(string) bool) {
						for name := range r.Header {
							if !yield(name) {
								return
							}
						}
					}), func(name string) bool { return strings.HasPrefix(name, "Handrail-") })
					if want := []string{"Authorization", "Content-Type", "Idempotency-Key", "Stripe-Signature", "X-Kept"}; !slices.Equal(names, want) {
						t.Errorf("headers %v, want %v", names, want)
					}
					if r.Header.Get("Stripe-Signature") != signature {
						t.Error("another signature")
					}
					if body, err := io.ReadAll(r.Body); err != nil || string(body) != stripeBody || r.ContentLength != int64(len(body)) {
						t.Errorf("body %q of %d, %v", body, r.ContentLength, err)
					}
				}))
				synctest.Wait()
				stop()
			})
		})
	}
}

// TestEndingsOfAnAttempt has one attempt of each kind.
func TestEndingsOfAnAttempt(t *testing.T) {
	for name, tt := range map[string]struct {
		next      http.HandlerFunc
		state     webhook.State
		maybe     bool
		status    int
		reason    string
		outcome   webhook.Outcome
		min, max  time.Duration // until it is due
		wantPanic bool
	}{
		"204 is done":              {next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, state: webhook.StateDone, outcome: "processed"},
		"nothing written is done":  {next: func(http.ResponseWriter, *http.Request) {}, state: webhook.StateDone, outcome: "processed"},
		"a discard status is dead": {next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, state: webhook.StateDead, status: 410, reason: "discarded", outcome: "dead"},
		"500 is retried, marked": {next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, state: webhook.StateRetry, maybe: true,
			status: 500, reason: "upstream_failed", outcome: "retry", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"a redirect is retried, marked": {next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, state: webhook.StateRetry, maybe: true,
			status: 302, reason: "upstream_failed", outcome: "retry", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"Retry-After of a 503 counts": {next: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "100"); w.WriteHeader(503) }, state: webhook.StateRetry, maybe: true,
			status: 503, reason: "upstream_failed", outcome: "retry", min: 100 * time.Second, max: 100 * time.Second},
		"as a date too": {next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(100*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}, state: webhook.StateRetry, maybe: true, status: 429, reason: "upstream_failed", outcome: "retry", min: 99 * time.Second, max: 100 * time.Second},
		"a shorter one does not": {next: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(503) }, state: webhook.StateRetry, maybe: true,
			status: 503, reason: "upstream_failed", outcome: "retry", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"nor one in the past": {next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(503)
		}, state: webhook.StateRetry, maybe: true, status: 503, reason: "upstream_failed", outcome: "retry", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"nor that of a 500": {next: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "100"); w.WriteHeader(500) }, state: webhook.StateRetry, maybe: true,
			status: 500, reason: "upstream_failed", outcome: "retry", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"nor more than LongestRetry": {next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "4000000000")
			w.WriteHeader(503)
		}, state: webhook.StateRetry, maybe: true,
			status: 503, reason: "upstream_failed", outcome: "retry", min: time.Hour, max: time.Hour},
		"never written is retried, unmarked": {next: func(w http.ResponseWriter, r *http.Request) {
			webhook.ReportNotWritten(r.Context())
			w.WriteHeader(502)
		}, state: webhook.StateRetry,
			reason: "upstream_unreachable", outcome: "not_written", min: 2500 * time.Millisecond, max: 5 * time.Second},
		"reported without an answer stays claimed": {next: func(w http.ResponseWriter, r *http.Request) { webhook.ReportNoAnswer(r.Context()); w.WriteHeader(200) }, state: webhook.StateClaimed, maybe: true,
			reason: "no_answer", outcome: "no_answer", min: 32500 * time.Millisecond, max: 35 * time.Second},
		"a panic stays claimed": {next: func(http.ResponseWriter, *http.Request) { panic("x") }, state: webhook.StateClaimed, maybe: true,
			reason: "no_answer", outcome: "no_answer", min: 32500 * time.Millisecond, max: 35 * time.Second, wantPanic: true},
		"a timeout stays claimed": {next: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, state: webhook.StateClaimed, maybe: true,
			reason: "no_answer", outcome: "no_answer", min: 12500 * time.Millisecond, max: 15 * time.Second},
		"an abandoned handler stays claimed": {next: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, state: webhook.StateClaimed, maybe: true,
			reason: "no_answer", outcome: "no_answer", min: 11500 * time.Millisecond, max: 14 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, inbox, ev := inboxed(t, nil)
				put(t, m, stripeBody)
				ended := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				go func() { defer close(ended); _ = m.Deliver(ctx, tt.next) }()
				synctest.Wait()
				cancel() // the attempt under way is waited for
				<-ended
				r := inbox.stripe()
				if r.State != tt.state || r.MaybeProcessed != tt.maybe || r.failure.Status != tt.status || r.failure.Reason != tt.reason {
					t.Errorf("record %+v after %+v", r.Record, r.failure)
				}
				if r.failure.After < tt.min || r.failure.After > tt.max {
					t.Errorf("due after %v, want %v to %v", r.failure.After, tt.min, tt.max)
				}
				e := ev.last(t)
				if e.Outcome != tt.outcome || !e.Inbox || e.UpstreamStatus != cmpStatus(tt.status, tt.outcome, e) {
					t.Errorf("event %+v", e)
				}
				var p *webhook.PanicError
				if errors.As(e.Err, &p) != tt.wantPanic {
					t.Errorf("error %v", e.Err)
				}
				time.Sleep(time.Minute) // until what was left behind is gone
			})
		})
	}
}

// cmpStatus is the status that the event must have: that of the failure, and
// any of a success.
func cmpStatus(failed int, o webhook.Outcome, e webhook.Event) int {
	if o == webhook.OutcomeProcessed {
		return e.UpstreamStatus
	}
	return failed
}

func TestAPutWakesDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, _ := inboxed(t, nil)
		called := make(chan time.Time, 1)
		delivering(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- time.Now() }))
		synctest.Wait() // it rests now
		start := time.Now()
		put(t, m, stripeBody)
		if at := <-called; at != start {
			t.Errorf("called after %v", at.Sub(start))
		}
	})
}

func TestAMessageOfAnotherProcessIsSeenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, _ := inboxed(t, nil)
		other, _ := build(t, func(c *webhook.Config) { c.Inbox = &webhook.InboxConfig{Store: inbox} })
		called := make(chan time.Time, 1)
		stop := delivering(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- time.Now() }))
		synctest.Wait()
		start := time.Now()
		put(t, other, stripeBody)
		if took := (<-called).Sub(start); took > time.Second {
			t.Errorf("called after %v", took)
		}
		time.Sleep(time.Hour)
		stop()
		if inbox.takes < 3600 || inbox.takes > 7300 {
			t.Errorf("asked %d times in an hour", inbox.takes)
		}
	})
}

func TestConcurrencyBoundsAttemptsAndASlowOneHoldsNoOtherUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, _ := inboxed(t, func(c *webhook.Config) { c.Inbox.Concurrency, c.Inbox.Timeout = 4, time.Hour })
		put(t, m, stripeEvent("slow"))
		for i := range 40 {
			put(t, m, stripeEvent(fmt.Sprint("evt_", i)))
		}
		var mu sync.Mutex
		running, most := 0, 0
		start := time.Now()
		stop := delivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			if r.Header.Get("Idempotency-Key") == "stripe/slow" {
				time.Sleep(30 * time.Minute)
			} else {
				time.Sleep(time.Second)
			}
			mu.Lock()
			running--
			mu.Unlock()
		}))
		time.Sleep(15 * time.Second)
		for i := range 40 {
			recordIs(t, inbox, fmt.Sprint("stripe/evt_", i), webhook.StateDone, 1, false)
		}
		recordIs(t, inbox, "stripe/slow", webhook.StateClaimed, 1, false)
		stop() // waits for the slow one
		recordIs(t, inbox, "stripe/slow", webhook.StateDone, 1, false)
		if most != 4 || time.Since(start) != 30*time.Minute {
			t.Errorf("%d at a time, for %v", most, time.Since(start))
		}
	})
}

func TestOrderIsKept(t *testing.T) {
	for name, order := range map[string]string{"of the body": "json:/data/customer", "of a header": "header:X-Customer"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, inbox, _ := inboxed(t, func(c *webhook.Config) { c.Inbox.Order = order })
				var want []string
				for i := range 10 {
					for _, customer := range []string{"a", "b"} {
						id := fmt.Sprint(customer, i)
						want = append(want, id)
						r := stripeRequest(`{"id":"` + id + `","data":{"customer":"` + customer + `"}}`)
						r.Header.Set("X-Customer", customer)
						answerIs(t, serve(m.Wrap(uncalled(t)), r), 200, `{"status":"accepted"}`, "accepted")
					}
				}
				var mu sync.Mutex
				var got []string
				failed := map[string]bool{}
				stop := delivering(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					d, _ := webhook.DeliveryFrom(r.Context())
					mu.Lock()
					defer mu.Unlock()
					if d.Event.ID == "a3" && !failed["a3"] {
						failed["a3"] = true
						w.WriteHeader(500)
						return
					}
					if d.Event.ID == "a5" { // dead, which does not hold up the next
						w.WriteHeader(410)
					}
					got = append(got, d.Event.ID)
				}))
				time.Sleep(time.Minute)
				stop()
				for _, customer := range []string{"a", "b"} {
					of := func(ids []string) []string {
						return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id[:1] != customer })
					}
					if !slices.Equal(of(got), of(want)) {
						t.Errorf("%v, want %v", of(got), of(want))
					}
				}
				recordIs(t, inbox, "stripe/b9", webhook.StateDone, 1, false)
			})
		})
	}
}

func TestTheNextInTheOrderDoesNotWaitForAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, inbox, _ := inboxed(t, func(c *webhook.Config) { c.Inbox.Order = "json:/type" })
		for i := range 10 {
			put(t, m, stripeEvent(fmt.Sprint("evt_", i)))
		}
		stop := delivering(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		synctest.Wait()
		recordIs(t, inbox, "stripe/evt_9", webhook.StateDone, 1, false)
		stop()
	})
}

func TestDeliverNeedsAnInbox(t *testing.T) {
	m, _ := build(t, nil)
	if err := m.Deliver(t.Context(), uncalled(t)); err == nil {
		t.Error("no error")
	}
}

func TestAnsweringFromTheInbox(t *testing.T) {
	digest := sha256.Sum256([]byte(stripeBody))
	req := webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour, BodyDigest: digest}
	claimed := func(i *fakeInbox) int64 {
		c, err := i.Claim(context.Background(), stripeKey, req)
		if err != nil || c.Status != webhook.Claimed {
			panic(fmt.Sprint(c, err))
		}
		return c.Fence
	}
	for name, tt := range map[string]struct {
		before     func(i *fakeInbox)
		status     int
		body, mark string
		outcome    webhook.Outcome
	}{
		"the key is new": {func(*fakeInbox) {}, 200, `{"status":"accepted"}`, "accepted", webhook.OutcomeAccepted},
		"it waits": {func(i *fakeInbox) {
			_, _ = i.Put(context.Background(), stripeKey, webhook.Stored{Route: "stripe"}, req)
		}, 200, `{"status":"duplicate"}`, "duplicate", webhook.OutcomeDuplicate},
		"it is done": {func(i *fakeInbox) { _ = i.Complete(context.Background(), stripeKey, claimed(i), nil) },
			200, `{"status":"duplicate"}`, "duplicate", webhook.OutcomeDuplicate},
		"it is dead": {func(i *fakeInbox) { _ = i.Kill(context.Background(), stripeKey, claimed(i)) },
			200, `{"status":"dead"}`, "dead", webhook.OutcomeDead},
		"a claim holds it": {func(i *fakeInbox) { claimed(i) }, 503, `{"error":"in_flight"}`, "in-flight", webhook.OutcomeInFlight},
		"a claim was given back": {func(i *fakeInbox) { _ = i.Release(context.Background(), stripeKey, claimed(i), true) },
			200, `{"status":"accepted"}`, "accepted", webhook.OutcomeAccepted},
		"the store fails": {func(i *fakeInbox) { i.fail = func(string, string) error { return errDown } },
			503, `{"error":"webhook_store_unavailable"}`, "", webhook.OutcomeStoreError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, inbox, ev := inboxed(t, nil)
				tt.before(inbox)
				answerIs(t, serve(m.Wrap(uncalled(t)), stripeRequest(stripeBody)), tt.status, tt.body, tt.mark)
				if e := ev.last(t); e.Outcome != tt.outcome {
					t.Errorf("event %+v", e)
				}
			})
		})
	}
	t.Run("a route that was an inbox before is answered that it waits", func(t *testing.T) {
		m, inbox, _ := inboxed(t, nil)
		put(t, m, stripeBody)
		sync, ev := build(t, func(c *webhook.Config) { c.Store = inbox })
		answerIs(t, serve(sync.Wrap(uncalled(t)), stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
		if e := ev.last(t); e.Outcome != webhook.OutcomeDuplicate {
			t.Errorf("event %+v", e)
		}
	})
}
