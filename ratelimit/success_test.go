package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// failures counts what is not 303, one place an address.
func failures(edit ...func(*ratelimit.Policy)) ratelimit.Policy {
	return policy(append([]func(*ratelimit.Policy){func(p *ratelimit.Policy) {
		p.Limit, p.Count, p.SuccessStatuses = 1, ratelimit.Failures, []int{303}
	}}, edit...)...)
}

// inFrontOf returns the handler behind a middleware, and its events.
func inFrontOf(t *testing.T, cfg ratelimit.Config, h http.HandlerFunc) (http.Handler, *[]ratelimit.Event) {
	t.Helper()
	clock := ratelimittest.NewClock()
	cfg.Now = clock.Now
	var mu sync.Mutex
	events := new([]ratelimit.Event)
	cfg.OnEvent = func(e ratelimit.Event) {
		mu.Lock()
		defer mu.Unlock()
		*events = append(*events, e)
	}
	m, err := ratelimit.New(cfg)
	if err == nil {
		err = m.Close(t.Context()) // so that a refund is tried once
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Wrap(h), events
}

func TestWhatGivesAPlaceBack(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	says := func(code int, values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Handrail-Outcome"] = values
			w.WriteHeader(code)
		}
	}
	for _, tt := range []struct {
		rule   string
		h      http.HandlerFunc
		passes bool // the next request
	}{
		{"a status of success", status(303), true},
		{"another status", status(302), false},
		{"200, which many send for a failed sign-in", status(200), false},
		{"no status is 200", func(http.ResponseWriter, *http.Request) {}, false},
		{"a body alone is 200", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, false},
		{"the header says success", says(200, "success"), true},
		{"in any letter case, with blanks", says(200, " Success "), true},
		{"the header says failure, whatever the status", says(303, "failure"), false},
		{"failure wins over success", says(303, "success", "failure"), false},
		{"success after failure changes nothing", says(303, "failure", "success"), false},
		{"any other word is failure", says(303, "ok"), false},
		{"an empty word, too", says(303, ""), false},
		{"an error of the server keeps it", says(500, "success"), false},
		{"the header counts without WriteHeader", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Handrail-Outcome", "success")
		}, true},
		{"the header counts with a body alone", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Handrail-Outcome", "success")
			_, _ = io.WriteString(w, "x")
		}, true},
		{"the header counts with a flush alone", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Handrail-Outcome", "success")
			_ = http.NewResponseController(w).Flush()
		}, true},
		{"an informational answer is none", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(303)
		}, true},
		{"the first status counts", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			w.WriteHeader(303)
		}, false},
		{"ReportSuccess", func(_ http.ResponseWriter, r *http.Request) { ratelimit.ReportSuccess(r.Context()) }, true},
		{"ReportFailure", func(w http.ResponseWriter, r *http.Request) {
			ratelimit.ReportSuccess(r.Context())
			ratelimit.ReportFailure(r.Context())
			ratelimit.ReportSuccess(r.Context())
			w.WriteHeader(303)
		}, false},
		{"ReportHeader", func(_ http.ResponseWriter, r *http.Request) {
			ratelimit.ReportHeader(r.Context(), http.Header{"Handrail-Outcome": {"success"}})
		}, true},
		{"ReportHeader without the header", func(w http.ResponseWriter, r *http.Request) {
			ratelimit.ReportHeader(r.Context(), http.Header{})
			w.WriteHeader(303)
		}, true},
		{"a panic keeps it", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(303)
			panic(http.ErrAbortHandler)
		}, false},
		{"a client that left keeps it", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(303)
			r.Context().Value(cancelKey{}).(context.CancelFunc)()
		}, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h, _ := inFrontOf(t, one(failures()), tt.h)
			serve := func() *http.Response {
				ctx, cancel := context.WithCancel(t.Context())
				w := httptest.NewRecorder()
				defer func() { _ = recover() }()
				h.ServeHTTP(w, login().WithContext(context.WithValue(ctx, cancelKey{}, cancel)))
				return w.Result()
			}
			if first := serve(); first != nil && first.Header["Handrail-Outcome"] != nil {
				t.Errorf("the client sees %v", first.Header)
			}
			second := serve()
			if passed := second == nil || second.StatusCode != http.StatusTooManyRequests; passed != tt.passes {
				t.Errorf("the next request passed: %v, want %v", passed, tt.passes)
			}
		})
	}
}

type cancelKey struct{}

// Otherwise an app's word about one request could be the next one's.
func TestWithoutAPolicyThatCountsFailuresTheAnswerIsAsItWas(t *testing.T) {
	h, _ := inFrontOf(t, one(policy()), func(w http.ResponseWriter, r *http.Request) {
		ratelimit.ReportSuccess(r.Context())
		ratelimit.ReportHeader(r.Context(), http.Header{"Handrail-Outcome": {"success"}})
		w.Header().Set("Handrail-Outcome", "success")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, login())
	if got := w.Header().Get("Handrail-Outcome"); got != "success" {
		t.Errorf("Handrail-Outcome %q", got)
	}
}

func TestABurstOfGuessesDoesNotGetThroughBeforeItsAnswers(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	h, _ := inFrontOf(t, one(failures(func(p *ratelimit.Policy) { p.Limit = 3 })), func(w http.ResponseWriter, _ *http.Request) {
		enter <- struct{}{}
		<-leave
		w.WriteHeader(http.StatusSeeOther)
	})
	codes := make(chan int, 20)
	for range 20 {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, login())
			codes <- w.Code
		}()
	}
	for range 17 { // while three are in the handler
		if code := <-codes; code != http.StatusTooManyRequests {
			t.Fatalf("status %d while three are under way", code)
		}
	}
	for range 3 {
		<-enter
	}
	close(leave)
	for range 3 {
		if code := <-codes; code != http.StatusSeeOther {
			t.Errorf("status %d", code)
		}
	}
}

