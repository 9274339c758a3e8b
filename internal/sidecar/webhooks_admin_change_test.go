package sidecar_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/webhook"
)

func TestAChangeByKey(t *testing.T) {
	for _, tt := range []struct {
		rule, path, key string
		status          int
		want            string // outcome or code
		then            string // state
		wakes           bool
	}{
		{"a dead one with its message is due", sidecar.WebhookReplayPath, "stripe/evt_dead", 200, "due", "waiting", true},
		{"a dead one without awaits its provider", sidecar.WebhookReplayPath, "stripe/evt_dead_without", 200, "awaits_provider", "retry", false},
		{"one that waits is due at once", sidecar.WebhookReplayPath, "stripe/evt_waiting", 200, "due", "waiting", true},
		{"one in a store that its route has not any more is not delivered", sidecar.WebhookReplayPath, "github/1", 200, "no_route", "waiting", false},
		{"nor is one of a route that has not mode inbox any more", sidecar.WebhookReplayPath, "sync/1", 200, "no_route", "waiting", false},
		{"one to retry needs no replay", sidecar.WebhookReplayPath, "stripe/evt_retry", 409, "the delivery is retry: ", "retry", false},
		{"nor does one that is under way", sidecar.WebhookReplayPath, "stripe/evt_claimed", 409, "the delivery is claimed: ", "claimed", false},
		{"one that is done is not attempted again", sidecar.WebhookReplayPath, "stripe/evt_done", 409, "wrong_state", "done", false},
		{"there is no such key", sidecar.WebhookReplayPath, "stripe/evt_", 404, "unknown_delivery", "", false},
		{"a guard is no delivery", sidecar.WebhookReplayPath, "github/replay:" + strings.Repeat("0", 64), 404, "unknown_delivery", "", false},

		{"what is kept of a dead one is deleted", sidecar.WebhookPurgePath, "stripe/evt_dead", 200, "deleted", "dead", false},
		{"what waits is dead then", sidecar.WebhookPurgePath, "stripe/evt_waiting", 200, "deleted", "dead", false},
		{"what is to be retried as well", sidecar.WebhookPurgePath, "stripe/evt_retry", 200, "stopped", "dead", false},
		{"where nothing is kept nothing changes", sidecar.WebhookPurgePath, "stripe/evt_dead_without", 200, "nothing_kept", "dead", false},
		{"what is under way is left alone", sidecar.WebhookPurgePath, "stripe/evt_claimed", 409, "wrong_state", "claimed", false},
		{"what is done stays done", sidecar.WebhookPurgePath, "stripe/evt_done", 409, "wrong_state", "done", false},
	} {
		t.Run(tt.path+": "+tt.rule, func(t *testing.T) {
			sqlite := ofEachState()
			sqlite.entries["sync/1"] = entry("sync/1", webhook.StateDead, true)
			a := adminOver(t, "stripe sqlite sync sqlite github memory", map[string]webhook.Store{"sqlite": sqlite, "memory": newMemory(t)})
			status, body := a.ask("POST", tt.path, fmt.Sprintf(`{"key":%q}`, tt.key))
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %s, want %d with %q", status, body, tt.status, tt.want)
			}
			if changed := strings.Contains(body, `"changed": 1`); changed != (status == 200 && tt.want != "nothing_kept") {
				t.Errorf("it says %s", body)
			}
			if (a.woken > 0) != tt.wakes {
				t.Errorf("deliveries were woken %d times", a.woken)
			}
			if logged := strings.Contains(a.log.String(), "by hand"); logged != (status == 200) {
				t.Errorf("log %s", a.log.String())
			}
			if tt.then == "" {
				return
			}
			var now sidecar.WebhookDelivery
			a.into(&now, "GET", sidecar.WebhookDeliveryPath+"?key="+url.QueryEscape(tt.key), "")
			if now.State != tt.then {
				t.Errorf("it is %s then, want %s", now.State, tt.then)
			}
		})
	}
}

