package upstream

import (
	"net/http"
	"sync"
	"time"
)

// lean is the engine on connections of its own: HTTP/1.1 without TLS. A request
// without a body takes no goroutine but its handler's.
type lean struct {
	config  Config
	target  target
	dial    dialFunc
	std     *standard // for what lean does not carry
	pool    linkPool
	inboxes inboxes
	calls   sync.Pool
	buffers bufferPool // for uploads, and for answers that are long
}

func newLean(config Config, t target, dial dialFunc) *lean {
	l := &lean{config: config, target: t, dial: dial, std: newStandard(config, t, dial)}
	l.inboxes.buffers = &l.buffers
	l.pool.epoch = time.Now()
	return l
}

func (l *lean) closeIdle() {
	l.pool.closeIdle()
	l.std.closeIdle()
}

// carries reports whether r is for this engine: no upgrade, and a target that
// can be written as it stands.
func (l *lean) carries(r *http.Request) bool {
	if _, asked := r.Header["Upgrade"]; asked && mayUpgrade(r) {
		return false
	}
	if r.URL.Opaque != "" {
		return false
	}
	for i := range len(r.Host) {
		if c := r.Host[i]; c >= 0x80 || c == '%' {
			return false
		}
	}
	return true
}

// newCall takes a call that nobody refers to any more, or a new one.
func (l *lean) newCall(w http.ResponseWriter, r *http.Request) *call {
	c, ok := l.calls.Get().(*call)
	if !ok {
		c = new(call)
	}
	c.Context, c.config, c.in, c.w, c.lean = r.Context(), &l.config, r, w, l
	return c
}

func (l *lean) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !l.carries(r) {
		l.std.ServeHTTP(w, r)
		return
	}
	c := l.newCall(w, r)
	defer c.end()
	if err := c.ask(); err != nil {
		e := c.failure(err)
		c.drop()
		answerFailure(&c.exchange, w, &l.config, e)
	} else {
		c.deliver()
	}
	c.settled = true
}
