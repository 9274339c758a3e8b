package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The replay guard is for providers whose signature covers the body but not the
// id: who has captured a message could send it again under an id of his own. A
// second record in the same store, the guard, stands for the body (and, where a
// provider sends one body under several topics, its topic). Done, it holds the
// id that the body was handled under, its owner, and which of guardHandled,
// guardDead and guardKept it was done for.
//
// In sync mode the event is claimed first, then the guard. The guard is claimed
// once for the body, whatever ids it comes under: it is done before its event
// is, and given back before its event is. A crash, or a step of the store that
// fails, between two steps leaves this:
//
//	event claimed, no guard          both are free when the lease ends
//	event and guard claimed          the same; the next attempt, under whatever
//	                                 id, is marked as maybe processed
//	guard done, event claimed        a copy under the same id goes on, marked. One
//	                                 under another id is a duplicate, or dead: the
//	                                 guard says that the handler answered so. With
//	                                 ReplayAnswers it waits, as in flight, for the
//	                                 owner, since the answer is not on record
//	guard free, event claimed        (after a failure) the event's lease ends
//
// So a body is never free while the event that had its effect is not done, and
// an event that failed for good does not keep its body: a message under another
// id takes over, with the mark of the attempt before it. That an operator has
// discarded such an event since, the guard does not know: its record is free, and
// names nobody.
//
// In inbox mode the guard is done before the message is kept, so that a message
// that is kept has its guard:
//
//	guard claimed                    it is free when the lease ends
//	guard done, nothing kept         whoever comes next with the body is kept, under
//	                                 whatever id he comes, as the owner: under the
//	                                 owner's key, so that he and all that come later
//	                                 are one event
//	guard done, message kept         the message is delivered
//
// The same is done in sync mode (the route may have been changed meanwhile), and
// for an owner that waits for another attempt but has no message: one that failed
// when its guard was done already, or that an operator revived. Whoever acts as
// the owner claims the owner's key, so that of several one does. In sync mode his
// own key is given back before that; his next copy finds the owner, and is settled
// as it.
//
// An id that is on record for another body is refused before that, so that it
// cannot take the body of an event that is still to come; where two messages under
// one id race, the record of the id tells that its body was another, and the guard
// does not count.
//
// A guard's time runs from when it was done, its event's from its own end. In sync
// mode the two are a crash apart at most. In inbox mode both are kept so much longer
// than Config.Retention that the guard outlasts the outcome by Config.Retention
// (see retention), and that an owner which is absent was never kept. What the bound
// does not hold for is an event that ends later than MaxAge and one more attempt
// after its guard was done: one revived by an operator, one that was kept long after
// its guard was done, and one that waited while nothing was delivered, or behind
// others in its order. Its body may come again under another id when the guard has
// ended, and is a new event then.

const guardPrefix = "replay:"

// What a guard was done for: the status of its answer.
const (
	guardHandled = http.StatusOK       // the handler succeeded
	guardKept    = http.StatusAccepted // the message is to be kept
	guardDead    = http.StatusGone     // by a status of DiscardStatuses
)

// IsGuard reports whether a key of a [Store] is the middleware's own note of a
// body, not an event: see [Provider].ReplayGuard.
func IsGuard(key string) bool {
	_, id, _ := strings.Cut(key, "/")
	return strings.HasPrefix(id, guardPrefix)
}

// guard is the guard of one message. Without a key there is none.
type guard struct {
	key   string
	fence int64
	held  bool // claimed by this message, and not settled yet
}

func newGuard(route, topic string, body Digest) guard {
	// Who reads a topic may do so whatever its case.
	sum := digestOf([]byte(strings.ToLower(topic)), []byte{0}, body[:])
	return guard{key: route + "/" + guardPrefix + hex.EncodeToString(sum[:])}
}

// retention is how long the outcome of the message is remembered. In an inbox a
// message that is guarded may wait before it has one: for MaxAge, for the pause
// after the last attempt before that, and for that attempt and the next.
func (d *inbound) retention() time.Duration {
	cfg := &d.m.cfg
	if cfg.Inbox == nil || d.guard.key == "" {
		return cfg.Retention
	}
	return cfg.Retention + cfg.Inbox.MaxAge + cfg.Inbox.LongestRetry + 2*cfg.Inbox.lease(*cfg)
}

// close makes a guard that is held done, by the id of d.
func (g *guard) close(ctx context.Context, d *inbound, what int) error {
	if !g.held {
		return nil
	}
	err := d.m.cfg.Store.Complete(ctx, g.key, g.fence, &Answer{Status: what, ContentType: "text/plain", Body: []byte(d.id)})
	g.held = err != nil
	return err
}

// open gives a guard that is held back.
func (g *guard) open(ctx context.Context, d *inbound, maybeProcessed bool) error {
	if !g.held {
		return nil
	}
	return d.m.cfg.Store.Release(ctx, g.key, g.fence, maybeProcessed)
}

// verdict is what a guard says of a message.
type verdict uint8

const (
	verdictPass   verdict = iota + 1
	verdictBusy           // the body is being handled, or was, under another id
	verdictDone           // it was handled under another id
	verdictStored         // it is in the inbox under another id
	verdictDead
	verdictOwner // it came under another id, and is to be handled under that
)

// ruling is a verdict with what belongs to it.
type ruling struct {
	verdict verdict
	claim   Claim   // of the guard
	owner   string  // the id that the body was handled under, if another
	answer  *Answer // of that
}

// askGuard claims the guard, or says what is in the way; see patiently.
func (d *inbound) askGuard(ctx context.Context) (r ruling, err error) {
	err = d.patiently(ctx, func(ctx context.Context) (bool, error) {
		r, err = d.askGuardOnce(ctx)
		return r.verdict == verdictBusy, err
	})
	return r, err
}

