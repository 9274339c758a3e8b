package sqlstore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// A history is what happened to one key: when each call began and ended, and
// what it said. It is linearizable when there is an order of the calls, each at
// a moment between its beginning and its end, in which a store that does one
// thing at a time would have said the same. A call without an answer may have
// happened at any moment after its beginning, or not at all.
type history []event

type event struct {
	what       string // claim, done, retry, maybe (retry, maybe processed), dead, expire, look
	fence      int64
	said       said
	began, end int64 // in order of events; end is endless when nothing was said
}

const endless = 1 << 62

// said is the answer to an event.
type said struct {
	status webhook.Status
	stale  bool
	machine
}

// machine is the state of a key; its lease ends by the event "expire".
type machine struct {
	state   webhook.State
	expired bool
	fence   int64
	maybe   bool
}

// step is what a store at m makes of e, and says.
func (m machine) step(e event) (machine, said) {
	settle := map[string]webhook.State{"done": webhook.StateDone, "retry": webhook.StateRetry, "maybe": webhook.StateRetry, "dead": webhook.StateDead}
	to, settles := settle[e.what]
	switch {
	case e.what == "expire":
		m.expired = m.state == webhook.StateClaimed
		return m, said{}
	case e.what == "look":
		return m, said{machine: machine{state: m.state, fence: m.fence, maybe: m.maybe}}
	case settles && m.fence == e.fence && m.state == to:
		return m, said{}
	case settles && (m.fence != e.fence || m.state != webhook.StateClaimed):
		return m, said{stale: true}
	case settles:
		return machine{state: to, fence: m.fence, maybe: m.maybe || e.what == "maybe"}, said{}
	}
	status := webhook.Claimed
	switch {
	case m.state == webhook.StateDone:
		status = webhook.Done
	case m.state == webhook.StateDead:
		status = webhook.Dead
	case m.state == webhook.StateClaimed && !m.expired:
		status = webhook.InFlight
	default:
		m = machine{state: webhook.StateClaimed, fence: m.fence + 1, maybe: m.maybe || m.expired}
	}
	return m, said{status: status, machine: machine{fence: m.fence, maybe: m.maybe}}
}

// linearizable searches for an order, one call after the other, and remembers
// from where it found none.
func (h history) linearizable() bool {
	type place struct {
		taken [4]uint64
		machine
	}
	slices.SortFunc(h, func(a, b event) int { return cmp.Compare(a.began, b.began) })
	known := 0
	for _, e := range h {
		if e.end != endless {
			known++
		}
	}
	barren := make(map[place]bool)
	var search func(at place, left int) bool
	search = func(at place, left int) bool {
		if left == 0 {
			return true
		}
		if barren[at] {
			return false
		}
		firstEnd := int64(endless)
		for i, e := range h {
			if at.taken[i/64]&(1<<(i%64)) == 0 {
				firstEnd = min(firstEnd, e.end)
			}
		}
		for i, e := range h {
			if at.taken[i/64]&(1<<(i%64)) != 0 {
				continue
			}
			if e.began > firstEnd {
				break
			}
			next := at
			next.taken[i/64] |= 1 << (i % 64)
			var answer said
			next.machine, answer = at.step(e)
			switch {
			case e.end == endless:
				if next.machine != at.machine && search(next, left) {
					return true
				}
			case answer == e.said && search(next, left-1):
				return true
			}
		}
		barren[at] = true
		return false
	}
	return search(place{}, known)
}

