package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// TestOutcomes takes one first delivery through the middleware for each way a
// handler can end, and looks at the answer, the store and the event.
func TestOutcomes(t *testing.T) {
	for name, tt := range map[string]struct {
		next    http.HandlerFunc
		status  int
		body    string
		mark    string
		state   webhook.State
		maybe   bool
		outcome webhook.Outcome
	}{
		"200 with a body is passed on": {
			next:   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") },
			status: 200, body: "thanks", mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"201 keeps its status": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); fmt.Fprint(w, "made") },
			status: 201, body: "made", mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"204 becomes 200": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			status: 200, body: `{"status":"processed"}`, mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"an empty body becomes 200": {
			next:   func(http.ResponseWriter, *http.Request) {},
			status: 200, body: `{"status":"processed"}`, mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"an answer above 1 MiB counts by its status": {
			next: func(w http.ResponseWriter, _ *http.Request) {
				for range 17 {
					_, _ = w.Write(make([]byte, 64<<10))
				}
			},
			status: 200, body: `{"status":"processed"}`, mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"103 is not the answer": {
			next: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(103)
				w.WriteHeader(202)
				fmt.Fprint(w, "later")
			},
			status: 202, body: "later", mark: "processed", state: webhook.StateDone, outcome: webhook.OutcomeProcessed,
		},
		"a complete 500 is released, maybe processed": {
			next:   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh no", 500) },
			status: 503, body: `{"error":"upstream_failed"}`, state: webhook.StateRetry, maybe: true, outcome: webhook.OutcomeRetry,
		},
		"a complete 400 is released, maybe processed": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
			status: 503, body: `{"error":"upstream_failed"}`, state: webhook.StateRetry, maybe: true, outcome: webhook.OutcomeRetry,
		},
		"a redirect is released, maybe processed": {
			next:   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", 302) },
			status: 503, body: `{"error":"upstream_failed"}`, state: webhook.StateRetry, maybe: true, outcome: webhook.OutcomeRetry,
		},
		"101 is no success": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101) },
			status: 503, body: `{"error":"upstream_failed"}`, state: webhook.StateRetry, maybe: true, outcome: webhook.OutcomeRetry,
		},
		"410 is dead": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) },
			status: 200, body: `{"status":"dead"}`, mark: "dead", state: webhook.StateDead, outcome: webhook.OutcomeDead,
		},
		"never written is released, unmarked": {
			next: func(w http.ResponseWriter, r *http.Request) {
				webhook.ReportNotWritten(r.Context())
				w.WriteHeader(502)
			},
			status: 503, body: `{"error":"upstream_unreachable"}`, state: webhook.StateRetry, outcome: webhook.OutcomeNotWritten,
		},
		"never written wins over a 200": {
			next: func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "ok")
				webhook.ReportNotWritten(r.Context())
			},
			status: 503, body: `{"error":"upstream_unreachable"}`, state: webhook.StateRetry, outcome: webhook.OutcomeNotWritten,
		},
		"no answer keeps the claim": {
			next: func(w http.ResponseWriter, r *http.Request) {
				webhook.ReportNoAnswer(r.Context())
				w.WriteHeader(502)
			},
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"no answer wins over never written": {
			next: func(_ http.ResponseWriter, r *http.Request) {
				webhook.ReportNoAnswer(r.Context())
				webhook.ReportNotWritten(r.Context())
			},
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"a panic keeps the claim": {
			next:   func(http.ResponseWriter, *http.Request) { panic("bug") },
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"a panic after a 200 keeps the claim": {
			next:   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok"); panic("bug") },
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"an aborted answer keeps the claim": {
			next:   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "o"); panic(http.ErrAbortHandler) },
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"a body that was cut off keeps the claim": {
			next: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				fmt.Fprint(w, "half")
			},
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"an invalid status keeps the claim": {
			next:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) },
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
		"a handler that ends its goroutine keeps the claim": {
			next:   func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
			status: 504, body: `{"error":"gateway_timeout"}`, state: webhook.StateClaimed, outcome: webhook.OutcomeNoAnswer,
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory(t)
			m, ev := build(t, func(c *webhook.Config) { c.Store = store })
			res := serve(m.Wrap(tt.next), stripeRequest(stripeBody))
			answerIs(t, res, tt.status, tt.body, tt.mark)
			recordIs(t, store, stripeKey, tt.state, 1, tt.maybe)
			if got := ev.outcomes(); !slices.Equal(got, []webhook.Outcome{tt.outcome}) {
				t.Errorf("events %v, want %v", got, tt.outcome)
			}
			if (tt.status/100 == 2) != (tt.state == webhook.StateDone || tt.state == webhook.StateDead) {
				t.Errorf("answer %d for an event that is %v", tt.status, tt.state)
			}
		})
	}
}