func (d *inbound) askGuardOnce(ctx context.Context) (ruling, error) {
	c, err := d.m.cfg.Store.Claim(ctx, d.guard.key, ClaimRequest{
		Lease: d.m.cfg.Lease, Retention: d.retention(), BodyDigest: sha256.Sum256([]byte(d.id)),
	})
	if err != nil {
		return ruling{}, err
	}
	r := ruling{claim: c}
	switch c.Status {
	case Claimed:
		d.guard.fence, d.guard.held = c.Fence, true
		r.verdict = verdictPass
	case InFlight:
		r.verdict = verdictBusy
	case Dead: // an operator's doing
		r.verdict = verdictDead
	case Done:
		return d.askOwner(ctx, r)
	default:
		return ruling{}, errors.New("webhook: store returned an " + c.Status.String() + " guard")
	}
	return r, nil
}

// askOwner looks at the event that a guard which is done names.
func (d *inbound) askOwner(ctx context.Context, r ruling) (ruling, error) {
	if r.claim.Answer == nil {
		// The store had no room for the id. The digest of the first is left.
		r.verdict = verdictBusy
		if !r.claim.BodyChanged {
			r.verdict = verdictPass
		}
		return r, nil
	}
	owner := string(r.claim.Answer.Body)
	if owner == d.id {
		r.verdict = verdictPass
		return r, nil
	}
	r.owner = owner
	key := d.m.cfg.Route + "/" + owner
	rec, err := d.m.cfg.Store.Lookup(ctx, key)
	if err != nil {
		return ruling{}, err
	}
	switch {
	case rec.State != StateAbsent && rec.BodyDigest != d.digest:
		r.verdict = verdictPass
	case rec.State == StateDone:
		r.verdict, r.answer = verdictDone, rec.Answer
	case rec.State == StateDead:
		r.verdict = verdictDead
	default:
		r.verdict, err = d.askUnsettled(ctx, key, rec.State, r.claim.Answer.Status)
	}
	return r, err
}

// askUnsettled rules on a body whose guard is done, but whose event, in that
// state, is not.
func (d *inbound) askUnsettled(ctx context.Context, key string, state State, what int) (verdict, error) {
	kept, err := d.isKept(ctx, key)
	switch {
	case err != nil:
		return 0, err
	case kept:
		return verdictStored, nil
	case state == StateRetry || what == guardKept:
		return verdictOwner, nil
	case what == guardDead:
		return verdictDead, nil
	case d.m.cfg.ReplayAnswers:
		return verdictBusy, nil
	}
	return verdictDone, nil
}

// isKept reports whether the message of key is in an inbox.
func (d *inbound) isKept(ctx context.Context, key string) (bool, error) {
	inbox, ok := d.m.cfg.Store.(Inbox)
	if !ok {
		return false, nil
	}
	entry, err := inbox.Entry(ctx, key)
	if errors.Is(err, ErrUnknownDelivery) {
		return false, nil
	}
	return entry.Kept != nil, err
}

// passGuard claims the guard for an event that was claimed. When it does not
// pass, the event is settled as the one that its body was handled under.
func (d *inbound) passGuard(ctx context.Context, claim *Claim) (reply, bool) {
	if d.guard.key == "" {
		return reply{}, true
	}
	r, err := d.askGuard(ctx)
	if err == nil && r.verdict == verdictPass {
		if d.guard.held && r.claim.MaybeProcessed {
			claim.MaybeProcessed, d.event.MaybeProcessed = true, true
		}
		return reply{}, true
	}
	step, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	store := d.m.cfg.Store
	switch {
	case err != nil || r.verdict == verdictBusy || r.verdict == verdictOwner:
		err = errors.Join(err, store.Release(step, d.key, claim.Fence, false))
	case r.verdict == verdictDead:
		err = store.Kill(step, d.key, claim.Fence)
	default:
		err = store.Complete(step, d.key, claim.Fence, r.answer)
	}
	if err == nil && r.verdict == verdictOwner {
		return d.claimAs(ctx, r.owner, claim)
	}
	return d.guarded(r, err), false
}

// claimAs claims the event of owner for the message.
func (d *inbound) claimAs(ctx context.Context, owner string, claim *Claim) (reply, bool) {
	d.as(owner)
	c, err := d.claim(ctx)
	if err != nil {
		return unavailable(OutcomeStoreError, "webhook_store_unavailable", err), false
	}
	d.note(c)
	if c.Status != Claimed {
		return d.known(c), false
	}
	*claim = c
	return reply{}, true
}

// as makes the message one of owner.
func (d *inbound) as(owner string) {
	d.came = d.id
	d.id, d.key = owner, d.m.cfg.Route+"/"+owner
	d.verified.ID, d.event.EventID = owner, owner
}

// renamed tells of a message that was handled under another id than its own.
func (d *inbound) renamed() error {
	return fmt.Errorf("webhook: came under the id %q, and its body before under this one", d.came)
}

// guarded answers a message that its guard did not let pass.
func (d *inbound) guarded(r ruling, err error) reply {
	if err != nil {
		return unavailable(OutcomeStoreError, "webhook_store_unavailable", err)
	}
	var rep reply
	switch r.verdict {
	case verdictBusy:
		rep = inFlight(r.claim.LeaseLeft)
	case verdictDead:
		rep = dead(nil)
	default:
		rep = duplicate(r.answer)
		rep.outcome = OutcomeReplayed
	}
	if r.owner != "" {
		rep.err = fmt.Errorf("webhook: the same body came under the id %q", r.owner)
	}
	return rep
}
