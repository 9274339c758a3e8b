package webhook

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"time"
)

const (
	// maxInFlightWait is how long a copy waits for the one in flight, at most.
	maxInFlightWait = 2 * time.Second

	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// claim asks the store for the event. While another copy is in flight it asks
// again, for up to 2 s or half of the timeout: mostly the other copy is done
// by then, and this one can be acknowledged instead of being sent again.
func (d *inbound) claim(ctx context.Context) (Claim, error) {
	req := ClaimRequest{
		Lease:      d.m.cfg.Lease,
		Retention:  d.m.cfg.Retention,
		BodyDigest: sha256.Sum256(d.body),
		SameBody:   !d.verified.IDSigned,
	}
	c, err := d.claimOnce(ctx, req)
	if err != nil || c.Status != InFlight {
		return c, err
	}
	giveUp := time.NewTimer(min(maxInFlightWait, d.m.cfg.Timeout/2))
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
			return c, nil
		case <-drained:
			poll.Stop()
			return c, nil
		case <-d.r.Context().Done():
			poll.Stop()
			return c, nil
		}
		if c, err = d.claimOnce(ctx, req); err != nil || c.Status != InFlight {
			return c, err
		}
	}
}

func (d *inbound) claimOnce(ctx context.Context, req ClaimRequest) (Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, min(storeTimeout, d.m.cfg.Timeout))
	defer cancel()
	return d.m.cfg.Store.Claim(ctx, d.key(), req)
}