func TestEventTellsWhatIsKnown(t *testing.T) {
	m, ev := build(t, nil)
	serve(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })), stripeRequest(stripeBody))
	e := ev.last(t)
	want := webhook.Event{
		Route: "stripe", Provider: "stripe", Outcome: webhook.OutcomeRetry, EventID: "evt_1", EventType: "invoice.paid",
		APIVersion: "2024-09-30.acacia", Attempt: 1, Fence: 1, UpstreamStatus: 500, Duration: e.Duration,
	}
	if e != want || e.Duration <= 0 {
		t.Errorf("event %+v, want %+v", e, want)
	}
	serve(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") })), stripeRequest(stripeBody))
	e = ev.last(t)
	if p, ok := errors.AsType[*webhook.PanicError](e.Err); !ok || p.Value != "bug" || !strings.Contains(string(p.Stack), "answers_test.go") {
		t.Errorf("the cause %v is not the panic with its stack", e.Err)
	}
	if e.Attempt != 2 || e.Fence != 2 || !e.MaybeProcessed {
		t.Errorf("event %+v, want attempt 2, maybe processed", e)
	}
}

func TestDuplicateIsAnsweredWithoutASecondCall(t *testing.T) {
	calls := 0
	m, ev := build(t, nil)
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; fmt.Fprint(w, "thanks") }))
	answerIs(t, serve(h, stripeRequest(stripeBody)), 200, "thanks", "processed")
	for range 3 {
		answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
	}
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
	if e := ev.last(t); e.Outcome != webhook.OutcomeDuplicate || e.Attempt != 1 || e.EventID != "evt_1" {
		t.Errorf("event %+v", e)
	}
}

func TestReplayedAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		next          http.HandlerFunc
		status        int
		body, content string
	}{
		"the stored answer": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(202)
				fmt.Fprint(w, "<Response/>")
			}, 202, "<Response/>", "application/xml"},
		"an empty answer as it was given": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 200, `{"status":"processed"}`, "application/json"},
		"one above 64 KiB is not kept": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<10+1)) }, 200, `{"status":"duplicate"}`, "application/json"},
		"an encoded one is not kept": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				fmt.Fprint(w, "zz")
			}, 200, `{"status":"duplicate"}`, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := build(t, func(c *webhook.Config) { c.ReplayAnswers = true })
			h := m.Wrap(tt.next)
			serve(h, stripeRequest(stripeBody))
			res := serve(h, stripeRequest(stripeBody))
			if got := res.Header.Get("Content-Type"); got != tt.content {
				t.Errorf("Content-Type %q, want %q", got, tt.content)
			}
			answerIs(t, res, tt.status, tt.body, "duplicate")
		})
	}
}

