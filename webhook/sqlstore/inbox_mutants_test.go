package sqlstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// inboxMutant is an inbox with a fault. A nil function is that of the sound one.
type inboxMutant struct {
	*sqlstore.Store
	put      func(ctx context.Context, key string, m webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error)
	take     func(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error)
	fail     func(ctx context.Context, key string, fence int64, f webhook.Failure) error
	complete func(ctx context.Context, key string, fence int64, a *webhook.Answer) error
	claim    func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error)
	revive   func(ctx context.Context, key string) error
	discard  func(ctx context.Context, key string) error
	entry    func(e webhook.Entry, err error) (webhook.Entry, error)
	backlog  func(ctx context.Context) ([]webhook.Backlog, error)
}

func (m *inboxMutant) Put(ctx context.Context, key string, s webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
	if m.put == nil {
		return m.Store.Put(ctx, key, s, req)
	}
	return m.put(ctx, key, s, req)
}

func (m *inboxMutant) Take(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
	if m.take == nil {
		return m.Store.Take(ctx, route, limit, lease)
	}
	return m.take(ctx, route, limit, lease)
}

func (m *inboxMutant) Fail(ctx context.Context, key string, fence int64, f webhook.Failure) error {
	if m.fail == nil {
		return m.Store.Fail(ctx, key, fence, f)
	}
	return m.fail(ctx, key, fence, f)
}

func (m *inboxMutant) Complete(ctx context.Context, key string, fence int64, a *webhook.Answer) error {
	if m.complete == nil {
		return m.Store.Complete(ctx, key, fence, a)
	}
	return m.complete(ctx, key, fence, a)
}

func (m *inboxMutant) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if m.claim == nil {
		return m.Store.Claim(ctx, key, req)
	}
	return m.claim(ctx, key, req)
}

func (m *inboxMutant) Revive(ctx context.Context, key string) error {
	if m.revive == nil {
		return m.Store.Revive(ctx, key)
	}
	return m.revive(ctx, key)
}

func (m *inboxMutant) Discard(ctx context.Context, key string) error {
	if m.discard == nil {
		return m.Store.Discard(ctx, key)
	}
	return m.discard(ctx, key)
}

func (m *inboxMutant) Entry(ctx context.Context, key string) (webhook.Entry, error) {
	e, err := m.Store.Entry(ctx, key)
	if m.entry == nil {
		return e, err
	}
	return m.entry(e, err)
}

func (m *inboxMutant) Backlog(ctx context.Context) ([]webhook.Backlog, error) {
	if m.backlog == nil {
		return m.Store.Backlog(ctx)
	}
	return m.backlog(ctx)
}