func TestOutcomesOfASuccess(t *testing.T) {
	h, events := inFrontOf(t, one(failures(), keyed("all", 9, "ip")), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusSeeOther)
	})
	h.ServeHTTP(httptest.NewRecorder(), login())
	var got []string
	for _, e := range *events {
		got = append(got, e.Policy+" "+string(e.Outcome))
	}
	if diff := cmp.Diff([]string{"auth allowed", "all allowed", "auth refunded"}, got); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
}

// A place that was taken locally is given back there, though the store answers
// again by then; one taken in the store stays taken when giving it back fails.
func TestAPlaceIsGivenBackWhereItWasTaken(t *testing.T) {
	f := newFailing(t)
	cfg := one(failures())
	cfg.Limiter = f
	var during func()
	h, events := inFrontOf(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		during()
		w.WriteHeader(http.StatusSeeOther)
	})
	serve := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, login())
		return w.Code
	}
	f.err = errDown
	during = func() { f.err = nil }
	if code := serve(); code != 303 {
		t.Fatalf("locally: status %d", code)
	}
	f.err = errDown
	during = func() {}
	if code := serve(); code != 303 {
		t.Errorf("after it was given back locally: status %d", code)
	}
	f.err = nil
	during = func() { f.refundErr = errDown }
	if code := serve(); code != 303 {
		t.Fatalf("in the store: status %d", code)
	}
	if last := (*events)[len(*events)-1]; last.Outcome != ratelimit.StoreError || !errors.Is(last.Cause, errDown) {
		t.Errorf("event %+v, want that of the store", last)
	}
	if code := serve(); code != 429 {
		t.Errorf("after it could not be given back: status %d", code)
	}
}

func TestTheWriterOfAFailurePolicyPassesOnWhatLiesBelow(t *testing.T) {
	srv := httptest.NewServer(nil)
	defer srv.Close()
	h, _ := inFrontOf(t, one(failures(func(p *ratelimit.Policy) { p.Limit = 9 })), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("hijack") {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_ = rw.Flush()
			return
		}
		if _, err := io.Copy(w, strings.NewReader("streamed")); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})
	srv.Config.Handler = h
	res, err := http.Post(srv.URL+"/login", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || !bytes.Equal(body, []byte("streamed")) {
		t.Errorf("%q, %v", body, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/login?hijack", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err = http.DefaultTransport.RoundTrip(req); err != nil || res.StatusCode != 101 {
		t.Errorf("%v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
}

func TestCountIsChecked(t *testing.T) {
	for _, tt := range []struct {
		rule, field string
		edit        func(*ratelimit.Policy)
	}{
		{"an unknown word", "Policies[0].Count", func(p *ratelimit.Policy) { p.Count = "errors" }},
		{"failures need statuses", "Policies[0].SuccessStatuses", func(p *ratelimit.Policy) { p.Count = ratelimit.Failures }},
		{"statuses need failures", "Policies[0].SuccessStatuses", func(p *ratelimit.Policy) { p.SuccessStatuses = []int{200} }},
		{"an error is no success", "Policies[0].SuccessStatuses[1]", func(p *ratelimit.Policy) {
			p.Count, p.SuccessStatuses = ratelimit.Failures, []int{200, 500}
		}},
		{"an informational status is no answer", "Policies[0].SuccessStatuses[0]", func(p *ratelimit.Policy) {
			p.Count, p.SuccessStatuses = ratelimit.Failures, []int{101}
		}},
		{"a network to deny that is none", "Policies[0].Deny", func(p *ratelimit.Policy) { p.Deny = []string{"nowhere"} }},
		{"an algorithm that is none", "Policies[0].Algorithm", func(p *ratelimit.Policy) { p.Algorithm = "leaky" }},
		{"a burst without GCRA", "Policies[0].Burst", func(p *ratelimit.Policy) { p.Burst = 3 }},
		{"a limit too large for an exact window", "Policies[0].Limit", func(p *ratelimit.Policy) { p.Limit = 513 }},
		{"a tier below the limit", "Policies[0].Lockout[0].Count", func(p *ratelimit.Policy) {
			p.Lockout = []ratelimit.Tier{{Count: 7, Window: p.Window, Block: p.Window}}
		}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := ratelimit.New(one(policy(tt.edit)))
			bad, ok := errors.AsType[*ratelimit.ConfigError](err)
			if !ok || bad.Field != tt.field {
				t.Errorf("error %v, want one of %s", err, tt.field)
			}
		})
	}
}
