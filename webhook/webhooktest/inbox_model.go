package webhooktest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// inboxModel is an inbox in its plainest form, see model.
type inboxModel struct {
	model
	kept map[string]*modelMessage
	puts int
}

// modelMessage is a message that is kept of a key.
type modelMessage struct {
	route, order         string
	place, taken         int
	received, begun, due time.Duration
}

const forever = time.Duration(1<<63 - 1)

// find returns the key and its message, forgetting what is past its retention.
func (m *inboxModel) find(key string) (*modelKey, *modelMessage) {
	k := m.get(key)
	if k.State == webhook.StateAbsent {
		delete(m.kept, key)
	}
	return k, m.kept[key]
}

// live reports whether the message of key waits or is claimed.
func (m *inboxModel) live(key string) bool {
	k, msg := m.find(key)
	return msg != nil && k.State != webhook.StateDead
}

func (m *inboxModel) claim(key string, req webhook.ClaimRequest) webhook.Claim {
	k, _ := m.find(key)
	if !m.live(key) {
		return m.model.claim(key, req)
	}
	c := webhook.Claim{
		Status: webhook.Waiting, Fence: k.Fence, Attempt: k.Attempt, MaybeProcessed: k.MaybeProcessed,
		BodyChanged: k.BodyDigest != req.BodyDigest,
	}
	if c.BodyChanged && req.SameBody {
		c.Status = webhook.OtherBody
	}
	return c
}

func (m *inboxModel) put(key, route, order string, req webhook.ClaimRequest) webhook.Claim {
	before := *m.get(key)
	fence, attempt := before.Fence, before.Attempt
	c := m.claim(key, req)
	if c.Status != webhook.Claimed {
		return c
	}
	k := m.keys[key]
	k.State, k.Fence, k.Attempt, k.keptUntil = webhook.StateRetry, fence, attempt, forever
	m.puts++
	m.kept[key] = &modelMessage{route: route, order: order, place: m.puts, received: m.now, begun: m.now, due: m.now}
	c.Status, c.Fence, c.Attempt = webhook.Accepted, k.Fence, k.Attempt
	return c
}

// available are the keys of a route that can be taken.
func (m *inboxModel) available(route string) map[string]bool {
	all := make(map[string]bool)
	for key := range m.kept {
		if _, msg := m.find(key); m.live(key) && msg.route == route && msg.due <= m.now && !m.blocked(key, msg) {
			all[key] = true
		}
	}
	return all
}

func (m *inboxModel) blocked(key string, msg *modelMessage) bool {
	for other := range m.kept {
		k, o := m.find(other)
		if other == key || msg.order == "" || !m.live(other) || o.route != msg.route || o.order != msg.order {
			continue
		}
		if o.place < msg.place || k.State == webhook.StateClaimed && m.now < k.leaseUntil {
			return true
		}
	}
	return false
}

func (m *inboxModel) take(key string) webhook.Taken {
	k, msg := m.find(key)
	k.MaybeProcessed = k.MaybeProcessed || k.State == webhook.StateClaimed
	k.State, k.Fence, k.Attempt = webhook.StateClaimed, k.Fence+1, k.Attempt+1
	k.leaseUntil = m.now + lease
	msg.taken++
	msg.due = k.leaseUntil
	return webhook.Taken{Key: key, Fence: k.Fence, Attempt: msg.taken, MaybeProcessed: k.MaybeProcessed}
}

func (m *inboxModel) settle(key string, fence int64, to webhook.State, maybe bool, a *webhook.Answer) error {
	k, msg := m.find(key)
	claimed := k.State == webhook.StateClaimed
	err := m.model.settle(key, fence, to, maybe, a)
	if err != nil || msg == nil || !claimed {
		return err
	}
	switch to {
	case webhook.StateDone:
		delete(m.kept, key)
	case webhook.StateRetry:
		k.keptUntil, msg.due = forever, m.now
	}
	return nil
}

