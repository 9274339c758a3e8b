package upstream

import (
	"container/list"
	"sync"
	"time"
)

// A linkPool keeps up to maxIdleConns links for the next requests, each for
// idleConnTimeout. One timer closes those that nobody took.
type linkPool struct {
	mu      sync.Mutex
	idle    []*link   // the one that was used last at the end
	waiting list.List // of *waiter, the one that came first at the front
	taken   int       // links that are with requests
	epoch   time.Time // what times are counted from: half the cost of telling them
	timer   *time.Timer
	armed   bool
}

// A waiter is a request that waits for a link.
type waiter struct {
	links chan *link    // holds one
	place *list.Element // guarded by the pool; nil: it has got one, or left
}

func (p *linkPool) now() time.Duration { return time.Since(p.epoch) }

// get returns a link that can carry a request, or nil. It closes those that
// cannot; whether the upstream has closed them is left to the caller unless look
// is set.
func (p *linkPool) get(now time.Duration, look bool) *link {
	for {
		k, expired := p.pop(now)
		switch {
		case k == nil:
			return nil
		case !expired && (!look || k.look.usable()):
			return k
		}
		k.close()
		p.lost()
	}
}

func (p *linkPool) pop(now time.Duration) (k *link, expired bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k = p.last(); k == nil {
		return nil, false
	}
	p.taken++
	return k, now-k.idleSince >= idleConnTimeout
}

// last takes the link out that was used last. It is called with mu held.
func (p *linkPool) last() *link {
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	k := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return k
}

// put takes a link back from a request that is done with it.
func (p *linkPool) put(k *link) {
	k.used = true
	p.mu.Lock()
	p.taken--
	kept := p.give(k)
	p.mu.Unlock()
	if !kept {
		k.close()
	}
}

// lost is told of a link that a request does not give back.
func (p *linkPool) lost() {
	p.mu.Lock()
	p.taken--
	p.mu.Unlock()
}

// mayComeBack reports whether requests have links that they may give back.
func (p *linkPool) mayComeBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > 0
}

// wait makes w wait, and reports whether it must: a link may have come back
// since the last look.
func (p *linkPool) wait(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.place = p.waiting.PushBack(w)
	k := p.last()
	if k != nil {
		p.hand(w, k)
	}
	return k == nil
}

// leave ends the wait. A link that came at the last moment goes to another.
func (p *linkPool) leave(w *waiter) {
	p.mu.Lock()
	var k *link
	kept := true
	if w.place != nil {
		p.waiting.Remove(w.place)
		w.place = nil
	} else {
		k = <-w.links
		p.taken--
		kept = p.give(k)
	}
	p.mu.Unlock()
	if !kept {
		k.close()
	}
}

// deliver brings a link that was dialled for w, or for another if w has one.
func (p *linkPool) deliver(w *waiter, k *link) {
	p.mu.Lock()
	kept := true
	if w.place != nil {
		p.hand(w, k)
	} else {
		kept = p.give(k)
	}
	p.mu.Unlock()
	if !kept {
		k.close()
	}
}

// give passes a link to whoever waits for one, or keeps it, and reports whether
// that was possible. It is called with mu held.
func (p *linkPool) give(k *link) bool {
	if first := p.waiting.Front(); first != nil {
		w, ok := first.Value.(*waiter)
		if ok { // always
			p.hand(w, k)
		}
		return ok
	}
	if len(p.idle) == maxIdleConns {
		return false
	}
	k.idleSince = p.now()
	p.idle = append(p.idle, k)
	if !p.armed {
		p.arm(idleConnTimeout)
	}
	return true
}

// hand is called with mu held, for a w that waits.
func (p *linkPool) hand(w *waiter, k *link) {
	p.waiting.Remove(w.place)
	w.place = nil
	p.taken++
	w.links <- k
}

// arm is called with mu held.
func (p *linkPool) arm(wait time.Duration) {
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.sweep)
		return
	}
	p.timer.Reset(wait)
}

// sweep closes the links that were idle for too long.
func (p *linkPool) sweep() {
	p.mu.Lock()
	n := 0
	p.armed = false
	now := p.now()
	for n < len(p.idle) && !p.armed {
		if rest := p.idle[n].idleSince + idleConnTimeout - now; rest > 0 {
			p.arm(rest)
		} else {
			n++
		}
	}
	old := p.cut(n)
	p.mu.Unlock()
	closeAll(old)
}

// closeIdle closes every link in the pool.
func (p *linkPool) closeIdle() {
	p.mu.Lock()
	old := p.cut(len(p.idle))
	p.mu.Unlock()
	closeAll(old)
}

// cut takes the n oldest links out. It is called with mu held.
func (p *linkPool) cut(n int) []*link {
	if n == 0 {
		return nil
	}
	old := make([]*link, n)
	copy(old, p.idle)
	rest := copy(p.idle, p.idle[n:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	return old
}

func closeAll(links []*link) {
	for _, k := range links {
		k.close()
	}
}
