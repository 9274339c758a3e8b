package upstream

import (
	"sync"
	"time"
)

// A linkPool keeps up to maxIdleConns links for the next requests, each for
// idleConnTimeout. One timer closes those that nobody took.
type linkPool struct {
	mu    sync.Mutex
	idle  []*link // the one that was used last at the end
	timer *time.Timer
	armed bool
}

// get returns a link that can carry a request, or nil. It closes those that
// cannot.
func (p *linkPool) get() *link {
	for {
		k, expired := p.pop()
		switch {
		case k == nil:
			return nil
		case !expired && k.look.usable():
			return k
		}
		k.close()
	}
}

func (p *linkPool) pop() (k *link, expired bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil, false
	}
	k = p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return k, time.Since(k.idleSince) >= idleConnTimeout
}

func (p *linkPool) put(k *link) {
	if !p.push(k) {
		k.close()
	}
}

func (p *linkPool) push(k *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == maxIdleConns {
		return false
	}
	k.idleSince = time.Now()
	p.idle = append(p.idle, k)
	if !p.armed {
		p.arm(idleConnTimeout)
	}
	return true
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
	for n < len(p.idle) && !p.armed {
		if rest := idleConnTimeout - time.Since(p.idle[n].idleSince); rest > 0 {
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