func (m *inboxModel) fail(key string, fence int64, f webhook.Failure) error {
	k, msg := m.find(key)
	switch {
	case k.Fence != fence || msg == nil:
		return webhook.ErrStaleFence
	case k.State != webhook.StateClaimed && k.State == f.Then:
		return nil
	case k.State != webhook.StateClaimed:
		return webhook.ErrStaleFence
	}
	k.State = f.Then
	if f.Untried {
		k.Attempt--
		msg.taken--
	}
	k.MaybeProcessed = k.MaybeProcessed || f.MaybeProcessed
	msg.due = m.now + f.After
	switch f.Then {
	case webhook.StateClaimed:
		msg.due = max(msg.due, k.leaseUntil)
	case webhook.StateDead:
		k.keptUntil = m.now + k.retention
	}
	return nil
}

func (m *inboxModel) revive(key string) error {
	k, msg := m.find(key)
	if msg == nil {
		return m.model.revive(key)
	}
	switch {
	case k.State == webhook.StateDead:
		k.State, k.Attempt, k.MaybeProcessed, k.keptUntil = webhook.StateRetry, 0, true, forever
		msg.taken, msg.begun, msg.due = 0, m.now, m.now
		return nil
	case m.waits(key):
		k.MaybeProcessed = k.MaybeProcessed || k.State == webhook.StateClaimed
		k.State, msg.due = webhook.StateRetry, m.now
		return nil
	}
	return webhook.ErrWrongState
}

// waits reports whether key has a message, and no attempt is under way.
func (m *inboxModel) waits(key string) bool {
	k, msg := m.find(key)
	return msg != nil && (k.State == webhook.StateRetry || k.State == webhook.StateClaimed && m.now >= k.leaseUntil)
}

func (m *inboxModel) discard(key string) error {
	if k, _ := m.find(key); k.State == webhook.StateClaimed && m.waits(key) {
		k.State, k.MaybeProcessed = webhook.StateRetry, true
	}
	err := m.model.discard(key)
	if err == nil {
		delete(m.kept, key)
	}
	return err
}

func (m *inboxModel) backlog() []webhook.Backlog {
	by := make(map[string]*webhook.Backlog)
	for key := range maps.Clone(m.kept) {
		k, msg := m.find(key)
		if msg == nil {
			continue
		}
		if by[msg.route] == nil {
			by[msg.route] = &webhook.Backlog{Route: msg.route}
		}
		b := by[msg.route]
		if k.State == webhook.StateDead {
			b.Dead++
			continue
		}
		b.Waiting++
		b.Oldest = max(b.Oldest, m.now-msg.received)
	}
	var all []webhook.Backlog
	for _, route := range slices.Sorted(maps.Keys(by)) {
		all = append(all, *by[route])
	}
	return all
}

var inboxModelRules = []Rule{
	inboxRule("random steps of an inbox agree with the model", func(d inboxDriver) {
		rng := rand.New(rand.NewPCG(d.Seed, 2))
		m := &inboxModel{model: model{keys: make(map[string]*modelKey)}, kept: make(map[string]*modelMessage)}
		for i := 0; i < modelSteps && d.err == nil; i++ {
			said := d.randomInboxStep(rng, m)
			if d.err != nil {
				d.err = fmt.Errorf("step %d of seed %d: %s: %w", i, d.Seed, said, d.err)
			}
		}
	}),
}

// inboxKeys are messages by name, with their orders.
var inboxKeys = []struct{ name, order string }{{"a", "o"}, {"b", "o"}, {"c", "o"}, {"d", ""}, {"e", "p"}, {"f", "p"}}

