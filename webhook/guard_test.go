package webhook_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// unsignedID is how the providers of the replay guard are made up.
type unsignedID struct {
	cfg         webhook.VerifierConfig
	id          string // the header
	contentType string
}

func unsignedIDs() map[string]unsignedID {
	cfg := func(provider string) webhook.VerifierConfig {
		c := webhook.VerifierConfig{Provider: provider, Secrets: []string{"secret"}}
		if provider == "twilio" {
			c.PublicURL = "https://example.com/hook"
		}
		return c
	}
	return map[string]unsignedID{
		"github":  {cfg("github"), "X-GitHub-Delivery", "application/json"},
		"shopify": {cfg("shopify"), "X-Shopify-Webhook-Id", "application/json"},
		"linear":  {cfg("linear"), "Linear-Delivery", "application/json"},
		"twilio":  {cfg("twilio"), "I-Twilio-Idempotency-Token", "application/x-www-form-urlencoded"},
	}
}

// request is a signed message under an id. Headers are names and values.
func (p unsignedID) request(t testing.TB, id, target, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Content-Type", p.contentType)
	r.Header.Set(p.id, id)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	signer, err := webhook.NewSigner(p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	h, err := signer.Sign(webhook.Message{Header: r.Header, Body: []byte(body), RawQuery: r.URL.RawQuery})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, h)
	return r
}

// guarded returns a route of the provider on an inbox in memory as its store.
func (p unsignedID) guarded(t testing.TB, change func(*webhook.Config)) (*webhook.Middleware, *fakeInbox, *events) {
	t.Helper()
	store := newFakeInbox()
	m, ev := build(t, func(c *webhook.Config) {
		c.Route, c.Verifier, c.Store = "hook", newVerifier(t, p.cfg), store
		if change != nil {
			change(c)
		}
	})
	return m, store, ev
}

func (p unsignedID) body() string {
	switch p.cfg.Provider {
	case "twilio":
		return "CallSid=CA1&From=%2B1"
	case "linear":
		return fmt.Sprintf(`{"type":"Issue","data":{"id":"d"},"webhookTimestamp":%d}`, time.Now().UnixMilli())
	}
	return `{"action":"opened"}`
}

// handler answers each call by the next status, the last one for ever, and says
// which attempt it was.
type handler struct {
	statuses []int
	calls    []string // the key, and "maybe" when that was said
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Header.Get("Idempotency-Key")
	if r.Header.Get("Handrail-Webhook-Maybe-Processed") != "" {
		call += " maybe"
	}
	h.calls = append(h.calls, call)
	status := h.statuses[min(len(h.calls), len(h.statuses))-1]
	if status == http.StatusBadGateway {
		webhook.ReportNotWritten(r.Context())
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "answer %d", len(h.calls))
}

func TestABodyIsHandledUnderOneID(t *testing.T) {
	for name, p := range unsignedIDs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, store, ev := p.guarded(t, nil)
				h := &handler{statuses: []int{200}}
				wrapped, body := m.Wrap(h), p.body()
				answerIs(t, serve(wrapped, p.request(t, "one", "/hook", body)), 200, "answer 1", "processed")
				again := `{"status":"duplicate"}`
				if name == "twilio" { // which uses the answer
					again = "answer 1"
				}
				for range 2 {
					answerIs(t, serve(wrapped, p.request(t, "two", "/hook", body)), 200, again, "duplicate")
				}
				if e := ev.all[1]; e.Err == nil || !strings.Contains(e.Err.Error(), `"one"`) {
					t.Errorf("event %+v does not name the first id", e)
				}
				want := []webhook.Outcome{webhook.OutcomeProcessed, webhook.OutcomeReplayed, webhook.OutcomeDuplicate}
				if got := ev.outcomes(); !slices.Equal(got, want) {
					t.Errorf("outcomes %v, want %v", got, want)
				}
				recordIs(t, store, "hook/two", webhook.StateDone, 1, false)
				if len(h.calls) != 1 {
					t.Errorf("calls %v", h.calls)
				}
				guards := 0
				for key := range store.all {
					if webhook.IsGuard(key) {
						guards++
					}
				}
				if guards != 1 || len(store.all) != 3 {
					t.Errorf("%d guards among %d keys", guards, len(store.all))
				}
			})
		})
	}
}

