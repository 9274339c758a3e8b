package webhooktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// InboxRules returns what every store keeps to that is a [webhook.Inbox], beside
// Rules and LedgerRules. Each takes a fixture of its own.
func InboxRules() []Rule {
	var all []Rule
	for _, group := range [][]Rule{
		inboxPutRules, inboxTakeRules, inboxFailRules, inboxOrderRules, inboxLedgerRules, inboxTogetherRules, inboxModelRules,
	} {
		all = append(all, group...)
	}
	return all
}

// RunInbox checks each of InboxRules as a subtest of t, on a fixture that open
// makes, whose store is a [webhook.Inbox].
func RunInbox(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	runRules(t, InboxRules(), open)
}

// inboxDriver is a driver of a store that is an inbox.
type inboxDriver struct {
	ledgerDriver
	box   webhook.Inbox
	began time.Time
}

func inboxRule(name string, check func(d inboxDriver)) Rule {
	return rule(name, func(d *driver) {
		box, ok := d.Store.(webhook.Inbox)
		if !ok {
			d.failf("%T is no webhook.Inbox", d.Store)
			return
		}
		check(inboxDriver{ledgerDriver{d, box}, box, time.Now()})
	})
}

// aged reports whether age is want, but for real time that passed since the rule
// began.
func (d inboxDriver) aged(age, want time.Duration) bool {
	return age > want-slack && age < want+slack+time.Since(d.began)
}

// boxes are the handles on the inbox.
func (d inboxDriver) boxes() []webhook.Inbox {
	var all []webhook.Inbox
	for _, s := range d.handles() {
		if box, ok := s.(webhook.Inbox); ok {
			all = append(all, box)
		}
	}
	return all
}

// message is one of route r whose body is its name.
func message(name, order string) webhook.Stored {
	return webhook.Stored{
		Route: "r", Order: order, Event: webhook.Verified{ID: name, Type: "a.b", IDSigned: true},
		Target: "/hook?" + name, Host: "app.example", RemoteAddr: "192.0.2.1:1",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(name),
	}
}

// put puts a message under "r/" and its name, and compares the answer.
func (d inboxDriver) put(name, order string, want webhook.Claim) {
	if d.err != nil {
		return
	}
	got, err := d.box.Put(d.ctx, "r/"+name, message(name, order), request)
	switch {
	case err != nil:
		d.failf("Put(%q): %w", name, err)
	case got.Status == webhook.InFlight && (got.LeaseLeft <= 0 || got.LeaseLeft > lease):
		d.failf("Put(%q): in flight with %v left", name, got.LeaseLeft)
	}
	got.LeaseLeft = 0
	if !reflect.DeepEqual(got, want) {
		d.failf("Put(%q) = %+v, want %+v", name, got, want)
	}
}

// accepts puts new messages of one order.
func (d inboxDriver) accepts(order string, names ...string) {
	for _, name := range names {
		d.put(name, order, webhook.Claim{Status: webhook.Accepted})
	}
}

func (d inboxDriver) take(route string, limit int) []webhook.Taken {
	if d.err != nil {
		return nil
	}
	taken, err := d.box.Take(d.ctx, route, limit, lease)
	if err != nil {
		d.failf("Take: %w", err)
	}
	if len(taken) > limit {
		d.failf("Take of %d returned %d", limit, len(taken))
	}
	return taken
}

// taken is what a Take is to return, but for age and message.
type taken struct {
	name    string
	fence   int64
	attempt int
	maybe   bool
}

func first(names ...string) []taken {
	var all []taken
	for _, name := range names {
		all = append(all, taken{name, 1, 1, false})
	}
	return all
}

// takes takes what it can of route r, and compares it; its order does not matter.
func (d inboxDriver) takes(want ...taken) []webhook.Taken {
	got := d.take("r", 100)
	if d.err != nil {
		return nil
	}
	found := make(map[taken]bool)
	for _, g := range got {
		name := g.Message.Event.ID
		found[taken{name, g.Fence, g.Attempt, g.MaybeProcessed}] = true
		if g.Key != "r/"+name || !same(g.Message, message(name, g.Message.Order)) {
			d.failf("Take: %q with the message %+v", g.Key, g.Message)
		}
	}
	for _, w := range want {
		if !found[w] {
			d.failf("Take returned %+v, want %+v", found, want)
		}
	}
	if len(got) != len(want) {
		d.failf("Take returned %+v, want %+v", found, want)
	}
	return got
}