// deadOnes are n of each kind of delivery that is dead, the second half later.
func deadOnes(n int) *operated {
	o := newOperated()
	for i := range n {
		for _, kept := range []bool{true, false} {
			e := entry(fmt.Sprintf("stripe/evt_%04d_%v", i, kept), webhook.StateDead, kept)
			if e.Updated = time.Now().Add(-time.Hour); i < n/2 {
				e.Updated = time.Now().Add(-100 * time.Hour)
			}
			o.entries[e.Key] = e
		}
	}
	other := entry("github/1", webhook.StateDead, true)
	o.entries[other.Key] = other
	return o
}

// changes follows the answers to a change of a route to their end.
func (a *adminAPI) changes(path, more string) (outcomes map[string]int, answers int) {
	a.t.Helper()
	outcomes = map[string]int{}
	seen := map[string]bool{}
	for after := ""; ; answers++ {
		var out sidecar.WebhooksChanged
		a.into(&out, "POST", path, fmt.Sprintf(`{"route":"stripe","state":"dead","after":%q%s}`, after, more))
		for _, d := range out.Deliveries {
			if seen[d.Key] || d.Store != "sqlite" {
				a.t.Errorf("%v is changed twice, or elsewhere", d)
			}
			seen[d.Key] = true
			outcomes[d.Outcome]++
		}
		if out.Changed != len(out.Deliveries) {
			a.t.Errorf("%d are changed, it tells %d", out.Changed, len(out.Deliveries))
		}
		if after = out.After; after == "" {
			return outcomes, answers + 1
		}
	}
}

func TestAChangeByRoute(t *testing.T) {
	const n = 700
	for _, tt := range []struct {
		rule, path, more string
		want             map[string]int
		answers          int // at least
		dead             int // of 2n
		wakes            bool
	}{
		{"all dead ones are replayed", sidecar.WebhookReplayPath, "", map[string]int{"due": n, "awaits_provider": n}, 2, 0, true},
		{"so many at a time", sidecar.WebhookReplayPath, `,"limit":70`, map[string]int{"due": n, "awaits_provider": n}, 20, 0, true},
		{"what is kept is deleted", sidecar.WebhookPurgePath, "", map[string]int{"deleted": n}, 1, 2 * n, false},
		{"of those that are dead long enough", sidecar.WebhookPurgePath, `,"older_than":"72h"`, map[string]int{"deleted": n / 2}, 1, 2 * n, false},
		{"none is", sidecar.WebhookPurgePath, `,"older_than":"720h"`, map[string]int{}, 1, 2 * n, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			sqlite := deadOnes(n)
			a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": sqlite, "postgres": newOperated()})
			got, answers := a.changes(tt.path, tt.more)
			if diff := cmp.Diff(tt.want, got); diff != "" || answers < tt.answers {
				t.Errorf("%d answers (-want +got):\n%s", answers, diff)
			}
			dead := 0
			for key, e := range sqlite.entries {
				if strings.HasPrefix(key, "stripe/") && e.State == webhook.StateDead {
					dead++
				}
			}
			if dead != tt.dead || sqlite.entries["github/1"].Kept == nil || sqlite.entries["github/1"].State != webhook.StateDead {
				t.Errorf("%d are dead, want %d; of another route %v", dead, tt.dead, sqlite.entries["github/1"])
			}
			if (a.woken > 0) != tt.wakes {
				t.Errorf("deliveries were woken %d times", a.woken)
			}
		})
	}
}

// A message that is dead again, because the app refuses it, is replayed once.
func TestAReplayOfARouteComesToAnEnd(t *testing.T) {
	sqlite := newOperated()
	for i := range 120 {
		e := entry(fmt.Sprintf("stripe/evt_%03d", i), webhook.StateDead, true)
		sqlite.entries[e.Key] = e
	}
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": sqlite})
	for range 3 {
		outcomes, _ := a.changes(sidecar.WebhookReplayPath, `,"limit":50`)
		if outcomes["due"] != 120 {
			t.Errorf("outcomes %v", outcomes)
		}
		for key, e := range sqlite.entries {
			e.State = webhook.StateDead
			sqlite.entries[key] = e
		}
	}
}

