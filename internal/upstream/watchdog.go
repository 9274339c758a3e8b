package upstream

import (
	"math"
	"sync"
	"time"
)

// A watchdog expires when the upstream keeps one request waiting too long:
// timeout before the response header, idle between the bytes after it. Its
// clock runs only while the proxy waits for the upstream. One timer serves the
// whole request: moving the deadline does not touch it, it looks when it fires.
type watchdog struct {
	timeout, idle time.Duration
	expire        func()

	mu       sync.Mutex
	timer    *time.Timer
	began    time.Time
	deadline time.Duration // since began; 0: nobody waits for the upstream
	next     time.Duration // when timer fires, since began
	answered bool          // the response header came
	idleBody bool          // the client's body is waited for
	busy     bool          // the request's header is being sent
	over     bool          // expired or stopped
	expired  bool
}

const dormant = time.Duration(math.MaxInt64)

// start begins the wait for the response header.
func (d *watchdog) start(timeout, idle time.Duration, expire func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timeout, d.idle, d.expire = timeout, idle, expire
	d.began = time.Now()
	d.deadline, d.next = timeout, timeout
	d.timer = time.AfterFunc(timeout, d.fire)
}

// again begins the wait for the header of the next request on a connection.
func (d *watchdog) again(wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answered, d.idleBody, d.busy = false, false, false
	d.arm(wait)
}

func (d *watchdog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.timer.Stop()
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
	d.deadline = time.Since(d.began) + wait
	if d.deadline < d.next {
		d.next = d.deadline
		d.timer.Reset(wait)
	}
}

func (d *watchdog) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	now := time.Since(d.began)
	switch {
	case d.deadline == 0:
		d.next = dormant
	case now < d.deadline:
		d.next = d.deadline
		d.timer.Reset(d.deadline - now)
	default:
		d.over, d.expired = true, true
		d.expire()
	}
}
