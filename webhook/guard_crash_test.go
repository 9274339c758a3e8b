package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// dies makes the store fail from its n-th step on: before it happens, or once
// it has. It is what a process that is killed there leaves behind.
func dies(store *fakeInbox, n int, happens bool) {
	steps := 0
	store.fail = func(string, string) error {
		if steps++; steps > n || steps == n && !happens {
			return errDown
		}
		return nil
	}
	store.failAfter = func(string, string) error {
		if steps >= n {
			return errDown
		}
		return nil
	}
}

func lives(store *fakeInbox) {
	store.fail = func(string, string) error { return nil }
	store.failAfter = store.fail
}

// TestACrashLeavesNoHoleInTheGuard ends the process at each step of the store,
// for each answer of the handler, and then lets the same message come again
// under its own id and under others: in either order, or under others alone. Its
// route may be in the other mode by then.
func TestACrashLeavesNoHoleInTheGuard(t *testing.T) {
	p := unsignedIDs()["github"]
	for _, mode := range []string{"sync", "inbox", "sync, then inbox", "inbox, then sync"} {
		for _, status := range []int{200, 410, 500} {
			for _, order := range []string{"ab", "ba", "b", "bc"} {
				for n := 1; n <= 9; n++ {
					for _, happens := range []bool{false, true} {
						name := fmt.Sprintf("%s %d, then %s, step %d happens %t", mode, status, order, n, happens)
						t.Run(name, func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								crash{p: p, mode: mode, status: status, order: order, n: n, happens: happens}.run(t)
							})
						})
					}
				}
			}
		}
	}
}

type crash struct {
	p       unsignedID
	mode    string
	status  int
	order   string
	n       int
	happens bool

	acknowledged map[string]bool
}

func (c crash) run(t *testing.T) {
	c.acknowledged = map[string]bool{}
	store := newFakeInbox()
	before, after, changed := strings.Cut(c.mode, ", then ")
	m := c.route(t, store, before)
	h := &handler{statuses: []int{c.status, 200}}
	inbox := c.route(t, store, "inbox")
	deliver := func() {
		if strings.Contains(c.mode, "inbox") {
			stop := delivering(t, inbox, h)
			time.Sleep(3 * time.Minute)
			stop()
		}
	}
	dies(store, c.n, c.happens)
	c.send(t, m, h, "a")
	deliver()
	lives(store)
	time.Sleep(time.Minute) // past every lease

	if changed {
		m = c.route(t, store, after)
	}
	for range 3 {
		for _, id := range c.order {
			c.send(t, m, h, string(id))
			deliver()
			time.Sleep(time.Minute)
		}
	}
	// Whoever is called again is told, and once a success is on record nobody is.
	// An inbox does not take the mark of another id over.
	for i, call := range h.calls {
		if i > 0 && !strings.HasSuffix(call, " maybe") && (c.mode != "sync, then inbox" || call == h.calls[0]) {
			t.Errorf("call %d of %q", i+1, h.calls)
		}
	}
	if len(h.calls) > 2 || len(h.calls) == 0 {
		t.Errorf("calls %q", h.calls)
	}
	c.check(t, store)
}

// check holds that all who came come to an end, and that what was acknowledged is
// done or dead: in an inbox perhaps under the other id alone, or, where the guard
// tells that the handler succeeded in sync mode, by the guard.
func (c crash) check(t *testing.T, store *fakeInbox) {
	over := map[string]bool{}
	for _, id := range []string{"a", "b", "c"} {
		rec, err := store.Lookup(t.Context(), "hook/"+id)
		if err != nil {
			t.Fatal(err)
		}
		over[id] = rec.State == webhook.StateDone || rec.State == webhook.StateDead
		if strings.Contains(c.order, id) && !c.acknowledged[id] {
			t.Errorf("%s is %v, and never acknowledged", id, rec.State)
		}
		if c.mode == "sync" && strings.Contains(c.order, id) && !over[id] {
			t.Errorf("%s is %v", id, rec.State)
		}
	}
	if !over["a"] && !over["b"] && !over["c"] && c.mode != "sync, then inbox" {
		t.Errorf("over: %v", over)
	}
}

func (c crash) route(t *testing.T, store *fakeInbox, mode string) *webhook.Middleware {
	m, _ := build(t, func(cfg *webhook.Config) {
		cfg.Route, cfg.Verifier, cfg.Store = "hook", newVerifier(t, c.p.cfg), store
		if mode == "inbox" {
			cfg.Inbox = &webhook.InboxConfig{Store: store}
		}
	})
	return m
}

func (c crash) send(t *testing.T, m *webhook.Middleware, h http.Handler, id string) {
	res := serve(m.Wrap(h), c.p.request(t, id, "/hook", c.p.body()))
	if res.StatusCode/100 == 2 {
		c.acknowledged[id] = true
	}
}