func TestAStoreThatFailsInTheMiddleOfAChange(t *testing.T) {
	sqlite := deadOnes(100)
	left := 7
	sqlite.fails = func() error {
		if left--; left < 0 {
			return errors.New("disk full")
		}
		return nil
	}
	a := adminOver(t, "stripe sqlite acme memory", map[string]webhook.Store{"sqlite": sqlite, "memory": newMemory(t)})
	var out sidecar.WebhooksChanged
	a.into(&out, "POST", sidecar.WebhookReplayPath, `{"route":"stripe","state":"dead"}`)
	if want := []sidecar.StoreError{{Store: "sqlite", Error: "disk full"}}; out.Changed != 7 || !slices.Equal(out.Errors, want) {
		t.Errorf("%d are changed, errors %v", out.Changed, out.Errors)
	}
	if status, body := a.ask("POST", sidecar.WebhookReplayPath, `{"route":"stripe","state":"dead"}`); status != 503 {
		t.Errorf("nothing was changed: %d %s", status, body)
	}
}

// While one store hangs, the routes of another are looked after.
func TestAChangeWaitsForNoOtherStore(t *testing.T) {
	hung := newOperated()
	hung.err = errors.New("connection refused")
	a := adminOver(t, "stripe sqlite github postgres", map[string]webhook.Store{"sqlite": deadOnes(10), "postgres": hung})
	if outcomes, _ := a.changes(sidecar.WebhookReplayPath, ""); outcomes["due"] != 10 {
		t.Errorf("outcomes %v", outcomes)
	}
}

