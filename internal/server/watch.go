package server

import (
	"context"
	"sync"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// How long it takes until a client is seen to be gone: at first, and for
// requests that have been under way for long.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = time.Second
)

// A watch cancels the request of a client that has gone while its handler
// works. Nobody reads from the connection meanwhile, so the end of it has to be
// looked for: net/http reads all the time, on a goroutine of its own for each
// request. Most requests are over before the first look; one timer serves all
// of a connection.
type watch struct {
	conn *conn

	mu     sync.Mutex
	cancel context.CancelFunc // nil: no request
	body   *body              // of the request; nil: none
	number uint64             // of the request
	looked uint64             // number at the last look
	wait   time.Duration      // until the next look
	timer  *time.Timer
	armed  bool
	over   bool
}

// begin is called before the handler. cancel is called when the client goes, or
// by end.
func (w *watch) begin(cancel context.CancelFunc, b *body) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	w.cancel, w.body, w.wait = cancel, b, firstLook
	if w.armed || w.conn.raw == nil {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(firstLook, w.look)
		return
	}
	w.timer.Reset(firstLook)
}

// end is called after the handler.
func (w *watch) end() {
	w.mu.Lock()
	cancel := w.cancel
	w.cancel, w.body = nil, nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// leave cancels the request that is under way.
func (w *watch) leave() {
	w.mu.Lock()
	cancel := w.cancel
	w.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// release leaves the connection alone from now on.
func (w *watch) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// stop ends the watch with its connection.
func (w *watch) stop() {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look is called by the timer. As long as the body has not come whole, reading
// that tells whether the client is there.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.cancel == nil {
		w.armed = false
		return
	}
	if w.number == w.looked && (w.body == nil || w.body.over.Load()) {
		if w.conn.peek() == http1.End {
			w.armed = false
			w.cancel()
			return
		}
		w.wait = min(2*w.wait, lastLook)
	}
	w.looked = w.number
	w.timer.Reset(w.wait)
}
