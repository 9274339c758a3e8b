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
)

// A batcher sends the scripts of concurrent calls to one server in batches. A
// call that comes while nothing is under way goes at once; one that comes later
// goes with all others that have come by the end of a batch. There is no
// goroutine: the caller who sends a batch leads it, and hands over to one of
// those who wait.
type batcher struct {
	client redis.UniversalClient
	script script

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
	left          // its caller has given up
)

// call is one run of the script.
type call struct {
	cmd      *redis.IntSliceCmd
	args     [7]any // of cmd; batcher.pipe fills in the first two
	deadline time.Time
	stage    stage // guarded by batcher.mu
	*waiter        // nil for one that leads from the start
}

// waiter is what a caller needs to wait.
type waiter struct {
	wake  chan struct{} // the call is leading, or its answer is there
	timer *time.Timer
}

func newCall(ctx context.Context, deadline time.Time, key string, count int, window int64, cost int) *call {
	c := &call{args: [7]any{2: 1, 3: key, 4: count, 5: window, 6: cost}, deadline: deadline}
	c.cmd = redis.NewIntSliceCmd(ctx, c.args[:]...)
	return c
}

func newBatcher(client redis.UniversalClient, script script) *batcher {
	b := &batcher{client: client, script: script}
	b.waiters.New = func() any {
		w := &waiter{wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		w.timer.Stop()
		return w
	}
	return b
}

// run sends c. An error is that of a caller who gave up, at the deadline of c or,
// while others send it, at the end of ctx; otherwise c.cmd has the answer.
func (b *batcher) run(ctx context.Context, c *call) error {
	b.mu.Lock()
	if b.running < maxBatches {
		b.running++
		b.mu.Unlock()
		b.lead(ctx, c)
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
	switch {
	case reached == leading && err != nil:
		b.handOver()
	case reached == leading:
		c.stage = leading
	}
	b.mu.Unlock()
	if err != nil {
		return err // somebody may still wake it: the waiter is not used again
	}
	c.timer.Stop()
	b.waiters.Put(c.waiter)
	if reached == leading {
		b.lead(ctx, c)
	}
	return nil
}

// lead sends first and all that wait, and hands over.
func (b *batcher) lead(ctx context.Context, first *call) {
	b.mu.Lock()
	batch := b.take(first)
	b.mu.Unlock()
	// The batch is not its leader's alone: it goes on without the client who is
	// gone. Of those who waited the leader came last, and can wait longest.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), first.deadline)
	defer cancel()
	defer func() {
		b.mu.Lock()
		b.handOver()
		b.mu.Unlock()
		for _, c := range batch {
			if c != first {
				c.wake <- struct{}{}
			}
		}
	}()
	b.send(ctx, batch)
}

// take removes the oldest of those who wait, and returns them behind first.
func (b *batcher) take(first *call) []*call {
	batch := make([]*call, 1, min(len(b.waiting)+1, maxBatch))
	batch[0] = first
	n := 0
	for ; n < len(b.waiting) && len(batch) < maxBatch; n++ {
		if c := b.waiting[n]; c.stage == queued {
			c.stage = sent
			batch = append(batch, c)
		}
	}
	rest := copy(b.waiting, b.waiting[n:])
	clear(b.waiting[rest:])
	b.waiting = b.waiting[:rest]
	return batch
}

// handOver lets the newest of those who wait lead the next batch.
func (b *batcher) handOver() {
	for i := len(b.waiting) - 1; i >= 0; i-- {
		c := b.waiting[i]
		b.waiting[i] = nil
		b.waiting = b.waiting[:i]
		if c.stage == queued {
			c.stage = leading
			c.wake <- struct{}{}
			return
		}
	}
	b.running--
}

// send runs the script for every call of batch. A server that has forgotten it
// gets it anew: what it refused for that reason has not run.
func (b *batcher) send(ctx context.Context, batch []*call) {
	b.pipe(ctx, batch, "evalsha", b.script.Hash())
	forgot := batch[:0:0]
	for _, c := range batch {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			forgot = append(forgot, c)
		}
	}
	if len(forgot) > 0 {
		b.pipe(ctx, forgot, "eval", b.script.source)
	}
}

// pipe runs the commands of batch. Each has its own error afterwards.
func (b *batcher) pipe(ctx context.Context, batch []*call, name, script any) {
	for _, c := range batch {
		c.args[0], c.args[1] = name, script
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
