package upstream

import (
	"context"
	"math"
	"sync"
	"time"
)

// attendTime is how long a request of the lean engine runs before its watchdog
// looks after the client, too. Most are over by then.
const attendTime = 50 * time.Millisecond

// A watchdog expires when the upstream keeps one request waiting too long:
// timeout before the response header, idle between the bytes after it. Its
// clock runs only while the proxy waits for the upstream. One timer serves the
// whole request: moving the deadline does not touch it, it looks when it fires.
//
// One that is given a context expires with that, too, but not before attendTime.
type watchdog struct {
	timeout, idle time.Duration
	expire        func()

	mu       sync.Mutex
	timer    *time.Timer
	began    time.Time
	deadline time.Duration // since began; 0: nobody waits for the upstream
	next     time.Duration // when timer fires, since began

	client context.Context // nil: none to look after, or it is looked after
	attend time.Duration   // when to begin, since began
	leave  func() bool     // nil: it is not looked after

	answered bool // the response header came
	idleBody bool // the client's body is waited for
	busy     bool // the request's header is being sent
	over     bool // expired or stopped
	expired  bool
}

const dormant = time.Duration(math.MaxInt64)

// start begins the wait for the response header.
func (d *watchdog) start(timeout, idle time.Duration, expire func()) {
	d.prepare(time.Now(), timeout, idle, expire)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arm(timeout)
}

// prepare makes d ready for a first request. What it counts begins at epoch.
func (d *watchdog) prepare(epoch time.Time, timeout, idle time.Duration, expire func()) {
	d.timeout, d.idle, d.expire = timeout, idle, expire
	d.began, d.next = epoch, dormant
}

// again begins the wait for the header of the next request on a connection, at
// now since d began. client is the request's context.
func (d *watchdog) again(client context.Context, now, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	d.answered, d.idleBody, d.busy = false, false, false
	d.deadline = now + wait
	d.client, d.attend = client, now+attendTime
	d.wake(now, min(d.deadline, d.attend))
}

// rest ends the last wait for a request, and reports whether d can serve
// another one.
func (d *watchdog) rest() bool {
	d.mu.Lock()
	d.answered, d.deadline, d.client = true, 0, nil
	leave, fit := d.leave, !d.over
	d.leave = nil
	d.mu.Unlock()
	return (leave == nil || leave()) && fit
}

func (d *watchdog) stop() {
	d.rest()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// hasExpired is false for an exchange that has no watchdog yet.
func (d *watchdog) hasExpired() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// left is how much is left of the present wait, of a whole one when nobody waits
// for the upstream.
func (d *watchdog) left() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deadline == 0 {
		return d.timeout
	}
	return max(d.deadline-time.Since(d.began), 1)
}

// bodyWait: the proxy waits for the client's body.
func (d *watchdog) bodyWait() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idleBody = true
	if !d.answered && !d.busy {
		d.deadline = 0
	}
}

// bodyMoved: a piece of the client's body came, or its end.
func (d *watchdog) bodyMoved() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idleBody = false
	switch {
	case !d.answered:
		d.arm(d.timeout)
	case d.deadline != 0: // the answer is waited for meanwhile
		d.arm(d.idle)
	}
}

// sending: the upstream is to take the request's header, whatever the client's
// body does.
func (d *watchdog) sending() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = true
	if d.deadline == 0 {
		d.arm(d.timeout)
	}
}

// sent: the header is gone, or cannot go.
func (d *watchdog) sent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
	if d.idleBody && !d.answered {
		d.deadline = 0
	}
}

// headerCame: the wait for the header is over, for better or worse.
func (d *watchdog) headerCame() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answered, d.deadline = true, 0
}

// answerWait: the proxy waits for the next bytes of the answer, or of either
// side of an upgraded connection.
func (d *watchdog) answerWait() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arm(d.idle)
}

// answerMoved: bytes of the answer came, and go to the client now.
func (d *watchdog) answerMoved() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = 0
}

// arm is called with mu held.
func (d *watchdog) arm(wait time.Duration) {
	if d.over {
		return
	}
	now := time.Since(d.began)
	d.deadline = now + wait
	d.wake(now, d.deadline)
}

// wake makes the timer fire at the given time, or before. It is called with mu
// held.
func (d *watchdog) wake(now, at time.Duration) {
	if at >= d.next {
		return
	}
	d.next = at
	if d.timer == nil {
		d.timer = time.AfterFunc(at-now, d.fire)
		return
	}
	d.timer.Reset(at - now)
}

func (d *watchdog) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	now := time.Since(d.began)
	if d.deadline != 0 && now >= d.deadline {
		d.over, d.expired = true, true
		d.expire()
		return
	}
	d.next = dormant
	if d.client != nil && now >= d.attend {
		d.leave = context.AfterFunc(d.client, d.expire)
		d.client = nil
	}
	if d.client != nil {
		d.wake(now, d.attend)
	}
	if d.deadline != 0 {
		d.wake(now, d.deadline)
	}
}