// same compares messages; an empty header or body may be nil.
func same(a, b webhook.Stored) bool {
	if !bytes.Equal(a.Body, b.Body) || len(a.Header) != len(b.Header) {
		return false
	}
	for name, values := range a.Header {
		if !slices.Equal(values, b.Header[name]) {
			return false
		}
	}
	a.Body, a.Header, b.Body, b.Header = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// fails ends an attempt.
func (d inboxDriver) fails(name string, fence int64, f webhook.Failure) {
	if d.err != nil {
		return
	}
	if err := d.box.Fail(d.ctx, "r/"+name, fence, f); err != nil {
		d.failf("Fail(%q, %d, %+v): %w", name, fence, f, err)
	}
}

// fail is Fail as a step of a store.
func fail(f webhook.Failure) step {
	return step{fmt.Sprintf("Fail(%+v)", f), func(ctx context.Context, s webhook.Store, key string, fence int64) error {
		box, ok := s.(webhook.Inbox)
		if !ok {
			return fmt.Errorf("%T is no webhook.Inbox", s)
		}
		return box.Fail(ctx, key, fence, f)
	}, f.Then}
}

// keeps compares what is kept of a message, and what the ledger tells of it.
func (d inboxDriver) keeps(name, order string) webhook.Entry {
	if d.err != nil {
		return webhook.Entry{}
	}
	m, err := d.box.Message(d.ctx, "r/"+name)
	if err != nil || !same(m, message(name, order)) {
		d.failf("Message(%q) = %+v, %w", name, m, err)
		return webhook.Entry{}
	}
	e, err := d.Entry(d.ctx, "r/"+name)
	if err != nil || e.Kept == nil {
		d.failf("Entry(%q) = %+v, %w, of a message that is kept", name, e, err)
		return webhook.Entry{Kept: &webhook.Kept{}}
	}
	k := e.Kept
	if k.Order != order || k.EventType != "a.b" || k.BodyBytes != int64(len(name)) || k.Received.IsZero() {
		d.failf("Entry(%q) keeps %+v", name, *k)
	}
	switch dead := e.State == webhook.StateDead; {
	case e.Expires.IsZero() == dead:
		d.failf("%q is %v until %v", name, e.State, e.Expires)
	case e.State != webhook.StateClaimed && k.Due.IsZero() == (e.State == webhook.StateRetry):
		d.failf("%q is %v and due at %v", name, e.State, k.Due)
	case e.LeaseUntil.IsZero() == (e.State == webhook.StateClaimed):
		d.failf("%q is %v, and its claim ends at %v", name, e.State, e.LeaseUntil)
	}
	return e
}

// waits wants the ledger to tell of a claimed message whether it waits: whether its
// lease has ended.
func (d inboxDriver) waits(e webhook.Entry, ended bool) {
	if d.err == nil && e.Kept.Due.IsZero() == ended {
		d.failf("%q is %v, its lease over: %v, and due at %v", e.Key, e.State, ended, e.Kept.Due)
	}
}

// breaksOff takes the one message that is due, and lets its lease end. paused: it
// is not due then.
func (d inboxDriver) breaksOff(name, order string, paused bool) {
	d.takes(first(name)...)
	if paused {
		d.fails(name, 1, webhook.Failure{Then: webhook.StateClaimed, After: retention, Reason: "no_answer"})
	}
	d.Advance(pastLease)
	if paused {
		d.takes()
	}
	d.record("r/"+name, webhook.Record{State: webhook.StateClaimed, Fence: 1, Attempt: 1, BodyDigest: body})
	e := d.keeps(name, order)
	d.waits(e, true)
	if d.err == nil && e.Kept.Due.After(e.LeaseUntil) != paused {
		d.failf("%q is due at %v, its lease ended at %v", name, e.Kept.Due, e.LeaseUntil)
	}
}

// lacks wants a key without a message.
func (d inboxDriver) lacks(name string) {
	if d.err != nil {
		return
	}
	if _, err := d.box.Message(d.ctx, "r/"+name); !errors.Is(err, webhook.ErrNoMessage) {
		d.failf("Message(%q): %v, want ErrNoMessage", name, err)
	}
	if e, err := d.Entry(d.ctx, "r/"+name); err == nil {
		d.sound(e)
	} else if !errors.Is(err, webhook.ErrUnknownDelivery) {
		d.failf("Entry(%q): %w", name, err)
	}
}

// backlog compares all that is kept. What is Oldest is known to some seconds.
func (d inboxDriver) backlog(want ...webhook.Backlog) {
	if d.err != nil {
		return
	}
	got, err := d.box.Backlog(d.ctx)
	if err != nil {
		d.failf("Backlog: %w", err)
		return
	}
	slices.SortFunc(got, func(a, b webhook.Backlog) int { return bytes.Compare([]byte(a.Route), []byte(b.Route)) })
	right := len(got) == len(want)
	for i := 0; right && i < len(got); i++ {
		right = got[i].Route == want[i].Route && got[i].Waiting == want[i].Waiting && got[i].Dead == want[i].Dead &&
			d.aged(got[i].Oldest, want[i].Oldest)
	}
	if !right {
		d.failf("Backlog = %+v, want %+v", got, want)
	}
}

const (
	// backoff ends a second before a step of the clock, as lease does.
	backoff     = 59 * time.Second
	pastBackoff = 60 * time.Second
)

var (
	again    = webhook.Failure{Then: webhook.StateRetry, After: backoff, MaybeProcessed: true, Status: 500, Reason: "upstream_status"}
	atOnce   = webhook.Failure{Then: webhook.StateRetry}
	untried  = webhook.Failure{Then: webhook.StateRetry, Untried: true, Reason: "draining"}
	unknown  = webhook.Failure{Then: webhook.StateClaimed, After: backoff, Reason: "no_answer"}
	never    = webhook.Failure{Then: webhook.StateDead, Status: 410, Reason: "discarded"}
	waiting0 = webhook.Record{State: webhook.StateRetry, BodyDigest: body}
)