// inboxFaults are faults of an inbox: each, and the rule that finds it first.
// trigger, which may be empty, runs within the database.
var inboxFaults = map[string]struct {
	fault   func(m *inboxMutant)
	trigger string
	rule    string
}{
	"a header is lost": {fault: func(m *inboxMutant) {
		m.put = func(ctx context.Context, key string, s webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
			s.Header = s.Header.Clone()
			delete(s.Header, "Empty")
			return m.Store.Put(ctx, key, s, req)
		}
	}, rule: "a message is kept as it was put, whatever bytes it holds"},
	"a copy is kept again": {fault: func(m *inboxMutant) {
		m.put = func(ctx context.Context, key string, s webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := m.Store.Put(ctx, key, s, req)
			if c.Status == webhook.Waiting {
				c.Status = webhook.Accepted
			}
			return c, err
		}
	}, rule: "a message that is put waits, due at once, and changes no more"},
	"a claim takes what waits": {fault: func(m *inboxMutant) {
		m.claim = func(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := m.Store.Claim(ctx, key, req)
			if c.Status == webhook.Waiting {
				c.Status, c.Fence, c.Attempt = webhook.Claimed, c.Fence+1, c.Attempt+1
			}
			return c, err
		}
	}, rule: "a message that is put waits, due at once, and changes no more"},
	"what is done is kept anew": {fault: func(m *inboxMutant) {
		m.put = func(ctx context.Context, key string, s webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
			c, err := m.Store.Put(ctx, key, s, req)
			if c.Status == webhook.Done {
				c = webhook.Claim{Status: webhook.Accepted}
			}
			return c, err
		}
	}, rule: "a put keeps nothing under a key that is claimed, done or dead"},
	"attempts are counted on": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN NEW.stored = 1 AND NEW.taken = 1 BEGIN UPDATE handrail_deliveries SET taken = 2 WHERE event_key = NEW.event_key; END",
		rule:    "what is taken is claimed, and nobody else's until its lease ends",
	},
	"what waits has a retention": {
		trigger: "AFTER INSERT ON handrail_deliveries WHEN NEW.stored = 1 BEGIN UPDATE handrail_deliveries SET expires_at = lease_until + retention_ms WHERE event_key = NEW.event_key; END",
		rule:    "a message that waits is kept without end, and knows its age",
	},
	"a lease that ends loses the mark": {fault: func(m *inboxMutant) {
		m.take = func(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
			taken, err := m.Store.Take(ctx, route, limit, lease)
			for i := range taken {
				taken[i].MaybeProcessed = false
			}
			return taken, err
		}
	}, rule: "a key to retry gets the message, and keeps its fence, attempts and mark"},
	"leases never end": {fault: func(m *inboxMutant) {
		m.take = func(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
			return m.Store.Take(ctx, route, limit, lease+time.Hour)
		}
	}, rule: "what is taken is claimed, and nobody else's until its lease ends"},
	"stale fences are accepted": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateClaimed && fence > 0 {
				fence = r.Fence
			}
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "what is taken is claimed, and nobody else's until its lease ends"},
	"what is due last is taken first": {fault: func(m *inboxMutant) {
		m.take = func(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
			taken, err := m.Store.Take(ctx, route, 1000, lease)
			for len(taken) > limit && err == nil {
				err = m.Store.Fail(ctx, taken[0].Key, taken[0].Fence, webhook.Failure{Then: webhook.StateRetry})
				taken = taken[1:]
			}
			return taken, err
		}
	}, rule: "messages are taken for their route, those due longest first, and no more than asked for"},
	"a backoff does not count": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			f.After = 0
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "a failure makes the message due again when it says"},
	"a failure is always marked": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			f.MaybeProcessed = true
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "a message that waits is kept without end, and knows its age"},
	"what was not tried counts": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			f.Untried = false
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "what was not tried is no attempt, and its fence goes on"},
	"what was not tried counts for the message": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN NEW.stored = 1 AND NEW.attempt < OLD.attempt AND OLD.state = 1 BEGIN UPDATE handrail_deliveries SET taken = OLD.taken WHERE event_key = NEW.event_key; END",
		rule:    "what was not tried is no attempt, and its fence goes on"},
	"a claim that is left is given back": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			if f.Then == webhook.StateClaimed {
				f.Then = webhook.StateRetry
			}
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "a failure may leave the claim until its lease ends, and longer"},
	"the message of a dead key goes": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			err := m.Store.Fail(ctx, key, fence, f)
			if err == nil && f.Then == webhook.StateDead {
				err = m.Store.Discard(ctx, key)
			}
			return err
		}
	}, rule: "past its retention a key is absent, with its message"},
	"a failure said again is stale": {fault: func(m *inboxMutant) {
		m.fail = func(ctx context.Context, key string, fence int64, f webhook.Failure) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == f.Then && r.State != webhook.StateClaimed {
				return webhook.ErrStaleFence
			}
			return m.Store.Fail(ctx, key, fence, f)
		}
	}, rule: "a failure said again succeeds and changes nothing"},
	"orders are of no matter": {fault: func(m *inboxMutant) {},
		trigger: "AFTER INSERT ON handrail_deliveries WHEN NEW.held = 1 BEGIN UPDATE handrail_deliveries SET held = 0, place = 0 WHERE event_key = NEW.event_key; END",
		rule:    "past its retention a key is absent, with its message"},
	"a failure lets the next one of its order go": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 1 AND NEW.state = 2 AND NEW.order_key <> '' BEGIN UPDATE handrail_deliveries SET place = NEW.place + 9000000000 WHERE event_key = NEW.event_key; UPDATE handrail_deliveries SET held = 0 WHERE order_key = NEW.order_key AND stored = 1 AND event_key <> NEW.event_key; END",
		rule:    "messages of one order are taken as they were put, one at a time"},
	"a dead message holds its order up": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.held = 1 AND NEW.held = 0 AND EXISTS (SELECT 1 FROM handrail_deliveries WHERE order_key = NEW.order_key AND state = 4) BEGIN UPDATE handrail_deliveries SET held = 1 WHERE event_key = NEW.event_key; END",
		rule:    "past its retention a key is absent, with its message"},
	"a revived message goes to the end": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 4 AND NEW.state = 2 AND NEW.order_key <> '' BEGIN UPDATE handrail_deliveries SET place = place + 9000000000000 WHERE event_key = NEW.event_key; END",
		rule:    "a message that is revived goes by its own place"},
	"a revived message does not wait for another under way": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 4 AND NEW.state = 2 AND NEW.order_key <> '' BEGIN UPDATE handrail_deliveries SET lease_until = 0, due_at = due_at + 1000 WHERE order_key = NEW.order_key AND state = 1; END",
		rule:    "a message that is revived waits for the one of its order that is under way"},
	"a revived message keeps its attempts": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 4 AND NEW.state = 2 AND NEW.fence > 0 BEGIN UPDATE handrail_deliveries SET taken = OLD.taken WHERE event_key = NEW.event_key; END",
		rule:    "a message that is revived goes by its own place"},
	"what waits for its time cannot be revived": {fault: func(m *inboxMutant) {
		m.revive = func(ctx context.Context, key string) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateRetry {
				return webhook.ErrWrongState
			}
			return m.Store.Revive(ctx, key)
		}
	}, rule: "a message that waits for its time is due at once when it is revived"},
	"what waits cannot be discarded": {fault: func(m *inboxMutant) {
		m.discard = func(ctx context.Context, key string) error {
			if e, err := m.Entry(ctx, key); err == nil && e.Kept != nil && e.State == webhook.StateRetry {
				return webhook.ErrWrongState
			}
			return m.Store.Discard(ctx, key)
		}
	}, rule: "a dead or discarded message lets the next one of its order go"},
	"what is claimed can be discarded": {fault: func(m *inboxMutant) {
		m.discard = func(ctx context.Context, key string) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateClaimed {
				return m.Kill(ctx, key, r.Fence)
			}
			return m.Store.Discard(ctx, key)
		}
	}, rule: "a message under way can neither be revived nor discarded"},
	"what broke off cannot be revived": {fault: func(m *inboxMutant) {
		m.revive = func(ctx context.Context, key string) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateClaimed {
				return webhook.ErrWrongState
			}
			return m.Store.Revive(ctx, key)
		}
	}, rule: "an attempt that broke off is revived when its lease is over, marked, and counts"},
	"what broke off is revived without a mark": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 1 AND NEW.state = 2 AND OLD.due_at > NEW.due_at AND NEW.last_reason = 'no_answer' BEGIN UPDATE handrail_deliveries SET maybe_processed = OLD.maybe_processed WHERE event_key = NEW.event_key; END",
		rule:    "an attempt that broke off is revived when its lease is over, marked, and counts"},
	"what broke off cannot be discarded": {fault: func(m *inboxMutant) {
		m.discard = func(ctx context.Context, key string) error {
			if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateClaimed {
				return webhook.ErrWrongState
			}
			return m.Store.Discard(ctx, key)
		}
	}, rule: "an attempt that broke off is discarded when its lease is over, marked, and lets the next of its order go"},
	"what broke off is discarded without a mark": {
		trigger: "AFTER UPDATE ON handrail_deliveries WHEN OLD.state = 1 AND NEW.state = 4 AND NEW.stored = 0 AND NEW.place IS NULL BEGIN UPDATE handrail_deliveries SET maybe_processed = OLD.maybe_processed WHERE event_key = NEW.event_key; END",
		rule:    "an attempt that broke off is discarded when its lease is over, marked, and lets the next of its order go"},
	"what broke off is not said to wait": {fault: func(m *inboxMutant) {
		m.entry = func(e webhook.Entry, err error) (webhook.Entry, error) {
			if e.Kept != nil && e.State == webhook.StateClaimed {
				e.Kept.Due = time.Time{}
			}
			return e, err
		}
	}, rule: "an attempt that broke off is revived when its lease is over, marked, and counts"},
	"what is under way is said to wait": {fault: func(m *inboxMutant) {
		m.entry = func(e webhook.Entry, err error) (webhook.Entry, error) {
			if e.Kept != nil && e.State == webhook.StateClaimed {
				e.Kept.Due = e.LeaseUntil
			}
			return e, err
		}
	}, rule: "a message under way can neither be revived nor discarded"},
	"what is claimed is not counted": {fault: func(m *inboxMutant) {
		m.backlog = func(ctx context.Context) ([]webhook.Backlog, error) {
			all, err := m.Store.Backlog(ctx)
			for i := range all {
				claimed, _, listErr := m.List(ctx, webhook.Query{Route: all[i].Route, States: []webhook.State{webhook.StateClaimed}, Limit: 1000})
				err = errors.Join(err, listErr)
				all[i].Waiting -= int64(len(claimed))
			}
			return all, err
		}
	}, rule: "a message that waits is kept without end, and knows its age"},
	"a message is looked up, then kept": {fault: func(m *inboxMutant) {
		m.put = func(ctx context.Context, key string, s webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
			r, err := m.Lookup(ctx, key)
			if err != nil || r.State != webhook.StateAbsent {
				return m.Store.Put(ctx, key, s, req)
			}
			time.Sleep(time.Millisecond) // where another process gets its turn
			c, err := m.Store.Put(ctx, key, s, req)
			if c.Status == webhook.Waiting && c.Fence == 0 {
				c.Status = webhook.Accepted
			}
			return c, err
		}
	}, rule: "of 100 concurrent copies one is kept"},
	"two takers get one message": {fault: func(m *inboxMutant) {
		last := make(chan webhook.Taken, 1)
		m.take = func(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
			taken, err := m.Store.Take(ctx, route, limit, lease)
			if limit == 3 && len(taken) == 3 {
				select {
				case last <- taken[0]:
				case again := <-last:
					return []webhook.Taken{again}, errors.Join(err, m.Store.Fail(ctx, taken[1].Key, taken[1].Fence, webhook.Failure{Then: webhook.StateRetry}))
				default:
				}
			}
			return taken, err
		}
	}, rule: "each message is taken by one of many takers"},
}

func TestEveryFaultOfAnInboxBreaksARule(t *testing.T) {
	for name, tt := range inboxFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, rule := range webhooktest.InboxRules() {
				path := filepath.Join(t.TempDir(), "d.sqlite")
				m, db := &inboxMutant{Store: open(t, path)}, raw(t, path)
				if tt.trigger != "" {
					_, err := db.Exec("CREATE TRIGGER fault " + tt.trigger)
					noError(t, err)
				}
				if tt.fault != nil {
					tt.fault(m)
				}
				f := webhooktest.Fixture{Store: m, Advance: func(d time.Duration) { age(t, db, d) }, Seed: 1}
				if err := rule.Check(t.Context(), f); err != nil {
					t.Logf("broke %q: %v", rule.Name, err)
					if rule.Name != tt.rule {
						t.Errorf("broke %q, want %q", rule.Name, tt.rule)
					}
					return
				}
			}
			t.Error("no rule broke")
		})
	}
}