// randomInboxStep takes one step on both sides and compares; it returns what it
// was.
func (d inboxDriver) randomInboxStep(rng *rand.Rand, m *inboxModel) string {
	which := inboxKeys[rng.IntN(len(inboxKeys))]
	key := "r/" + which.name
	defer func() {
		k, msg := m.find(key)
		d.record(key, k.Record)
		if msg == nil {
			d.lacks(which.name)
		} else {
			d.waits(d.keeps(which.name, which.order), m.waits(key))
		}
	}()
	req := request
	req.SameBody, req.BodyDigest = rng.IntN(4) == 0, [...]webhook.Digest{body, body, otherBody}[rng.IntN(3)]
	switch n := rng.IntN(100); {
	case n < 20:
		got, err := d.box.Put(d.ctx, key, message(which.name, which.order), req)
		got.LeaseLeft = 0
		if want := m.put(key, "r", which.order, req); err != nil || !reflect.DeepEqual(got, want) {
			d.failf("got %+v, %w, want %+v", got, err, want)
		}
		return fmt.Sprintf("Put(%q, %+v)", key, req)
	case n < 40:
		d.randomTake(rng, m)
		return "Take"
	case n < 46:
		got := d.claim(key, req)
		got.LeaseLeft = 0
		if want := m.claim(key, req); !reflect.DeepEqual(got, want) {
			d.failf("got %+v, want %+v", got, want)
		}
		return fmt.Sprintf("Claim(%q, %+v)", key, req)
	case n < 84:
		return d.randomChange(rng, m, key)
	case n < 88:
		d.purge()
		d.backlog(m.backlog()...)
		return "Purge and Backlog"
	default:
		by := [...]time.Duration{10 * time.Second, 20 * time.Second, pastLease, pastBackoff, pastRetention}[rng.IntN(5)]
		d.Advance(by)
		m.now += by
		return fmt.Sprintf("Advance(%v)", by)
	}
}

// randomChange takes a step on key that is said to succeed or not.
func (d inboxDriver) randomChange(rng *rand.Rand, m *inboxModel, key string) string {
	k, _ := m.find(key)
	fence := k.Fence + [...]int64{0, 0, 0, 0, -1, 1}[rng.IntN(6)]
	agree := func(got, want error) {
		if !errors.Is(got, want) {
			d.failf("got %v, want %v", got, want)
		}
	}
	switch n := rng.IntN(30); {
	case n < 8:
		agree(d.Store.Complete(d.ctx, key, fence, nil), m.settle(key, fence, webhook.StateDone, false, nil))
		return fmt.Sprintf("Complete(%q, %d)", key, fence)
	case n < 12:
		agree(d.Store.Release(d.ctx, key, fence, true), m.settle(key, fence, webhook.StateRetry, true, nil))
		return fmt.Sprintf("Release(%q, %d)", key, fence)
	case n < 16:
		agree(d.Store.Kill(d.ctx, key, fence), m.settle(key, fence, webhook.StateDead, false, nil))
		return fmt.Sprintf("Kill(%q, %d)", key, fence)
	case n < 22:
		f := [...]webhook.Failure{again, atOnce, untried, unknown, unknown, never, never}[rng.IntN(7)]
		agree(d.box.Fail(d.ctx, key, fence, f), m.fail(key, fence, f))
		return fmt.Sprintf("Fail(%q, %d, %+v)", key, fence, f)
	case n < 27:
		agree(d.Revive(d.ctx, key), m.revive(key))
		return fmt.Sprintf("Revive(%q)", key)
	default:
		agree(d.Discard(d.ctx, key), m.discard(key))
		return fmt.Sprintf("Discard(%q)", key)
	}
}

// randomTake takes some, or all, of what is due; which of them is the store's.
func (d inboxDriver) randomTake(rng *rand.Rand, m *inboxModel) {
	can := m.available("r")
	limit := 1 + rng.IntN(len(inboxKeys))
	got := d.take("r", limit)
	if len(got) != min(limit, len(can)) {
		d.failf("Take(%d) returned %d, of %v", limit, len(got), can)
	}
	for _, t := range got {
		if !can[t.Key] {
			d.failf("Take returned %q, want some of %v", t.Key, can)
			return
		}
		delete(can, t.Key)
		_, msg := m.find(t.Key)
		if age := m.now - msg.begun; !d.aged(t.Age, age) {
			d.failf("%q has an age of %v, want %v", t.Key, t.Age, age)
		}
		t.Age, t.Message = 0, webhook.Stored{}
		if want := m.take(t.Key); !reflect.DeepEqual(t, want) {
			d.failf("Take returned %+v, want %+v", t, want)
		}
	}
}
