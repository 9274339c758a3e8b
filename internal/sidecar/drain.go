package sidecar

import (
	"context"
	"errors"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// Times of the end of a listener.
const (
	// firstRequestGrace is how long a connection that was just accepted has
	// to send its request.
	firstRequestGrace = 2 * time.Second
	// acceptGrace is how long the server may take to accept what waited; it
	// pauses for a second when descriptors are short.
	acceptGrace = 2 * time.Second
	// cutoffGrace is how long webhook deliveries have for their answer once
	// the drain is over.
	cutoffGrace = time.Second
)

// drain ends the public listener without failing a request that was accepted:
// not ready, but serving for drain.delay; then no new connections; then up to
// drain.timeout for what is in flight.
func (s *Sidecar) drain(public *server.Server, ln *drainListener, appEnded, forced <-chan struct{}) error {
	cfg := s.current.Load().loaded.Drain
	s.monitor.SetDraining()
	s.draining.Store(true)
	s.couriers.end()
	select {
	case <-time.After(cfg.Delay):
	case <-appEnded: // nobody is left to answer
	case <-forced:
		_ = public.Close()
		return ErrForced
	}
	ln.Drain()
	select {
	case <-ln.empty: // the server has what waited
	case <-time.After(acceptGrace):
	case <-forced:
		_ = public.Close()
		return ErrForced
	}
	public.EndKeepAlive()

	ctx, cancel := context.WithTimeout(context.Background(), cfg.Timeout)
	defer cancel()
	err := s.quiet(ctx, public, forced)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("drain.timeout is over, what is still in flight is cut off", "timeout", cfg.Timeout.String())
		s.endCutoff() // webhook deliveries answer now; their providers come again
		grace, cancel := context.WithTimeout(context.Background(), cutoffGrace)
		defer cancel()
		if err = s.quiet(grace, public, forced); errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	} else if err == nil {
		s.log.Info("drained")
	}
	_ = public.Close()
	return err
}

// quiet waits until no connection is busy, no WebSocket or other upgraded
// connection is left, and no stored message is being delivered.
func (s *Sidecar) quiet(ctx context.Context, public *server.Server, forced <-chan struct{}) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for public.Busy(firstRequestGrace) || s.upgraded.Load() > 0 || s.couriers.busy() {
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