func TestWhoTakesABodyOver(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		ids      string // one letter for each message
		calls    []string
		outcomes []webhook.Outcome
	}{
		"an id that failed for good leaves its body, marked": {[]int{500, 200}, "ab", []string{"hook/a", "hook/b maybe"},
			[]webhook.Outcome{"retry", "processed"}},
		"one that was never written leaves it unmarked": {[]int{502, 200}, "ab", []string{"hook/a", "hook/b"},
			[]webhook.Outcome{"not_written", "processed"}},
		"the first one comes too late then": {[]int{500, 200}, "abaa", []string{"hook/a", "hook/b maybe"},
			[]webhook.Outcome{"retry", "processed", "replayed", "duplicate"}},
		"the first one may come again itself": {[]int{500, 200}, "aaba", []string{"hook/a", "hook/a maybe"},
			[]webhook.Outcome{"retry", "processed", "replayed", "duplicate"}},
		"a body that is dead is dead under any id": {[]int{410}, "abab", []string{"hook/a"},
			[]webhook.Outcome{"dead", "dead", "dead", "dead"}},
		"failures under many ids are marked throughout": {[]int{500}, "abca", []string{"hook/a", "hook/b maybe", "hook/c maybe", "hook/a maybe"},
			[]webhook.Outcome{"retry", "retry", "retry", "retry"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := unsignedIDs()["github"]
			m, _, ev := p.guarded(t, nil)
			h := &handler{statuses: tt.statuses}
			for _, id := range tt.ids {
				serve(m.Wrap(h), p.request(t, string(id), "/hook", p.body()))
			}
			if !slices.Equal(h.calls, tt.calls) || !slices.Equal(ev.outcomes(), tt.outcomes) {
				t.Errorf("calls %q with %v, want %q with %v", h.calls, ev.outcomes(), tt.calls, tt.outcomes)
			}
		})
	}
}

func TestManyCopiesUnderManyIDsHaveOneEffect(t *testing.T) {
	p := unsignedIDs()["github"]
	m, ev := build(t, func(c *webhook.Config) { c.Route, c.Verifier = "hook", newVerifier(t, p.cfg) })
	var calls atomic.Int64
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	var senders sync.WaitGroup
	for i := range 100 {
		senders.Go(func() { serve(h, p.request(t, fmt.Sprint(i/4), "/hook", "{}")) })
	}
	senders.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d calls, with %v", calls.Load(), ev.outcomes())
	}
}

func TestABodyInFlightIsWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		took       time.Duration
		status     int
		body, mark string
	}{
		"for a while, and then it is a duplicate": {time.Second, 200, `{"status":"duplicate"}`, "duplicate"},
		"and no longer than the answer may take":  {7 * time.Second, 503, `{"error":"in_flight"}`, "in-flight"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := unsignedIDs()["github"]
				m, store, _ := p.guarded(t, nil)
				calls := 0
				h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++; time.Sleep(tt.took) }))
				first := make(chan struct{})
				go func() {
					defer close(first)
					answerIs(t, serve(h, p.request(t, "one", "/hook", p.body())), 200, "*", "processed")
				}()
				synctest.Wait()
				answerIs(t, serve(h, p.request(t, "two", "/hook", p.body())), tt.status, tt.body, tt.mark)
				if tt.status == 503 {
					recordIs(t, store, "hook/two", webhook.StateRetry, 1, false)
				}
				<-first
				answerIs(t, serve(h, p.request(t, "two", "/hook", p.body())), 200, `{"status":"duplicate"}`, "duplicate")
				if calls != 1 {
					t.Errorf("%d calls", calls)
				}
			})
		})
	}
}

