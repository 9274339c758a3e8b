package webhooktest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var onceRules = []MiddlewareRule{
	middlewareRule("of 100 copies at once one is handled", func(s *stage) {
		s.next = func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }
		requests := make([]*http.Request, copies)
		for i := range requests {
			requests[i] = s.request(stageBody, nil)
		}
		got := make([]reply, copies)
		together(copies, func(i int) { got[i] = s.serve(requests[i]) })
		s.called("100 copies", 1)
		counts := make(map[string]int)
		for _, r := range got {
			counts[fmt.Sprint(r.status, " ", r.mark)]++
		}
		if counts["200 processed"] != 1 || counts["200 duplicate"]+counts["503 in-flight"] != copies-1 {
			s.failf("the answers are %v, want one processed, and the others duplicates or in flight", counts)
		}
	}),
	middlewareRule("a copy of an event that is being handled is not acknowledged", func(s *stage) {
		s.next = func(http.ResponseWriter, *http.Request) { time.Sleep(stageTimeout - time.Second) }
		ended := make(chan reply)
		go func() { ended <- s.send() }()
		time.Sleep(time.Second)
		s.want("a copy", s.send(), http.StatusServiceUnavailable, "in-flight")
		s.called("a copy", 1)
		s.want("the first", <-ended, http.StatusOK, "processed")
	}),
	middlewareRule("done is done until its retention ends, long after its lease", func(s *stage) {
		s.want("a first delivery", s.send(), http.StatusOK, "processed")
		for _, after := range []time.Duration{0, stageLease - time.Second, 2 * time.Second, stageRetention - stageLease - 2*time.Second} {
			s.jump(after)
			s.want(fmt.Sprintf("a copy %v later", after), s.send(), http.StatusOK, "duplicate")
		}
		s.called("copies", 1)
	}),
	middlewareRule("another body under an id that is signed is the same event", func(s *stage) {
		s.want("a first delivery", s.send(), http.StatusOK, "processed")
		s.want("another body", s.serve(s.request(`{"id":"evt_1","type":"t","pending":1}`, nil)), http.StatusOK, "duplicate")
		s.called("another body", 1)
	}),
	middlewareRule("another body under an id that is not signed is refused, whatever became of the first", func(s *stage) {
		s.sends("github")
		header := http.Header{"X-Github-Delivery": {stageID}}
		n := 0
		for _, status := range []int{200, 410, 500} {
			s.jump(stageRetention)
			s.next = answers(status)
			n++
			s.serve(s.request(`{"a":1}`, header))
			s.want(fmt.Sprintf("after a %d", status), s.serve(s.request(`{"a":2}`, header)), http.StatusBadRequest, "")
			s.called("another body", n)
		}
	}),
	middlewareRule("a body that came under an id that is not signed is not handled under another", func(s *stage) {
		s.sends("github")
		s.serve(s.request(`{"a":1}`, http.Header{"X-Github-Delivery": {stageID}}))
		s.want("another id", s.serve(s.request(`{"a":1}`, http.Header{"X-Github-Delivery": {"evt_2"}})), http.StatusOK, "duplicate")
		s.called("another id", 1)
	}),
	middlewareRule("the handler gets the bytes that were sent", func(s *stage) {
		n := 0
		for what, body := range oddBodies() {
			n++
			s.want(what, s.serve(s.request(body, nil)), http.StatusOK, "processed")
			if got := s.called(what, n).body; sha256.Sum256(got) != sha256.Sum256([]byte(body)) {
				s.failf("%s: the handler got %q, sent was %q", what, got, body)
			}
		}
	}),
}

// refused wants a request to be refused before the store and the handler.
func (s *stage) refused(what string, r *http.Request, status int) {
	before := s.store.taken()
	if got := s.serve(r); got.status != status || got.mark != "" {
		s.failf("%s: the answer is %v, want %d", what, got, status)
	}
	if n := s.store.taken(); n != before {
		s.failf("%s: it took %d steps of the store", what, n-before)
	}
	s.called(what, 0)
}

var refusalRules = []MiddlewareRule{
	middlewareRule("what the provider did not sign touches neither store nor handler", func(s *stage) {
		unsigned := s.request(stageBody, nil)
		unsigned.Header.Del("Stripe-Signature")
		s.refused("no signature", unsigned, http.StatusBadRequest)
		for what, body := range map[string]string{
			"another byte":       strings.Replace(stageBody, "1.0", "2.0", 1),
			"the same JSON anew": `{"amount":1,"id":"evt_1","type":"t"}`,
			"a newline more":     stageBody + "\n",
			"no body":            "",
		} {
			r := s.request(body, nil)
			r.Header.Set("Stripe-Signature", s.request(stageBody, nil).Header.Get("Stripe-Signature"))
			s.refused(what, r, http.StatusBadRequest)
		}
		other, err := webhook.NewSigner(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"whsec_another"}})
		if err != nil {
			s.failf("%w", err)
			return
		}
		s.signer = other
		s.refused("another secret", s.request(stageBody, nil), http.StatusBadRequest)
	}),
	middlewareRule("what was signed long ago, or in the future, touches neither store nor handler", func(s *stage) {
		for _, age := range []time.Duration{6 * time.Minute, 48 * time.Hour} {
			r := s.request(stageBody, nil)
			time.Sleep(age)
			s.refused(fmt.Sprintf("signed %v ago", age), r, http.StatusBadRequest)
		}
		now := time.Now()
		time.Sleep(time.Hour)
		ahead := s.request(stageBody, nil)
		s.cfg.Now = func() time.Time { return now }
		s.start()
		s.refused("signed an hour ahead", ahead, http.StatusBadRequest)
	}),
	middlewareRule("a byte more than the limit is refused as too large", func(s *stage) {
		body := stageBody + strings.Repeat(" ", int(s.cfg.MaxBodyBytes)-len(stageBody))
		s.refused("a byte more", s.request(body+" ", nil), http.StatusRequestEntityTooLarge)
		chunked := s.request(body+" ", nil)
		chunked.ContentLength = -1
		s.refused("a byte more, of unknown length", chunked, http.StatusRequestEntityTooLarge)
		s.want("exactly the limit", s.serve(s.request(body, nil)), http.StatusOK, "processed")
	}),
	middlewareRule("other methods than POST are refused", func(s *stage) {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
			r := s.request(stageBody, nil)
			r.Method = method
			s.refused(method, r, http.StatusMethodNotAllowed)
		}
	}),
	middlewareRule("without the store nothing is handled, and the provider is to come again", func(s *stage) {
		s.store.fails("claim")
		s.want("a store that is down", s.send(), http.StatusServiceUnavailable, "")
		s.called("a store that is down", 0)
		s.store.fails()
		s.want("a store that is back", s.send(), http.StatusOK, "processed")
	}),
}
