package sidecar_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
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

// ofEachState are a delivery of each state, and what is none of an event.
func ofEachState() *operated {
	claimed := entry("stripe/evt_claimed", webhook.StateClaimed, false)
	claimed.LeaseUntil = updated.Add(time.Minute)
	done := entry("stripe/evt_done", webhook.StateDone, false)
	done.Answer, done.Expires = &webhook.Answer{Status: 201, Body: []byte("secret")}, updated.Add(time.Hour)
	return newOperated(
		claimed, done,
		entry("stripe/evt_dead", webhook.StateDead, true),
		entry("stripe/evt_dead_without", webhook.StateDead, false),
		entry("stripe/evt_retry", webhook.StateRetry, false),
		entry("stripe/evt_waiting", webhook.StateRetry, true),
		entry("github/1", webhook.StateRetry, true),
		entry("github/replay:"+strings.Repeat("0", 64), webhook.StateDone, false),
		entry("without a route", webhook.StateDone, false),
		entry("/1", webhook.StateDone, false),
		entry("github/"+strings.Repeat("x", 5000), webhook.StateDone, false),
	)
}

func TestWhatIsListed(t *testing.T) {
	a := adminOver(t, "stripe sqlite github sqlite acme memory", map[string]webhook.Store{"sqlite": ofEachState(), "memory": newMemory(t)})
	const (
		claimed, dead, without = "sqlite stripe/evt_claimed claimed", "sqlite stripe/evt_dead dead", "sqlite stripe/evt_dead_without dead"
		done, retry, waiting   = "sqlite stripe/evt_done done", "sqlite stripe/evt_retry retry", "sqlite stripe/evt_waiting waiting"
		github, acme           = "sqlite github/1 waiting", "memory acme/e1 done"
	)
	for _, tt := range []struct {
		rule, query string
		want        []string
	}{
		{"all, by store and key, but for guards and what no route makes", "", []string{acme, github, claimed, dead, without, done, retry, waiting}},
		{"of a route", "route=stripe", []string{claimed, dead, without, done, retry, waiting}},
		{"of a route whose name begins another's", "route=strip&limit=7", nil},
		{"dead", "state=dead", []string{dead, without}},
		{"claimed", "state=claimed", []string{claimed}},
		{"done", "state=done", []string{acme, done}},
		{"waiting are those with a message", "state=waiting", []string{github, waiting}},
		{"to retry are those without", "state=retry", []string{retry}},
		{"of a route and in a state", "state=waiting&route=stripe", []string{waiting}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if tt.want == nil {
				if status, body := a.ask("GET", sidecar.WebhooksPath+"?"+tt.query, ""); status != http.StatusNotFound || !strings.Contains(body, "unknown_route") {
					t.Errorf("%d %s", status, body)
				}
				return
			}
			for limit := 1; limit <= len(tt.want)+1; limit++ {
				got, pages := a.keys(tt.query + fmt.Sprintf("&limit=%d", limit))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("limit %d (-want +got):\n%s", limit, diff)
				}
				for _, p := range pages {
					if len(p.Deliveries) > limit {
						t.Errorf("%d on a page of %d", len(p.Deliveries), limit)
					}
				}
			}
		})
	}
}

// An attempt that broke off holds nothing up once its lease is over: its message
// waits for the next one, which an operator may hasten or prevent.
func TestAnAttemptThatBrokeOffWaits(t *testing.T) {
	deliveries := func() *operated {
		broken, under := entry("stripe/evt_broken", webhook.StateClaimed, true), entry("stripe/evt_under", webhook.StateClaimed, true)
		broken.LeaseUntil, under.LeaseUntil, under.Kept.Due = updated.Add(-time.Minute), updated.Add(time.Minute), time.Time{}
		return newOperated(broken, under, entry("stripe/evt_waiting", webhook.StateRetry, true))
	}
	const broken, under, waiting = "sqlite stripe/evt_broken waiting", "sqlite stripe/evt_under claimed", "sqlite stripe/evt_waiting waiting"
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": deliveries()})
	for query, want := range map[string][]string{"": {broken, under, waiting}, "state=waiting": {broken, waiting}, "state=claimed": {under}, "state=retry": nil} {
		for _, limit := range []string{"&limit=1", "&limit=100"} {
			if got, _ := a.keys(query + limit); !slices.Equal(got, want) {
				t.Errorf("%q lists %q, want %q", query+limit, got, want)
			}
		}
	}
	var d sidecar.WebhookDelivery
	a.into(&d, "GET", sidecar.WebhookDeliveryPath+"?key=stripe/evt_broken", "")
	if d.State != "waiting" || !d.LeaseUntil.IsZero() || d.Kept == nil || !d.Kept.Due.Equal(updated.Add(time.Hour)) {
		t.Errorf("it is told as %+v", d)
	}
	for path, want := range map[string]string{sidecar.WebhookReplayPath: "due", sidecar.WebhookPurgePath: "deleted"} {
		a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": deliveries()})
		if status, body := a.ask("POST", path, `{"key":"stripe/evt_broken"}`); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if status, body := a.ask("POST", path, `{"key":"stripe/evt_under"}`); status != http.StatusConflict {
			t.Errorf("%s of one under way: %d %s", path, status, body)
		}
	}
}

