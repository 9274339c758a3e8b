package redislimit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrOpen is what errors.Is finds in the error of a call that was not sent,
// because its server failed several times in a row. The server is asked again
// once a second.
var ErrOpen = errors.New("the server fails and is not asked for now")

const (
	// failuresToOpen is more than can be under way at once, so that a moment in
	// which nothing runs, on either side, does not look like a server that is gone.
	failuresToOpen = maxBatches + 1

	// probeInterval is how long a server that is back may stay unused. One call
	// of each process in that time is no load, so it needs no jitter.
	probeInterval = time.Second
)

// A breaker spares callers the wait for a server that fails, and lets one at a
// time ask it again.
type breaker struct {
	failures atomic.Int32 // in a row

	mu      sync.Mutex
	err     error     // of calls that are not sent
	retry   time.Time // when the next may be
	probing bool      // one is under way
}

func (b *breaker) open() bool { return b.failures.Load() >= failuresToOpen }

// refusal is nil unless b is open.
func (b *breaker) refusal() error {
	if !b.open() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// admit returns an error when the server is not to be asked. What it admits ends
// with a call of done. A probe is to be sent by itself.
func (b *breaker) admit() (probe bool, err error) {
	if !b.open() {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open() {
		return false, nil
	}
	if b.probing || time.Now().Before(b.retry) {
		return false, b.err
	}
	b.probing = true
	return true, nil
}

// outcome is what a call tells of its server.
type outcome uint8

const (
	answered outcome = iota
	failed
	unknown
)

// done takes what came of the call that ended with cause.
func (b *breaker) done(o outcome, cause error) {
	if o == answered && b.failures.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case answered:
		b.failures.Store(0)
		b.err = nil
	case failed:
		// Counted no further than needed: it cannot overflow.
		if !b.open() && b.failures.Load()+1 < failuresToOpen {
			b.failures.Add(1)
			return
		}
		b.err = fmt.Errorf("%w: %v", ErrOpen, cause) //nolint:errorlint // not an error of the calls that find it
		b.retry = time.Now().Add(probeInterval)
		b.failures.Store(failuresToOpen)
	case unknown:
	}
	b.probing = false
}

// tells is what the error of c says of its server: any answer, and be it an
// error, shows that it is there. Who had little time and ran out of it, or did not
// want to wait, says nothing.
func (c *call) tells(err error, timeout time.Duration) outcome {
	if _, reply := errors.AsType[redis.Error](err); err == nil || reply {
		return answered
	}
	late, ok := errors.AsType[net.Error](err) // one of context, or of a connection
	hurried := ok && late.Timeout() && c.deadline.Sub(c.began) < timeout/2
	if hurried || errors.Is(err, context.Canceled) || errors.Is(err, redis.ErrClosed) {
		return unknown
	}
	return failed
}