func TestWhatIsTheSameBody(t *testing.T) {
	linear := func(sent int, rest string) string {
		return fmt.Sprintf(`{"type":"Issue","webhookTimestamp":%d,"data":%q}`, time.Now().UnixMilli()+int64(sent), rest)
	}
	twilio := "CallSid=CA1&From=%2B1"
	for name, tt := range map[string]struct {
		provider       string
		first, second  string
		target         string   // of the second
		headers, again []string // of the first, the second
		remove         int      // the id header, of the first or of the second
		same           bool
		disabled       bool
	}{
		"Linear's with another time":                    {provider: "linear", first: linear(0, "x"), second: linear(7, "x"), same: true},
		"not Linear's with other data":                  {provider: "linear", first: linear(0, "x"), second: linear(0, "y")},
		"GitHub's, whatever event is said":              {provider: "github", first: "{}", second: "{}", headers: []string{"X-GitHub-Event", "push"}, again: []string{"X-GitHub-Event", "ping"}, same: true},
		"not Shopify's under another topic":             {provider: "shopify", first: "{}", second: "{}", headers: []string{"X-Shopify-Topic", "orders/create"}, again: []string{"X-Shopify-Topic", "orders/paid"}},
		"Shopify's under a topic in other letters":      {provider: "shopify", first: "{}", second: "{}", headers: []string{"X-Shopify-Topic", "orders/create"}, again: []string{"X-Shopify-Topic", "Orders/Create"}, same: true},
		"Twilio's in another order":                     {provider: "twilio", first: twilio, second: "From=%2B1&CallSid=CA1", same: true},
		"Twilio's in other escapes":                     {provider: "twilio", first: twilio, second: "CallSid=C%411&From=%2B1", same: true},
		"Twilio's with bytes moved between its fields":  {provider: "twilio", first: twilio, second: "CallSidC=A1&From=%2B1", same: true},
		"Twilio's without the token that is not signed": {provider: "twilio", first: twilio, second: twilio, remove: 2, same: true},
		"Twilio's with one that was not there":          {provider: "twilio", first: twilio, second: twilio, remove: 1, same: true},
		"not Twilio's with another query":               {provider: "twilio", first: twilio, second: twilio, target: "/hook?x=1"},
		"not when the guard is disabled":                {provider: "github", first: "{}", second: "{}", disabled: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := unsignedIDs()[tt.provider]
			m, store, _ := p.guarded(t, func(c *webhook.Config) { c.DisableReplayGuard = tt.disabled })
			h := &handler{statuses: []int{200}}
			target := "/hook"
			if tt.target != "" {
				target = tt.target
			}
			first, second := p.request(t, "one", "/hook", tt.first, tt.headers...), p.request(t, "two", target, tt.second, tt.again...)
			if tt.remove > 0 {
				[]*http.Request{first, second}[tt.remove-1].Header.Del(p.id)
			}
			serve(m.Wrap(h), first)
			answerIs(t, serve(m.Wrap(h), second), 200, "*",
				map[bool]string{true: "duplicate", false: "processed"}[tt.same])
			if tt.disabled && len(store.all) != 2 {
				t.Errorf("%d keys", len(store.all))
			}
		})
	}
}

// A retry of Linear has the id of the first attempt and a time of its own.
func TestARetryOfLinearIsTheSameEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := unsignedIDs()["linear"]
		m, _, ev := p.guarded(t, nil)
		h := &handler{statuses: []int{500, 200}}
		for range 3 {
			serve(m.Wrap(h), p.request(t, "one", "/hook", p.body()))
			time.Sleep(time.Hour)
		}
		want := []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeProcessed, webhook.OutcomeDuplicate}
		if got := ev.outcomes(); !slices.Equal(got, want) {
			t.Errorf("outcomes %v, want %v", got, want)
		}
	})
}

func TestATopicThatIsSaidTwiceIsRefused(t *testing.T) {
	p := unsignedIDs()["shopify"]
	m, store, ev := p.guarded(t, nil)
	r := p.request(t, "one", "/hook", "{}", "X-Shopify-Topic", "orders/create", "X-Shopify-Topic", "orders/create")
	answerIs(t, serve(m.Wrap(uncalled(t)), r), 400, `{"error":"no_event_id"}`, "")
	if len(store.all) != 0 || ev.last(t).Outcome != webhook.OutcomeNoEventID {
		t.Errorf("%d keys, event %+v", len(store.all), ev.last(t))
	}
}

func TestNoIDIsAGuard(t *testing.T) {
	p := unsignedIDs()["github"]
	m, store, ev := p.guarded(t, nil)
	h := &handler{statuses: []int{200}}
	serve(m.Wrap(h), p.request(t, "one", "/hook", "{}"))
	var guard string
	for key := range store.all {
		if webhook.IsGuard(key) {
			guard = strings.TrimPrefix(key, "hook/")
		}
	}
	answerIs(t, serve(m.Wrap(h), p.request(t, guard, "/hook", "{ }")), 200, "answer 2", "processed")
	if id := ev.last(t).EventID; !strings.HasPrefix(id, "sha256:") || webhook.IsGuard("hook/"+id) {
		t.Errorf("event id %q", id)
	}
	for _, key := range []string{"", "replay:", "hook", "hook/evt", "hook/x/replay:1", "replay:/x"} {
		if webhook.IsGuard(key) {
			t.Errorf("%q is a guard", key)
		}
	}
}