func newMemory(t *testing.T) *webhook.Memory {
	t.Helper()
	m, err := webhook.NewMemory(webhook.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Claim(t.Context(), "acme/e1", webhook.ClaimRequest{Lease: time.Second, Retention: time.Hour})
	if err == nil {
		err = m.Complete(t.Context(), "acme/e1", c.Fence, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsToldOfADelivery(t *testing.T) {
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": ofEachState()})
	for key, want := range map[string]sidecar.WebhookDelivery{
		"stripe/evt_claimed": {State: "claimed", LeaseUntil: updated.Add(time.Minute)},
		"stripe/evt_done":    {State: "done", AnswerStatus: 201, Expires: updated.Add(time.Hour)},
		"stripe/evt_waiting": {State: "waiting", Kept: &sidecar.WebhookKept{
			Received: updated.Add(-time.Hour), Due: updated.Add(time.Hour), BodyBytes: 7, EventType: "invoice.paid",
			LastStatus: 500, LastReason: "answered",
		}},
	} {
		want.Key, want.Route, want.EventID, want.Store = key, "stripe", strings.TrimPrefix(key, "stripe/"), "sqlite"
		want.Attempt, want.Fence, want.Updated = 2, 3, updated
		var got sidecar.WebhookDelivery
		a.into(&got, "GET", sidecar.WebhookDeliveryPath+"?key="+url.QueryEscape(key), "")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if _, body := a.ask("GET", sidecar.WebhookDeliveryPath+"?key=stripe/evt_done", ""); strings.Contains(body, "secret") || strings.Contains(body, "0001-01-01") {
		t.Errorf("it tells what it should not: %s", body)
	}
}

func TestTheBacklogIsWithTheFirstPage(t *testing.T) {
	a := adminOver(t, "stripe sqlite github sqlite acme memory", map[string]webhook.Store{"sqlite": ofEachState(), "memory": newMemory(t)})
	github := sidecar.WebhookBacklog{Route: "github", Store: "sqlite", Waiting: 1, OldestSeconds: 90}
	stripe := sidecar.WebhookBacklog{Route: "stripe", Store: "sqlite", Waiting: 1, Dead: 1, OldestSeconds: 90}
	for query, want := range map[string][]sidecar.WebhookBacklog{"limit=2": {github, stripe}, "limit=2&route=stripe": {stripe}, "route=acme": {}} {
		_, pages := a.keys(query)
		for i, p := range pages {
			if i > 0 {
				want = nil
			}
			if diff := cmp.Diff(want, p.Backlog); diff != "" {
				t.Errorf("%s, page %d (-want +got):\n%s", query, i, diff)
			}
		}
	}
}

// Whatever a page holds, the next one goes on behind it.
func TestEachDeliveryIsListedOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sqlite, postgres := newOperated(), newOperated()
	sqlite.rows, postgres.rows = 200, 90
	var want []string
	for i := range 3_000 {
		key := fmt.Sprintf("stripe/evt_%05d", i)
		to, kind := sqlite, "sqlite"
		if i%3 == 0 {
			to, kind = postgres, "postgres"
		}
		if rng.IntN(2) == 0 {
			key = fmt.Sprintf("stripe/replay:%05d", i)
		} else {
			want = append(want, kind+" "+key+" dead")
		}
		to.entries[key] = entry(key, webhook.StateDead, false)
	}
	slices.Sort(want)
	a := adminOver(t, "stripe sqlite", map[string]webhook.Store{"sqlite": sqlite, "postgres": postgres})
	for _, limit := range []int{7, 100, 1000} {
		got, _ := a.keys(fmt.Sprint("limit=", limit))
		if !slices.Equal(want, got) {
			t.Errorf("limit %d: %d deliveries, want %d", limit, len(got), len(want))
		}
	}
	// Guards take no round of their own for each.
	sqlite.asked, postgres.asked = 0, 0
	a.keys("limit=1000")
	if asked := sqlite.asked + postgres.asked; asked > 100 {
		t.Errorf("the stores were asked for %d pages", asked)
	}
}

func TestAStoreThatFailsHidesNoOther(t *testing.T) {
	sqlite, down := ofEachState(), newOperated()
	down.err = errors.New("connection refused")
	a := adminOver(t, "stripe sqlite github postgres acme redis", map[string]webhook.Store{"sqlite": sqlite, "postgres": down, "redis": nil})
	got, pages := a.keys("limit=1")
	if len(got) != 7 {
		t.Errorf("%d deliveries of the one that answers: %v", len(got), got)
	}
	want := []sidecar.StoreError{{Store: "postgres", Error: "connection refused"}, {Store: "redis", Error: "could not be opened"}}
	if diff := cmp.Diff(want, pages[0].Errors); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// A key of a route whose store fails is not said to be unknown.
	for method, target := range map[string]string{"GET": "?key=github/1", "POST": ""} {
		for _, path := range []string{sidecar.WebhookDeliveryPath, sidecar.WebhookMessagePath, sidecar.WebhookReplayPath, sidecar.WebhookPurgePath} {
			changes := path == sidecar.WebhookReplayPath || path == sidecar.WebhookPurgePath
			if changes != (method == "POST") {
				continue
			}
			if status, body := a.ask(method, path+target, `{"key":"github/1"}`); status != 503 || !strings.Contains(body, "the store postgres does not answer") {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
	if status, body := a.ask("POST", sidecar.WebhookReplayPath, `{"route":"github","state":"dead"}`); status != 503 || strings.Contains(body, "refused") {
		t.Errorf("by route: %d %s", status, body)
	}
	if !strings.Contains(a.log.String(), "connection refused") {
		t.Error("the log does not say why")
	}
	var found sidecar.WebhookDelivery
	a.into(&found, "GET", sidecar.WebhookDeliveryPath+"?key=stripe/evt_done", "")
}

// A command waits ten seconds for an answer, which has to name the store.
func TestAStoreThatHangsIsNamedInTime(t *testing.T) {
	hanging := func(t *testing.T) *adminAPI {
		hung, too := newOperated(), newOperated()
		hung.hangs, too.hangs = make(chan struct{}), make(chan struct{})
		return adminOver(t, "stripe sqlite github postgres acme redis", map[string]webhook.Store{"sqlite": ofEachState(), "postgres": hung, "redis": too})
	}
	synctest.Test(t, func(t *testing.T) {
		var failed []string
		began := time.Now()
		got, pages := hanging(t).keys("")
		for _, p := range pages {
			for _, e := range p.Errors {
				failed = append(failed, e.Store)
			}
		}
		if perPage := time.Since(began) / time.Duration(len(pages)); perPage > 8*time.Second || len(got) != 7 {
			t.Errorf("%d deliveries, a page took %v", len(got), perPage)
		}
		if !slices.Contains(failed, "postgres") || !slices.Contains(failed, "redis") {
			t.Errorf("it names %q", failed)
		}
	})
	for _, tt := range []struct{ method, target, body string }{
		{"GET", sidecar.WebhookDeliveryPath + "?key=github/1", ""},
		{"GET", sidecar.WebhookMessagePath + "?key=github/1", ""},
		{"POST", sidecar.WebhookReplayPath, `{"key":"github/1"}`},
		{"POST", sidecar.WebhookPurgePath, `{"route":"github","state":"dead"}`},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, body := hanging(t).ask(tt.method, tt.target, tt.body)
				if d := time.Since(began); d > 8*time.Second || !strings.Contains(body, "postgres") {
					t.Errorf("after %v: %s", d, body)
				}
			})
		})
	}
}