func TestLinearizable(t *testing.T) {
	claimed := said{status: webhook.Claimed, machine: machine{fence: 1}}
	tests := []struct {
		rule string
		h    history
		want bool
	}{
		{"one claim", history{{what: "claim", said: claimed, began: 1, end: 2}}, true},
		{"two claims of one fence are not", history{{what: "claim", said: claimed, began: 1, end: 4}, {what: "claim", said: claimed, began: 2, end: 3}}, false},
		{"two calls at once may have either order", history{
			{what: "look", said: said{machine: machine{state: webhook.StateClaimed, fence: 1}}, began: 1, end: 4},
			{what: "claim", said: claimed, began: 2, end: 3},
		}, true},
		{"a call that ended does not come later", history{
			{what: "look", said: said{machine: machine{state: webhook.StateClaimed, fence: 1}}, began: 1, end: 2},
			{what: "claim", said: claimed, began: 3, end: 4},
		}, false},
		{"an answer that was lost may be of a call that happened", history{
			{what: "claim", began: 1, end: endless},
			{what: "claim", said: said{status: webhook.InFlight, machine: machine{fence: 1}}, began: 2, end: 3},
		}, true},
		{"or of one that did not", history{
			{what: "claim", began: 1, end: endless},
			{what: "claim", said: claimed, began: 2, end: 3},
		}, true},
		{"done does not revert", history{
			{what: "claim", said: claimed, began: 1, end: 2},
			{what: "done", fence: 1, began: 3, end: 4},
			{what: "claim", said: said{status: webhook.Claimed, machine: machine{fence: 2}}, began: 5, end: 6},
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := tt.h.linearizable(); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// recorder takes random steps on one key by several clients at once.
type recorder struct {
	store  webhook.Store
	expire func() error
	lose   func() // may cut a connection

	clock  atomic.Int64
	fence  atomic.Int64 // the last one seen
	mu     sync.Mutex
	events history
}

func (r *recorder) run(ctx context.Context, key string, seed uint64, clients, each int) history {
	var wg sync.WaitGroup
	for c := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			for range each {
				r.lose()
				r.step(ctx, key, rng)
			}
		})
	}
	wg.Wait()
	return r.events
}

func (r *recorder) step(ctx context.Context, key string, rng *rand.Rand) {
	what := [...]string{"claim", "claim", "claim", "claim", "retry", "maybe", "retry", "expire", "look", "done", "dead"}[rng.IntN(11)]
	if (what == "done" || what == "dead") && rng.IntN(5) > 0 {
		what = "retry" // an end would make the rest dull
	}
	e := event{what: what, fence: r.fence.Load() - int64(rng.IntN(8)/7), began: r.clock.Add(1)}
	var err error
	switch what {
	case "claim":
		var c webhook.Claim
		c, err = r.store.Claim(ctx, key, claimRequest)
		e.said = said{status: c.Status, machine: machine{fence: c.Fence, maybe: c.MaybeProcessed}}
		if err == nil {
			r.fence.Store(c.Fence)
		}
	case "retry", "maybe":
		err = r.store.Release(ctx, key, e.fence, what == "maybe")
	case "done":
		err = r.store.Complete(ctx, key, e.fence, nil)
	case "dead":
		err = r.store.Kill(ctx, key, e.fence)
	case "expire":
		err = r.expire()
	case "look":
		var rec webhook.Record
		rec, err = r.store.Lookup(ctx, key)
		e.said = said{machine: machine{state: rec.State, fence: rec.Fence, maybe: rec.MaybeProcessed}}
	}
	e.end = r.clock.Add(1)
	switch {
	case errors.Is(err, webhook.ErrStaleFence):
		e.said.stale = true
	case err != nil:
		e.said, e.end = said{}, endless
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func testPostgresHistoriesAreLinearizable(t *testing.T, server *testenv.PostgresServer) {
	direct := database(t, server, "")
	w, wired := newWire(t, direct)
	plain := openPostgres(t, sqlstore.PostgresConfig{Conn: direct})
	lossy := openPostgres(t, sqlstore.PostgresConfig{Conn: wired})
	seed := rand.Uint64()
	if s := os.Getenv(webhooktest.SeedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	for name, store := range map[string]*sqlstore.Store{"sound connections": plain, "connections that are lost": lossy} {
		t.Run(name, func(t *testing.T) {
			unknown := 0
			for round := range 40 {
				r := &recorder{store: store, lose: func() {}}
				var mu sync.Mutex
				key, conn := fmt.Sprint(name, round), connect(t, direct)
				r.expire = func() error {
					mu.Lock()
					defer mu.Unlock()
					_, err := conn.Exec(t.Context(), "UPDATE handrail.webhook_deliveries SET lease_until = 0 WHERE event_key = $1", key)
					return err
				}
				rng := rand.New(rand.NewPCG(seed, uint64(round)))
				if store == lossy {
					r.lose = func() {
						mu.Lock()
						defer mu.Unlock()
						if rng.IntN(10) == 0 {
							w.set([...]fate{cutBefore, cutAfter}[rng.IntN(2)])
						}
					}
				}
				h := r.run(t.Context(), key, seed+uint64(round), 6, 15)
				for _, e := range h {
					if e.end == endless {
						unknown++
					}
				}
				if !h.linearizable() {
					t.Errorf("round %d of seed %d is not linearizable:\n%+v", round, seed, h)
				}
				noError(t, conn.Close(t.Context()))
			}
			t.Logf("40 histories of 90 steps, %d steps without an answer", unknown)
		})
	}
}