func TestDeadStaysDead(t *testing.T) {
	calls := 0
	m, ev := build(t, func(c *webhook.Config) { c.DiscardStatuses = []int{422} })
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(422) }))
	for range 2 {
		answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"dead"}`, "dead")
	}
	if calls != 1 || !slices.Equal(ev.outcomes(), []webhook.Outcome{webhook.OutcomeDead, webhook.OutcomeDead}) {
		t.Errorf("%d calls, events %v", calls, ev.outcomes())
	}
}

func TestNoDiscardStatusesMeansNone(t *testing.T) {
	m, _ := build(t, func(c *webhook.Config) { c.DiscardStatuses = []int{} })
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }))
	answerIs(t, serve(h, stripeRequest(stripeBody)), 503, `{"error":"upstream_failed"}`, "")
}

func TestRefusedBeforeStoreAndHandler(t *testing.T) {
	with := func(r *http.Request, change func(*http.Request)) *http.Request { change(r); return r }
	for name, tt := range map[string]struct {
		r       *http.Request
		status  int
		body    string
		outcome webhook.Outcome
		github  bool
	}{
		"GET": {r: httptest.NewRequest(http.MethodGet, "/hook", nil), status: 405, body: `{"error":"method_not_allowed"}`, outcome: webhook.OutcomeMethodNotAllowed},
		"PUT, signed": {r: with(stripeRequest(stripeBody), func(r *http.Request) { r.Method = http.MethodPut }),
			status: 405, body: `{"error":"method_not_allowed"}`, outcome: webhook.OutcomeMethodNotAllowed},
		"no signature": {r: with(stripeRequest(stripeBody), func(r *http.Request) { r.Header.Del("Stripe-Signature") }),
			status: 400, body: `{"error":"invalid_signature"}`, outcome: webhook.OutcomeInvalidSignature},
		"a flipped byte": {r: with(httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(strings.Replace(stripeBody, "paid", "pait", 1))),
			func(r *http.Request) { r.Header.Set("Stripe-Signature", stripeHeader(stripeBody, time.Now())) }),
			status: 400, body: `{"error":"invalid_signature"}`, outcome: webhook.OutcomeInvalidSignature},
		"a stale timestamp": {r: with(stripeRequest(stripeBody), func(r *http.Request) {
			r.Header.Set("Stripe-Signature", stripeHeader(stripeBody, time.Now().Add(-6*time.Minute)))
		}), status: 400, body: `{"error":"invalid_signature"}`, outcome: webhook.OutcomeInvalidSignature},
		"a body above the limit": {r: stripeRequest(strings.Repeat(" ", 4097)), status: 413, body: `{"error":"body_too_large"}`, outcome: webhook.OutcomeBodyTooLarge},
		"a body that ends early": {r: with(stripeRequest(stripeBody), func(r *http.Request) { r.Body = failingBody{} }),
			status: 400, body: `{"error":"incomplete_body"}`, outcome: webhook.OutcomeBodyIncomplete},
		"secrets that cannot be had": {github: true, r: with(githubRequest("1", "x"), func(r *http.Request) { r.Header.Set("X-Secret-Down", "1") }),
			status: 503, body: `{"error":"webhook_secret_unavailable"}`, outcome: webhook.OutcomeSecretUnavailable},
		"no event id": {github: true, r: githubRequest("", "x"), status: 400, body: `{"error":"no_event_id"}`, outcome: webhook.OutcomeNoEventID},
	} {
		t.Run(name, func(t *testing.T) {
			m, ev := build(t, func(c *webhook.Config) {
				c.MaxBodyBytes = 4096
				c.Store = untouchable{t: t}
				if tt.github {
					c.Verifier = githubLike{}
				}
			})
			res := serve(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })), tt.r)
			answerIs(t, res, tt.status, tt.body, "")
			if allow := res.Header.Get("Allow"); (allow == "POST") != (tt.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
			if got := ev.outcomes(); !slices.Equal(got, []webhook.Outcome{tt.outcome}) {
				t.Errorf("events %v, want %v", got, tt.outcome)
			}
			if e := ev.last(t); tt.outcome == webhook.OutcomeInvalidSignature && (e.Err == nil || e.SecretIndex != -1 || e.EventID != "") {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestProblemJSONWhenAsked(t *testing.T) {
	m, _ := build(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/hook", nil)
	r.Header.Set("Accept", "application/problem+json")
	res := serve(m.Wrap(http.NotFoundHandler()), r)
	if res.StatusCode != 400 || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text(t, res), `"code":"invalid_signature"`) {
		t.Errorf("answer %d %v", res.StatusCode, res.Header)
	}
}

func TestSameIDOtherBody(t *testing.T) {
	t.Run("is an ordinary duplicate when the signature covers the id", func(t *testing.T) {
		m, ev := build(t, nil)
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		serve(h, stripeRequest(stripeBody))
		changed := strings.Replace(stripeBody, "{", `{"pending_webhooks":1,`, 1)
		answerIs(t, serve(h, stripeRequest(changed)), 200, `{"status":"duplicate"}`, "duplicate")
		want := []webhook.Outcome{webhook.OutcomeProcessed, webhook.OutcomeBodyChanged, webhook.OutcomeDuplicate}
		if got := ev.outcomes(); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
	t.Run("is refused when it does not, in whatever state the event is", func(t *testing.T) {
		for _, status := range []int{200, 410, 500} {
			calls := 0
			m, ev := build(t, func(c *webhook.Config) { c.Verifier = githubLike{} })
			h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(status) }))
			serve(h, githubRequest("72d3162e", "one"))
			answerIs(t, serve(h, githubRequest("72d3162e", "two")), 400, `{"error":"id_reuse"}`, "")
			if e := ev.last(t); calls != 1 || e.Outcome != webhook.OutcomeIDReuse {
				t.Errorf("%d calls, event %+v", calls, e)
			}
		}
	})
}

func TestCopyInFlight(t *testing.T) {
	t.Run("is a duplicate when the first one ends in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _ := build(t, nil)
			h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(1500 * time.Millisecond) }))
			go serve(h, stripeRequest(stripeBody))
			synctest.Wait()
			start := time.Now()
			answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"duplicate"}`, "duplicate")
			if took := time.Since(start); took < 1500*time.Millisecond || took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	for _, tt := range []struct{ timeout, wait time.Duration }{{20 * time.Second, 2 * time.Second}, {3 * time.Second, 1500 * time.Millisecond}} {
		t.Run(fmt.Sprintf("is sent away after %v when the timeout is %v", tt.wait, tt.timeout), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, ev := build(t, func(c *webhook.Config) { c.Timeout = tt.timeout })
				ended := make(chan struct{})
				h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
				go func() {
					serve(h, stripeRequest(stripeBody))
					close(ended)
				}()
				synctest.Wait()
				start := time.Now()
				res := serve(h, stripeRequest(stripeBody))
				if took := time.Since(start); took != tt.wait {
					t.Errorf("took %v, want %v", took, tt.wait)
				}
				want := int((tt.timeout+10*time.Second-tt.wait)/time.Second) + 1 // of the lease, and at most one poll ago
				if got := res.Header.Get("Retry-After"); got != fmt.Sprint(want) && got != fmt.Sprint(want-1) {
					t.Errorf("Retry-After %s, want %d", got, want)
				}
				answerIs(t, res, 503, `{"error":"in_flight"}`, "in-flight")
				if e := ev.last(t); e.Outcome != webhook.OutcomeInFlight {
					t.Errorf("event %+v", e)
				}
				<-ended
			})
		})
	}
	t.Run("takes over when the first one is released", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			m, _ := build(t, nil)
			h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					time.Sleep(time.Second)
					w.WriteHeader(500)
				} else if r.Header.Get("Handrail-Webhook-Maybe-Processed") != "true" {
					t.Error("not marked")
				}
			}))
			go serve(h, stripeRequest(stripeBody))
			synctest.Wait()
			answerIs(t, serve(h, stripeRequest(stripeBody)), 200, `{"status":"processed"}`, "processed")
		})
	})
}