func TestWhatTheAPIOfDeliveriesRefuses(t *testing.T) {
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": ofEachState()})
	const replay, purge = sidecar.WebhookReplayPath, sidecar.WebhookPurgePath
	for _, tt := range []struct {
		rule, method, target, body string
		status                     int
		code                       string
	}{
		{"a limit of none", "GET", "?limit=0", "", 400, "bad_request"},
		{"a limit below", "GET", "?limit=-1", "", 400, "bad_request"},
		{"a huge limit", "GET", "?limit=1001", "", 400, "bad_request"},
		{"a limit beyond any number", "GET", "?limit=99999999999999999999", "", 400, "bad_request"},
		{"no number", "GET", "?limit=all", "", 400, "bad_request"},
		{"a state that is none", "GET", "?state=absent", "", 400, "bad_request"},
		{"a parameter that is not known", "GET", "?rout=stripe", "", 400, "bad_request"},
		{"a parameter twice", "GET", "?state=dead&state=done", "", 400, "bad_request"},
		{"a query that is none", "GET", "?route=%zz", "", 400, "bad_request"},
		{"an after that nobody said", "GET", "?after=xyz", "", 400, "bad_after"},
		{"an after of a store that is none", "GET", "?after=bXlzcWw6YQ", "", 400, "bad_after"},
		{"a route that there is not", "GET", "?route=nobody", "", 404, "unknown_route"},
		{"a delivery without a key", "GET", "/delivery", "", 400, "bad_request"},
		{"a delivery that is not there", "GET", "/delivery?key=stripe/evt_", "", 404, "unknown_delivery"},
		{"a guard", "GET", "/delivery?key=github/replay:" + strings.Repeat("0", 64), "", 404, "unknown_delivery"},
		{"a message of a done one", "GET", "/message?key=stripe/evt_done", "", 404, "no_message"},
		{"a message that is not there", "GET", "/message?key=stripe/evt_", "", 404, "unknown_delivery"},
		{"half a message", "GET", "/message?key=stripe/evt_dead&body=half", "", 400, "bad_request"},
		{"a replay by GET", "GET", "/replay", "", 405, ""},
		{"a list by POST", "POST", "", "", 405, ""},
		{"a message by POST", "POST", "/message", "{}", 405, ""},
		{"a deletion", "DELETE", "/delivery?key=stripe/evt_dead", "", 405, ""},

		{"no body", "POST", replay, "", 400, "bad_request"},
		{"null", "POST", replay, "null", 400, "bad_request"},
		{"a list", "POST", replay, `[{"key":"stripe/evt_dead"}]`, 400, "bad_request"},
		{"neither key nor route", "POST", replay, `{}`, 400, "bad_request"},
		{"both", "POST", replay, `{"key":"stripe/evt_dead","route":"stripe","state":"dead"}`, 400, "bad_request"},
		{"a key with a limit", "POST", replay, `{"key":"stripe/evt_dead","limit":1}`, 400, "bad_request"},
		{"a route without a state", "POST", replay, `{"route":"stripe"}`, 400, "bad_request"},
		{"a route in another state", "POST", replay, `{"route":"stripe","state":"waiting"}`, 400, "bad_request"},
		{"a state without a route", "POST", replay, `{"state":"dead"}`, 400, "bad_request"},
		{"a limit that is text", "POST", replay, `{"route":"stripe","state":"dead","limit":"1"}`, 400, "bad_request"},
		{"a limit that is no whole number", "POST", replay, `{"route":"stripe","state":"dead","limit":1.5}`, 400, "bad_request"},
		{"a limit below none", "POST", replay, `{"route":"stripe","state":"dead","limit":-1}`, 400, "bad_request"},
		{"a limit that is huge", "POST", replay, `{"route":"stripe","state":"dead","limit":1001}`, 400, "bad_request"},
		{"a key that is a number", "POST", replay, `{"key":1}`, 400, "bad_request"},
		{"a member that is not known", "POST", replay, `{"key":"stripe/evt_dead","older_than":"1h"}`, 400, "bad_request"},
		{"a member twice", "POST", replay, `{"key":"stripe/evt_done","key":"stripe/evt_dead"}`, 400, "bad_request"},
		{"a member in another letter case", "POST", replay, `{"Key":"stripe/evt_dead"}`, 400, "bad_request"},
		{"something behind", "POST", replay, `{"key":"stripe/evt_dead"} {}`, 400, "bad_request"},
		{"a long body", "POST", replay, `{"key":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "body_too_large"},
		{"a long key", "POST", replay, `{"key":"stripe/` + strings.Repeat("x", 60<<10) + `"}`, 404, "unknown_delivery"},
		{"a route that is not there", "POST", replay, `{"route":"nobody","state":"dead"}`, 404, "unknown_route"},
		{"an after that nobody said, of a replay", "POST", replay, `{"route":"stripe","state":"dead","after":"x"}`, 400, "bad_after"},

		{"a purge of nothing", "POST", purge, `{}`, 400, "bad_request"},
		{"a purge of a route without a state", "POST", purge, `{"route":"stripe"}`, 400, "bad_request"},
		{"a purge of those that wait, by route", "POST", purge, `{"route":"stripe","state":"waiting"}`, 400, "bad_request"},
		{"a purge of a key with an age", "POST", purge, `{"key":"stripe/evt_dead","older_than":"1h"}`, 400, "bad_request"},
		{"an age that is none", "POST", purge, `{"route":"stripe","state":"dead","older_than":"3 days"}`, 400, "bad_request"},
		{"an age below none", "POST", purge, `{"route":"stripe","state":"dead","older_than":"-1h"}`, 400, "bad_request"},
		{"an age that is a number", "POST", purge, `{"route":"stripe","state":"dead","older_than":72}`, 400, "bad_request"},
		{"a limit of a purge", "POST", purge, `{"route":"stripe","state":"dead","limit":1}`, 400, "bad_request"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			target := tt.target
			if !strings.HasPrefix(target, "/api") {
				target = sidecar.WebhooksPath + target
			}
			status, body := a.ask(tt.method, target, tt.body)
			if status != tt.status || tt.code != "" && !strings.Contains(body, `"`+tt.code+`"`) {
				t.Errorf("%d %.200s, want %d %s", status, body, tt.status, tt.code)
			}
		})
	}
	if a.log.Len() > 0 || a.woken > 0 {
		t.Errorf("a refusal did something: %s", a.log.String())
	}
}

func TestWhatIsToldOfAMessage(t *testing.T) {
	sqlite := ofEachState()
	body := []byte("a\x00\xff\r\n{\"amount\":1}")
	sqlite.messages["stripe/evt_dead"] = webhook.Stored{
		Route: "stripe", Order: "cus_1", Target: "/hook/%2F?token=s3cret", Host: "shop.example", RemoteAddr: "192.0.2.1:5",
		Event: webhook.Verified{ID: "evt_dead", Type: strings.Repeat("é", 300)},
		Header: http.Header{
			"Content-Type": {"application/json"}, "X-Two": {"a", "b"}, "Stripe-Signature": {"s3cret"}, "X-Acme-Proof": {"s3cret"},
			"Authorization": {"s3cret"}, "Proxy-Authorization": {"s3cret"}, "Cookie": {"s3cret", "s3cret"}, "X-Api-Key": {"s3cret"},
			"X-Gitlab-Token": {"s3cret"}, "X-Shopify-Hmac-Sha256": {"s3cret"}, "X-Client-Secret": {"s3cret"}, "X_access_TOKEN": {"s3cret"},
		},
		Body: body,
	}
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": sqlite})
	hidden := []string{"[redacted]"}
	want := sidecar.WebhookMessage{
		Key: "stripe/evt_dead", Route: "stripe", Order: "cus_1", Target: "/hook/%2F?[redacted]", Host: "shop.example", RemoteAddr: "192.0.2.1:5",
		EventType: strings.Repeat("é", 127) + "…",
		Headers: http.Header{
			"Content-Type": {"application/json"}, "X-Two": {"a", "b"}, "Stripe-Signature": hidden, "X-Acme-Proof": hidden,
			"Authorization": hidden, "Proxy-Authorization": hidden, "Cookie": hidden, "X-Api-Key": hidden,
			"X-Gitlab-Token": hidden, "X-Shopify-Hmac-Sha256": hidden, "X-Client-Secret": hidden, "X_access_TOKEN": hidden,
		},
	}
	var got sidecar.WebhookMessage
	target := sidecar.WebhookMessagePath + "?key=stripe/evt_dead"
	a.into(&got, "GET", target+"&body=false", "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without its body (-want +got):\n%s", diff)
	}
	want.Body = body
	got = sidecar.WebhookMessage{}
	a.into(&got, "GET", target, "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := strings.Count(a.log.String(), "was read by hand"); n != 2 || strings.Contains(a.log.String(), "s3cret") {
		t.Errorf("log %s", a.log.String())
	}
	for _, large := range [][]byte{nil, make([]byte, 3<<20)} {
		m := sqlite.messages["stripe/evt_dead"]
		m.Body = large
		sqlite.messages["stripe/evt_dead"] = m
		got = sidecar.WebhookMessage{}
		a.into(&got, "GET", target, "")
		if len(got.Body) != len(large) {
			t.Errorf("%d bytes, want %d", len(got.Body), len(large))
		}
	}
}

// What is replayed does not wait until the inbox is looked at again.
func TestAReplayIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := newOperated()
		v, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "github", Secrets: []string{"secret"}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := webhook.New(webhook.Config{Route: "github", Verifier: v, Inbox: &webhook.InboxConfig{Store: inbox}})
		if err != nil {
			t.Fatal(err)
		}
		wake, end := sidecar.Deliver(m, http.NotFoundHandler())
		defer end()
		for want := 1; want < 5; want++ {
			synctest.Wait()
			if inbox.takes != want {
				t.Fatalf("the inbox was asked %d times, want %d", inbox.takes, want)
			}
			wake()
		}
	})
}