func TestASignedIDNeedsNoGuard(t *testing.T) {
	for name, s := range signings() {
		t.Run(name, func(t *testing.T) {
			provider := newVerifier(t, s.verify).Provider()
			if provider.ReplayGuard && !strings.Contains(name, provider.Name) {
				t.Fatalf("%s is %s", name, provider.Name)
			}
			if want := slices.Contains([]string{"github", "shopify", "linear", "twilio"}, provider.Name); provider.ReplayGuard != want {
				t.Errorf("%s has a guard: %t", provider.Name, provider.ReplayGuard)
			}
		})
	}
	// Where the id is chosen to be part of what is signed there is none either.
	p := unsignedIDs()["github"]
	p.cfg.ID = "json:/id"
	m, store, _ := p.guarded(t, nil)
	answerIs(t, serve(m.Wrap(&handler{statuses: []int{200}}), p.request(t, "one", "/hook", `{"id":"x"}`)), 200, "*", "processed")
	if len(store.all) != 1 {
		t.Errorf("%d keys", len(store.all))
	}
}

func TestTheGuardOfAnInbox(t *testing.T) {
	inboxed := func(c *webhook.Config) { c.Inbox = &webhook.InboxConfig{Store: c.Store.(*fakeInbox)} }
	p := unsignedIDs()["github"]
	accept := func(t *testing.T, m *webhook.Middleware, id, body string, status int, answer, mark string) {
		t.Helper()
		answerIs(t, serve(m.Wrap(uncalled(t)), p.request(t, id, "/hook", body)), status, answer, mark)
	}
	t.Run("a body that waits, is done or is dead is so under any id", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _, ev := p.guarded(t, inboxed)
			accept(t, m, "one", "{}", 200, `{"status":"accepted"}`, "accepted")
			accept(t, m, "two", "{}", 200, `{"status":"duplicate"}`, "duplicate")
			accept(t, m, "one", "{}", 200, `{"status":"duplicate"}`, "duplicate")
			h := &handler{statuses: []int{200, 410}}
			stop := delivering(t, m, h)
			synctest.Wait()
			accept(t, m, "three", "{}", 200, `{"status":"duplicate"}`, "duplicate")
			accept(t, m, "four", "{ }", 200, `{"status":"accepted"}`, "accepted")
			synctest.Wait()
			accept(t, m, "five", "{ }", 200, `{"status":"dead"}`, "dead")
			stop()
			want := []webhook.Outcome{"accepted", "replayed", "duplicate", "processed", "replayed", "accepted", "dead", "dead"}
			if got := ev.outcomes(); !slices.Equal(got, want) {
				t.Errorf("outcomes %v, want %v", got, want)
			}
			if want := []string{"hook/one", "hook/four"}; !slices.Equal(h.calls, want) {
				t.Errorf("calls %v, want %v", h.calls, want)
			}
		})
	})
	t.Run("a body in the inbox waits there after the route went back to sync mode", func(t *testing.T) {
		m, store, _ := p.guarded(t, inboxed)
		accept(t, m, "one", "{}", 200, `{"status":"accepted"}`, "accepted")
		sync, ev := build(t, func(c *webhook.Config) { c.Route, c.Verifier, c.Store = "hook", newVerifier(t, p.cfg), store })
		accept(t, sync, "two", "{}", 200, `{"status":"duplicate"}`, "duplicate")
		if e := ev.last(t); e.Outcome != webhook.OutcomeReplayed {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("an id that is on record takes no other body", func(t *testing.T) {
		m, store, ev := p.guarded(t, inboxed)
		accept(t, m, "one", "{}", 200, `{"status":"accepted"}`, "accepted")
		n := len(store.all)
		accept(t, m, "one", "{ }", 400, `{"error":"id_reuse"}`, "")
		if e := ev.last(t); e.Outcome != webhook.OutcomeIDReuse || len(store.all) != n {
			t.Errorf("event %+v with %d keys", e, len(store.all))
		}
		accept(t, m, "two", "{ }", 200, `{"status":"accepted"}`, "accepted")
	})
	t.Run("nor when two of its messages race", func(t *testing.T) {
		m, store, _ := p.guarded(t, inboxed)
		// The other message under the id is kept between the guard and Put.
		store.failAfter = func(step, key string) error {
			if step == "complete" && webhook.IsGuard(key) {
				store.all["hook/one"] = &fakeRecord{Record: webhook.Record{BodyDigest: webhook.Digest{1}, State: webhook.StateDone, Fence: 1}}
			}
			return nil
		}
		accept(t, m, "one", "{ }", 400, `{"error":"id_reuse"}`, "")
		store.failAfter = func(string, string) error { return nil }
		accept(t, m, "two", "{ }", 200, `{"status":"accepted"}`, "accepted")
	})
}
