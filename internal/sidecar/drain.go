package sidecar

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Times of the end of a listener.
const (
	// firstRequestGrace is how long a connection that was just accepted has
	// to send its request.
	firstRequestGrace = 2 * time.Second
	// cutoffGrace is how long webhook deliveries have for their answer once
	// the drain is over.
	cutoffGrace = time.Second
)

// drain ends the public listener without failing a request that was accepted:
// not ready, but serving for drain.delay; then no new connections; then up to
// drain.timeout for what is in flight. http.Server.Shutdown alone would not
// do: it drops requests that are read after it was called.
func (s *Sidecar) drain(public *http.Server, ln *drainListener, appEnded, forced <-chan struct{}) error {
	cfg := s.current.Load().loaded.Drain
	s.monitor.SetDraining()
	s.draining.Store(true)
	select {
	case <-time.After(cfg.Delay):
	case <-appEnded: // nobody is left to answer
	case <-forced:
		_ = public.Close()
		return ErrForced
	}
	ln.Drain()
	public.SetKeepAlivesEnabled(false)

	ctx, cancel := context.WithTimeout(context.Background(), cfg.Timeout)
	defer cancel()
	err := s.quiet(ctx, forced)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("drain.timeout is over, what is still in flight is cut off", "timeout", cfg.Timeout.String())
		s.endCutoff() // webhook deliveries answer now; their providers come again
		grace, cancel := context.WithTimeout(context.Background(), cutoffGrace)
		defer cancel()
		if err = s.quiet(grace, forced); errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	} else if err == nil {
		s.log.Info("drained")
	}
	_ = public.Close()
	return err
}

// connections follows the connections of the public listener.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]connection
}

type connection struct {
	state http.ConnState
	since time.Time
}

// onState is for http.Server.ConnState. Connections that were taken over, as
// for WebSockets, are their handler's; see Sidecar.upgraded.
func (c *connections) onState(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.open, conn)
		return
	}
	c.open[conn] = connection{state, time.Now()}
}

// busy reports whether a request is in flight, or may be about to come on a
// connection that was accepted just now.
func (c *connections) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		if conn.state == http.StateActive || conn.state == http.StateNew && time.Since(conn.since) < firstRequestGrace {
			return true
		}
	}
	return false
}

// quiet waits until no connection is busy and no WebSocket or other upgraded
// connection is left.
func (s *Sidecar) quiet(ctx context.Context, forced <-chan struct{}) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for s.conns.busy() || s.upgraded.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-forced:
			return ErrForced
		case <-ticker.C:
		}
	}
	return nil
}
