package webhook

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// maxInFlightWait is how long a copy waits for the one in flight, at most.
	maxInFlightWait = 2 * time.Second

	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// claim asks the store for the event, see patiently.
func (d *inbound) claim(ctx context.Context) (c Claim, err error) {
	err = d.patiently(ctx, func(ctx context.Context) (bool, error) {
		c, err = d.m.cfg.Store.Claim(ctx, d.key, d.claimRequest())
		return c.Status == InFlight, err
	})
	return c, err
}

func (d *inbound) claimRequest() ClaimRequest {
	return ClaimRequest{
		Lease:      d.m.cfg.Lease,
		Retention:  d.retention(),
		BodyDigest: d.digest,
		SameBody:   !d.verified.IDSigned,
	}
}

// patiently asks the store, and asks again while another copy is in flight, for
// up to 2 s or half of the timeout in all: mostly the other copy is done by
// then, and this one can be acknowledged instead of being sent again.
func (d *inbound) patiently(ctx context.Context, ask func(context.Context) (inFlight bool, err error)) error {
	once := func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, min(storeTimeout, d.m.cfg.Timeout))
		defer cancel()
		return ask(ctx)
	}
	if inFlight, err := once(); err != nil || !inFlight {
		return err
	}
	giveUp := time.NewTimer(time.Until(d.patience))
	defer giveUp.Stop()
	var drained <-chan struct{}
	if d.m.cfg.Drain != nil {
		drained = d.m.cfg.Drain.Done()
	}
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		// Half of each pause is random, so that copies do not ask in step.
		poll := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter
		select {
		case <-poll.C:
		case <-giveUp.C:
			poll.Stop()
			return nil
		case <-drained:
			poll.Stop()
			return nil
		case <-d.r.Context().Done():
			poll.Stop()
			return nil
		}
		if inFlight, err := once(); err != nil || !inFlight {
			return err
		}
	}
}
