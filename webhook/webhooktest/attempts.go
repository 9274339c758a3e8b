package webhooktest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// answers are handlers that answer with a status, in full.
func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("said"))
	}
}

// unanswered are the ways for a handler to end without a complete answer.
var unanswered = map[string]http.HandlerFunc{
	"a handler that waits for its time to end": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"one that answers 200 when its time is over": func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusOK)
	},
	"one that answers 500 when its time is over": func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusInternalServerError)
	},
	"one that panics":             func(http.ResponseWriter, *http.Request) { panic("a bug") },
	"one that panics after a 200": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK); panic("a bug") },
	"one that cuts its answer off": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
	},
	"one that reports that no answer came": func(w http.ResponseWriter, r *http.Request) {
		webhook.ReportNoAnswer(r.Context())
		w.WriteHeader(http.StatusBadGateway)
	},
}

var attemptRules = []MiddlewareRule{
	middlewareRule("an event is claimed while it is handled, and done after", func(s *stage) {
		s.want("a first delivery", s.send(), http.StatusOK, "processed")
		if state := s.called("a first delivery", 1).state; state != webhook.StateClaimed {
			s.failf("while it is handled the event is %v, want claimed", state)
		}
		s.is("a first delivery", webhook.StateDone, 1, false)
	}),
	middlewareRule("without a complete answer the claim lasts until its lease ends, and the next attempt is marked", func(s *stage) {
		n := 0
		for what, next := range unanswered {
			s.jump(stageRetention + stageLease) // forgets the one before
			s.next = next
			n++
			s.want(what, s.send(), http.StatusGatewayTimeout, "")
			s.called(what, n)
			s.is(what, webhook.StateClaimed, 1, false)
			s.next = nil
			s.want(what+", and a copy", s.send(), http.StatusServiceUnavailable, "in-flight")
			s.called(what+", and a copy", n)
			s.jump(stageLease)
			n++
			s.want(what+", and a copy after the lease", s.send(), http.StatusOK, "processed")
			s.marked(what, s.called(what, n), 2)
			s.is(what, webhook.StateDone, 2, true)
		}
	}),
	middlewareRule("a complete answer other than 2xx gives the event back, marked as maybe processed", func(s *stage) {
		n := 0
		for _, status := range []int{302, 400, 404, 429, 500, 503} {
			what := fmt.Sprintf("a handler that answers %d", status)
			s.jump(stageRetention)
			s.next = answers(status)
			n++
			s.want(what, s.send(), http.StatusServiceUnavailable, "")
			s.is(what, webhook.StateRetry, 1, true)
			s.next = nil
			n++
			s.want(what+", and a retry", s.send(), http.StatusOK, "processed")
			s.marked(what, s.called(what, n), 2)
			s.is(what, webhook.StateDone, 2, true)
		}
	}),
	middlewareRule("a request that was never written gives the event back, unmarked", func(s *stage) {
		s.next = func(w http.ResponseWriter, r *http.Request) {
			webhook.ReportNotWritten(r.Context())
			w.WriteHeader(http.StatusBadGateway)
		}
		s.want("never written", s.send(), http.StatusServiceUnavailable, "")
		s.is("never written", webhook.StateRetry, 1, false)
		s.next = nil
		s.want("a retry", s.send(), http.StatusOK, "processed")
		if got := s.called("a retry", 2).header.Get("Handrail-Webhook-Maybe-Processed"); got != "" {
			s.failf("the retry is marked as maybe processed: %q", got)
		}
	}),
	middlewareRule("a status to discard makes the event dead, which is acknowledged and stays", func(s *stage) {
		s.next = answers(http.StatusGone)
		for range 3 {
			s.want("410", s.send(), http.StatusOK, "dead")
			s.called("410", 1)
			s.jump(stageLease)
		}
		s.is("410", webhook.StateDead, 1, false)
	}),
	middlewareRule("no 2xx unless the event is on record as done or dead", func(s *stage) {
		s.store.fails("complete")
		s.want("a completion that fails", s.send(), http.StatusServiceUnavailable, "")
		s.jump(stageLease)
		s.store.fails("kill")
		s.next = answers(http.StatusGone)
		s.want("a kill that fails", s.send(), http.StatusServiceUnavailable, "")
		s.marked("a kill that fails", s.called("both", 2), 2)
		s.jump(stageLease)
		s.store.fails("complete", "lookup")
		s.next = nil
		s.want("a completion and a look that fail", s.send(), http.StatusServiceUnavailable, "")
	}),
	middlewareRule("what answers after its lease changes nothing of the claim that came later", func(s *stage) {
		for what, tt := range map[string]struct {
			second int // what the later claim's handler answers; 0: none
			state  webhook.State
			status int
			mark   string
		}{
			"a later one is dead":          {http.StatusGone, webhook.StateDead, http.StatusOK, "dead"},
			"a later one is to retry":      {http.StatusInternalServerError, webhook.StateRetry, http.StatusServiceUnavailable, ""},
			"a later one is done":          {http.StatusOK, webhook.StateDone, http.StatusOK, "duplicate"},
			"a later one is still claimed": {0, webhook.StateClaimed, http.StatusServiceUnavailable, ""},
		} {
			s.jump(stageRetention + stageLease)
			first := true
			s.next = func(w http.ResponseWriter, r *http.Request) {
				switch {
				case first:
					first = false
					s.jump(stageLease)
					s.send()
				case tt.second == 0:
					panic("no answer")
				default:
					answers(tt.second)(w, r)
				}
			}
			s.want(what, s.send(), tt.status, tt.mark)
			s.is(what, tt.state, 2, true)
		}
	}),
	middlewareRule("what fails after its lease changes nothing of the claim that came later", func(s *stage) {
		first := true
		s.next = func(w http.ResponseWriter, _ *http.Request) {
			if !first {
				panic("no answer")
			}
			first = false
			s.jump(stageLease)
			s.send()
			w.WriteHeader(http.StatusInternalServerError)
		}
		s.want("the first", s.send(), http.StatusServiceUnavailable, "")
		s.is("the later one", webhook.StateClaimed, 2, true)
	}),
	middlewareRule("each attempt has the same key and a higher fence, whatever the client says of them", func(s *stage) {
		s.next = answers(http.StatusInternalServerError)
		for n := 1; n <= 4; n++ {
			s.serve(s.request(stageBody, http.Header{
				"Idempotency-Key": {"mine"}, "Idempotency_key": {"mine"}, "Handrail-Webhook-Fence": {"99"}, "Handrail-Webhook-Attempt": {"99"},
			}))
			got := s.called("an attempt", n).header
			for name, want := range map[string]string{
				"Idempotency-Key": stageKey, "Idempotency_key": "", "Handrail-Request-Verified": "hook",
				"Handrail-Webhook-Fence": fmt.Sprint(n), "Handrail-Webhook-Attempt": fmt.Sprint(n),
			} {
				if h := got[name]; len(h) > 1 || len(h) == 1 && h[0] != want || len(h) == 0 && want != "" {
					s.failf("attempt %d: %s is %q, want %q", n, name, h, want)
				}
			}
		}
	}),
	middlewareRule("a client that hangs up does not end the attempt", func(s *stage) {
		ctx, hangUp := context.WithCancel(s.ctx)
		s.next = func(w http.ResponseWriter, r *http.Request) {
			hangUp()
			select {
			case <-r.Context().Done():
				s.failf("the handler's context ended with the client's")
			case <-time.After(time.Second):
			}
			w.WriteHeader(http.StatusOK)
		}
		s.serve(s.request(stageBody, nil).WithContext(ctx))
		s.is("a client that hung up", webhook.StateDone, 1, false)
	}),
}

// marked wants a call to be of an attempt after one that may have had its effect.
func (s *stage) marked(what string, c call, attempt int) {
	number, mark := c.header.Get("Handrail-Webhook-Attempt"), c.header.Get("Handrail-Webhook-Maybe-Processed")
	if number != strconv.Itoa(attempt) || mark != "true" {
		s.failf("%s: the next attempt is %q, maybe processed %q; want %d, true", what, number, mark, attempt)
	}
}
