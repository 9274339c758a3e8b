package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// routeOf is a middleware for a provider of signings, with a count of calls.
func routeOf(t *testing.T, s signing) (http.Handler, *int) {
	t.Helper()
	m, _ := build(t, func(c *webhook.Config) { c.Route, c.Verifier = "hook", newVerifier(t, s.verify) })
	calls := new(int)
	return m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { *calls++ })), calls
}

func TestRefusalsHaveTheStatusThatTheProviderTakesWell(t *testing.T) {
	for name, want := range map[string]int{"stripe": 400, "github": 400, "discord": 401, "gitlab, secret token": 503} {
		h, calls := routeOf(t, signings()[name])
		for _, headers := range []http.Header{{}, {signings()[name].signature: {"x"}}} {
			r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader("{}"))
			r.Header = headers
			res := serve(h, r)
			answerIs(t, res, want, `{"error":"invalid_signature"}`, "")
		}
		if *calls != 0 {
			t.Errorf("%s: the handler was called", name)
		}
	}
}

func TestWhatHasNoIDIsHandledAsOftenAsItComes(t *testing.T) {
	s := signings()["slack"]
	h, calls := routeOf(t, s)
	for range 3 {
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader("command=%2Fx"))
		webhooktest.Sign(t, s.sign, r)
		answerIs(t, serve(h, r), 200, "*", "processed")
	}
	if *calls != 3 {
		t.Errorf("%d calls", *calls)
	}
}

func TestTheQueryOfARequestReachesTheVerifier(t *testing.T) {
	s := signings()["square"]
	h, calls := routeOf(t, s)
	r := httptest.NewRequest(http.MethodPost, "/hook?a=b%20c&d", strings.NewReader(`{"event_id":"1"}`))
	webhooktest.Sign(t, s.sign, r)
	answerIs(t, serve(h, r), 200, "*", "processed")
	if *calls != 1 {
		t.Errorf("%d calls", *calls)
	}
}
