package upstream

import (
	"context"
	"errors"
	"net"
	"time"
)

// returnTime is how long a request whose dial has failed waits for a connection
// that carries another one: an app that shuts down listens no more, and still
// serves those it has.
const returnTime = 250 * time.Millisecond

// A dialError is an error of a dialFunc.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialTimedOut reports whether err means that a dial took too long.
func dialTimedOut(err error) bool {
	var dial *dialError
	var slow net.Error
	return errors.As(err, &dial) && errors.As(dial.err, &slow) && slow.Timeout()
}

// connect takes a link from the pool, or a new one, and starts its clock.
func (c *call) connect() error {
	p := &c.lean.pool
	began := p.now()
	now := began
	var k *link
	if !c.once {
		k = p.get(began, c.in.ContentLength != 0)
	}
	if c.reused = k != nil; !c.reused {
		var err error
		if k, err = c.acquire(c.lean.config.Timeout); err != nil {
			return err
		}
		c.reused = k.used
		now = p.now()
	}
	c.link, c.dog = k, &k.dog
	c.dog.again(c.Context, now, max(began+c.lean.config.Timeout-now, 1))
	return nil
}

// reconnect puts another connection in the place of one that was found dead. The
// clock of the request runs on, and what was written before stays written. After
// one that was only looked at, another idle one is as good as a new one.
func (c *call) reconnect(cause error) error {
	c.reused = false
	if c.upload != nil {
		c.dog.sending()
	}
	c.lean.pool.lost() // and is nothing to wait for
	k, err := c.acquire(c.dog.left())
	if err != nil {
		c.link.close()
		c.link = nil
		return err
	}
	c.reused = k.used && errors.Is(cause, errSurplus)
	k.dog.stop()
	c.link.replace(k.conn)
	return nil
}

// acquire returns a link that another request gives back, or a new one,
// whichever is there first, within limit.
func (c *call) acquire(limit time.Duration) (*link, error) {
	c.undial()
	ctx, cancel := context.WithTimeout(c.Context, limit)
	c.stopDial = cancel
	if c.once {
		return c.lean.dialled(ctx)
	}
	for {
		k, err := c.race(ctx)
		if err != nil || !k.used || k.look.usable() {
			return k, err
		}
		k.close()
		c.lean.pool.lost()
	}
}

// race dials, and waits for what comes back meanwhile. Losing it, a new
// connection goes to the pool, if it is there before the call has ended.
func (c *call) race(ctx context.Context) (*link, error) {
	l, p := c.lean, &c.lean.pool // the dial may outlast the call
	w := &waiter{links: make(chan *link, 1)}
	failed := make(chan error, 1)
	if p.wait(w) {
		go func() { // until ctx ends
			k, err := l.dialled(ctx)
			if err != nil {
				failed <- err
				return
			}
			p.deliver(w, k)
		}()
	}
	var err error // of the dial
	var enough <-chan time.Time
	for {
		select {
		case k := <-w.links:
			return k, nil
		case err = <-failed:
			if !dialTimedOut(err) && p.mayComeBack() {
				enough = time.After(returnTime)
				continue
			}
		case <-enough:
		case <-ctx.Done():
			if err == nil {
				err = &dialError{ctx.Err()}
			}
		}
		p.leave(w)
		return nil, err
	}
}

func (l *lean) dialled(ctx context.Context) (*link, error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, &dialError{err}
	}
	return newLink(conn, &l.config, l.pool.epoch), nil
}

// undial ends a dial that has lost its race.
func (c *call) undial() {
	if c.stopDial != nil {
		c.stopDial()
	}
}
