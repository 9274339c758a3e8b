package redislimit

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatches is how many batches of a server are under way at once. Another
	// one only waits while all of them take their time.
	maxBatches = 4

	// maxBatch bounds the calls of a batch, so that the server is not kept from
	// others for long.
	maxBatch = 256

	// sooner is how much of its time a call may lose to going with others: a
	// batch ends at the deadline of its leader.
	sooner = 10 * time.Millisecond
)

// A batcher sends concurrent calls to one server in batches, unless its breaker
// is open. A call that comes while nothing is under way goes at once; one that
// comes later goes with all others that have come by the end of a batch. There
// is no goroutine: the caller who sends a batch leads it, and hands over to one
// of those who wait.
type batcher struct {
	client  redis.UniversalClient
	timeout time.Duration // of a call that has no deadline of its own
	breaker breaker
	lost    func() // told when the breaker is open, and after each probe in vain; may be nil

	mu      sync.Mutex
	waiting []*call // oldest first
	running int     // batches under way, or about to be: led by somebody
	waiters sync.Pool
}

// stage is how far a call has come.
type stage uint8

const (
	queued  stage = iota
	leading       // its caller was told to lead the next batch
	sent          // part of a batch
	left          // its caller waits no longer
)

// call is one command, about one key.
type call struct {
	cmd      redis.Cmder
	args     []any  // of cmd; batcher.pipe fills in the first two when there is a script
	script   script // its zero value: the command is complete
	key      string
	began    time.Time
	deadline time.Time
	stage    stage // guarded by batcher.mu
	*waiter        // nil for one that leads from the start
	buf      [8]any
}

// waiter is what a caller needs to wait.
type waiter struct {
	wake  chan struct{} // the call is leading, or its answer is there
	timer *time.Timer
}

func newBatcher(client redis.UniversalClient, timeout time.Duration, lost func()) *batcher {
	b := &batcher{client: client, timeout: timeout, lost: lost}
	b.waiters.New = func() any {
		w := &waiter{wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		w.timer.Stop()
		return w
	}
	return b
}

// alone sends c by itself. An error means that it was not sent.
func (b *batcher) alone(ctx context.Context, c *call) error {
	if _, err := b.breaker.admit(); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	b.finish(ctx, []*call{c})
	return nil
}

// run sends c with others. An error is that of a caller who gave up, at the
// deadline of c or, while others send it, at the end of ctx, or of the breaker;
// otherwise c.cmd has the answer.
func (b *batcher) run(ctx context.Context, c *call) error {
	probe, err := b.breaker.admit()
	if err != nil {
		return err
	}
	if probe {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), c.deadline)
		defer cancel()
		b.finish(ctx, []*call{c})
		return nil
	}
	b.mu.Lock()
	if b.running < maxBatches { // then nobody waits
		b.running++
		b.mu.Unlock()
		b.lead(ctx, []*call{c})
		return nil
	}
	c.waiter = b.waiters.Get().(*waiter) //nolint:errcheck // it makes nothing else
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	return b.wait(ctx, c)
}

// wait ends when c has its answer.
func (b *batcher) wait(ctx context.Context, c *call) error {
	c.timer.Reset(time.Until(c.deadline))
	var err error
	select {
	case <-c.wake:
	case <-c.timer.C:
		err = context.DeadlineExceeded
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	reached := c.stage
	c.stage = left
	var batch []*call
	if reached == leading {
		if err == nil {
			err = b.breaker.refusal()
		}
		if err != nil {
			b.handOver()
		} else {
			batch = b.take(c)
		}
	}
	b.mu.Unlock()
	if err != nil {
		return err // somebody may still wake it: the waiter is not used again
	}
	c.timer.Stop()
	b.waiters.Put(c.waiter)
	if reached == leading {
		b.lead(ctx, batch)
	}
	return nil
}

// lead sends batch for its first call, and hands over.
func (b *batcher) lead(ctx context.Context, batch []*call) {
	// The batch is not its leader's alone: it goes on without the client who is
	// gone.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), batch[0].deadline)
	defer cancel()
	defer func() {
		b.mu.Lock()
		b.handOver()
		b.mu.Unlock()
		for _, c := range batch[1:] {
			c.wake <- struct{}{}
		}
	}()
	b.finish(ctx, batch)
}

// take removes the oldest of those who wait and have no more time than first, and
// returns them behind it.
func (b *batcher) take(first *call) []*call {
	batch := make([]*call, 1, min(len(b.waiting)+1, maxBatch))
	batch[0] = first
	latest := first.deadline.Add(sooner)
	rest := b.waiting[:0]
	for i, c := range b.waiting {
		switch {
		case len(batch) == maxBatch:
			rest = append(rest, b.waiting[i:]...)
			clear(b.waiting[len(rest):])
			b.waiting = rest
			return batch
		case c.stage != queued:
		case c.deadline.After(latest):
			rest = append(rest, c)
		default:
			c.stage = sent
			batch = append(batch, c)
		}
	}
	clear(b.waiting[len(rest):])
	b.waiting = rest
	return batch
}

// handOver lets the one of those who wait that has most time lead the next batch.
// When the breaker is open, there is none.
func (b *batcher) handOver() {
	if err := b.breaker.refusal(); err != nil {
		b.refuse(err)
	}
	var next *call
	for _, c := range b.waiting {
		if c.stage == queued && (next == nil || !c.deadline.Before(next.deadline)) {
			next = c
		}
	}
	if next == nil {
		clear(b.waiting)
		b.waiting = b.waiting[:0]
		b.running--
		return
	}
	next.stage = leading
	next.wake <- struct{}{}
}

// refuse answers all who wait.
func (b *batcher) refuse(err error) {
	for _, c := range b.waiting {
		if c.stage == queued {
			c.stage = sent
			c.cmd.SetErr(err)
			c.wake <- struct{}{}
		}
	}
}

// finish sends batch and tells the breaker what came of it.
func (b *batcher) finish(ctx context.Context, batch []*call) {
	b.send(ctx, batch)
	worst, cause := unknown, error(nil)
	for _, c := range batch {
		err := c.cmd.Err()
		switch c.tells(err, b.timeout) {
		case answered:
			b.breaker.done(answered, nil)
			return
		case failed:
			worst, cause = failed, err
		case unknown:
		}
	}
	b.breaker.done(worst, cause)
	if worst == failed && b.lost != nil && b.breaker.open() {
		b.lost()
	}
}

// send runs every call of batch. A server that has forgotten a script gets it
// anew: what it refused for that reason has not run.
func (b *batcher) send(ctx context.Context, batch []*call) {
	b.pipe(ctx, batch, false)
	forgot := batch[:0:0]
	for _, c := range batch {
		if c.script.source != "" && redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			forgot = append(forgot, c)
		}
	}
	if len(forgot) > 0 {
		b.pipe(ctx, forgot, true)
	}
}

// pipe runs the commands of batch. Each has its own error afterwards.
func (b *batcher) pipe(ctx context.Context, batch []*call, anew bool) {
	for _, c := range batch {
		switch {
		case c.script.source == "":
		case anew:
			c.args[0], c.args[1] = "eval", c.script.source
		default:
			c.args[0], c.args[1] = "evalsha", c.script.hash
		}
		c.cmd.SetErr(nil)
	}
	if len(batch) == 1 { // a pipeline costs more than it saves
		_ = b.client.Process(ctx, batch[0].cmd)
		return
	}
	pipe := b.client.Pipeline()
	for _, c := range batch {
		_ = pipe.Process(ctx, c.cmd)
	}
	_, _ = pipe.Exec(ctx)
}
