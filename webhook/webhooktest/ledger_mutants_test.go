package webhooktest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestLedgerOfMemory(t *testing.T) {
	webhooktest.RunLedger(t, func(t *testing.T) webhooktest.Fixture {
		m, c := memory(t)
		return webhooktest.Fixture{Store: m, Advance: c.Advance}
	})
}

// ledgerMutant is a store whose ledger has a fault. A nil function is that of
// the sound one.
type ledgerMutant struct {
	*webhook.Memory
	list            func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error)
	entry           func(e webhook.Entry, err error) (webhook.Entry, error)
	revive, discard func(ctx context.Context, key string) error
}

func (m *ledgerMutant) List(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
	if m.list == nil {
		return m.Memory.List(ctx, q)
	}
	return m.list(ctx, q)
}

func (m *ledgerMutant) Entry(ctx context.Context, key string) (webhook.Entry, error) {
	e, err := m.Memory.Entry(ctx, key)
	if m.entry == nil {
		return e, err
	}
	return m.entry(e, err)
}

func (m *ledgerMutant) Revive(ctx context.Context, key string) error {
	if m.revive == nil {
		return m.Memory.Revive(ctx, key)
	}
	return m.revive(ctx, key)
}

func (m *ledgerMutant) Discard(ctx context.Context, key string) error {
	if m.discard == nil {
		return m.Memory.Discard(ctx, key)
	}
	return m.discard(ctx, key)
}

// finds runs rules over what open makes until one breaks, and returns its name.
func finds(t *testing.T, rules []webhooktest.Rule, open func() webhooktest.Fixture) string {
	t.Helper()
	for _, rule := range rules {
		f := open()
		f.Seed = 1
		if err := rule.Check(t.Context(), f); err != nil {
			t.Logf("broke %q: %v", rule.Name, err)
			return rule.Name
		}
	}
	return ""
}

func TestEveryFaultOfALedgerBreaksARule(t *testing.T) {
	faults := map[string]struct {
		fault func(m *ledgerMutant)
		rule  string
	}{
		"a page is one too long": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				if q.Check() == nil && q.Limit < 1000 {
					q.Limit++
				}
				return m.Memory.List(ctx, q)
			}
		}, "every delivery is listed, whatever the size of pages"},
		"a page loses its last delivery": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				page, after, err := m.Memory.List(ctx, q)
				if after != "" {
					page = page[:len(page)-1]
				}
				return page, after, err
			}
		}, "every delivery is listed, whatever the size of pages"},
		"a route is a prefix": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				route := q.Route
				q.Route = ""
				page, after, err := m.Memory.List(ctx, q)
				var kept []webhook.Entry
				for _, e := range page {
					if strings.HasPrefix(e.Key, route) {
						kept = append(kept, e)
					}
				}
				return kept, after, err
			}
		}, "a route's list holds its own deliveries and no other's"},
		"states are not looked at": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				q.States = nil
				return m.Memory.List(ctx, q)
			}
		}, "a list by state holds those alone"},
		"the limit is taken as it comes": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				q.Limit = min(max(q.Limit, 1), 1000)
				return m.Memory.List(ctx, q)
			}
		}, "a limit below 1 or above 1000 is an error"},
		"the place in a list is a count": {func(m *ledgerMutant) {
			m.list = func(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
				if err := q.Check(); err != nil {
					return nil, "", err
				}
				if err := ctx.Err(); err != nil {
					return nil, "", err
				}
				limit, skip := q.Limit, len(q.After)
				q.After, q.Limit = "", 1000
				page, _, err := m.Memory.List(ctx, q)
				page = page[min(skip, len(page)):]
				if len(page) <= limit {
					return page, "", err
				}
				return page[:limit], strings.Repeat("x", skip+limit), err
			}
		}, "a list that others change meanwhile holds what does not change"},
		"a claim tells no end": {func(m *ledgerMutant) {
			m.entry = func(e webhook.Entry, err error) (webhook.Entry, error) {
				e.LeaseUntil = time.Time{}
				return e, err
			}
		}, "an entry tells what a look-up does, and until when"},
		"a lease ends when it was claimed": {func(m *ledgerMutant) {
			m.entry = func(e webhook.Entry, err error) (webhook.Entry, error) {
				if !e.LeaseUntil.IsZero() {
					e.LeaseUntil = e.Updated
				}
				return e, err
			}
		}, "an entry tells what a look-up does, and until when"},
		"what is unknown is an empty entry": {func(m *ledgerMutant) {
			m.entry = func(e webhook.Entry, err error) (webhook.Entry, error) {
				if errors.Is(err, webhook.ErrUnknownDelivery) {
					err = nil
				}
				return e, err
			}
		}, "a key that is absent, or past its retention, is unknown"},
		"whatever is revived succeeds": {func(m *ledgerMutant) {
			m.revive = func(ctx context.Context, key string) error {
				err := m.Memory.Revive(ctx, key)
				if errors.Is(err, webhook.ErrWrongState) {
					err = nil
				}
				return err
			}
		}, "only a dead delivery can be revived"},
		"a revival changes nothing": {func(m *ledgerMutant) {
			m.revive = func(context.Context, string) error { return nil }
		}, "a key that is absent, or past its retention, is unknown"},
		"a discard changes nothing": {func(m *ledgerMutant) {
			m.discard = func(ctx context.Context, key string) error {
				e, err := m.Memory.Entry(ctx, key)
				if err == nil && e.State != webhook.StateRetry && e.State != webhook.StateDead {
					err = webhook.ErrWrongState
				}
				return err
			}
		}, "a delivery to retry that is discarded is dead for its retention"},
		"a claim can be discarded": {func(m *ledgerMutant) {
			m.discard = func(ctx context.Context, key string) error {
				if r, err := m.Lookup(ctx, key); err == nil && r.State == webhook.StateClaimed {
					return m.Kill(ctx, key, r.Fence)
				}
				return m.Memory.Discard(ctx, key)
			}
		}, "a claimed and a done delivery cannot be discarded, a dead one stays as it is"},
		"a discard is looked up, then done": {func(m *ledgerMutant) {
			m.discard = func(ctx context.Context, key string) error {
				r, err := m.Lookup(ctx, key)
				if err == nil && r.State == webhook.StateRetry {
					time.Sleep(time.Millisecond) // where another process gets its turn
					if err = m.Memory.Discard(ctx, key); errors.Is(err, webhook.ErrWrongState) {
						err = nil
					}
					return err
				}
				return m.Memory.Discard(ctx, key)
			}
		}, "of a claim and a discard at once one happens"},
		"a revival is looked up, then done": {func(m *ledgerMutant) {
			m.revive = func(ctx context.Context, key string) error {
				r, err := m.Lookup(ctx, key)
				if err == nil && r.State == webhook.StateDead {
					time.Sleep(time.Millisecond) // where another process gets its turn
					if err = m.Memory.Revive(ctx, key); errors.Is(err, webhook.ErrWrongState) {
						err = nil
					}
					return err
				}
				return m.Memory.Revive(ctx, key)
			}
		}, "of concurrent revivals one happens, and one claim follows"},
	}
	for name, tt := range faults {
		t.Run(name, func(t *testing.T) {
			got := finds(t, webhooktest.LedgerRules(), func() webhooktest.Fixture {
				s, c := memory(t)
				m := &ledgerMutant{Memory: s}
				tt.fault(m)
				return webhooktest.Fixture{Store: m, Advance: c.Advance}
			})
			if got != tt.rule {
				t.Errorf("broke %q, want %q", got, tt.rule)
			}
		})
	}
}
