package sidecar

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// ErrForced is returned by Run when a second signal ended it before the drain.
var ErrForced = errors.New("ended by a second signal before everything in flight had finished")

// RunOptions connect Run with the process that it runs in.
type RunOptions struct {
	// Signals that the process gets. Those for the app are not read here.
	Signals Signals

	// AppReady blocks until the app accepts connections. Nil: it does.
	AppReady func(context.Context) error
	// AppEnded is closed when the app has ended by itself, which ends Run.
	AppEnded <-chan struct{}

	// OnListening is told the addresses once all listeners are open.
	OnListening func(public, admin string)
}

// Run serves until a signal, the end of ctx or the end of the app, then drains:
// not ready at once, still accepting for drain.delay, then no new connections
// and up to drain.timeout for what is in flight. A Sidecar runs once; Run gives
// back all that New took.
func (s *Sidecar) Run(ctx context.Context, o RunOptions) (err error) {
	l := s.current.Load().loaded
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	ls, err := listen(&l.Config)
	if err != nil {
		return err
	}
	defer startCollector()()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer func() {
		s.couriers.end()
		s.endCutoff() // the drain is over, or there was none
		stop()
		wg.Wait()
		s.couriers.running.Wait()
	}()
	failed := make(chan error, 3)
	public := s.newServer(s)
	s.serve(&wg, failed, public, ls.public)
	for _, side := range []struct {
		listener net.Listener
		handler  http.Handler
	}{
		{ls.admin, s.adminHandler(l.Admin)},
		{ls.metrics, s.metricsHandler()},
	} {
		if side.listener != nil {
			inner := s.newServer(side.handler)
			s.serve(&wg, failed, inner, side.listener)
			defer func() { _ = inner.Close() }() //nolint:gocritic // each serves until Run ends
		}
	}
	s.startBackground(background, &wg, o)
	s.announce(l, ls, o)

	forced := make(chan struct{})
	cause := s.wait(ctx, o, failed)
	if cause != nil {
		_ = public.Close()
		return cause
	}
	wg.Go(func() {
		select {
		case <-background.Done():
		case <-o.Signals.Stop:
			close(forced)
		}
	})
	return s.drain(public, ls.public, o.AppEnded, forced)
}

// serve runs a server until it is closed.
func (s *Sidecar) serve(wg *sync.WaitGroup, failed chan<- error, srv *server.Server, ln net.Listener) {
	wg.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	})
}

func (s *Sidecar) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	return mux
}

// startBackground starts what goes on beside requests, until ctx ends.
func (s *Sidecar) startBackground(ctx context.Context, wg *sync.WaitGroup, o RunOptions) {
	if s.flags != nil {
		wg.Go(func() { s.followFlags(ctx) })
		wg.Go(func() { s.flagJournal.follow(ctx, s.flags, s.log) })
		wg.Go(func() { s.watchExpiry(ctx) })
		wg.Go(func() { s.followFlagNews(ctx) })
	}
	wg.Go(func() { s.watchConfig(ctx) })
	wg.Go(func() { follow(ctx, o.Signals.Reload, func(os.Signal) { s.Reload(ctx, nil) }) })
	wg.Go(func() { s.purge(ctx) })
	wg.Go(func() { s.watchLimits(ctx) })
	wg.Go(func() { s.watchInboxes(ctx) })
	wg.Go(func() {
		if o.AppReady != nil && o.AppReady(ctx) != nil {
			return // ctx has ended, or the app has
		}
		// The checks begin now: before, the upstream's would fail and tell so.
		// Deliveries need no flags.
		s.couriers.begin(ctx)
		s.waitForFlags(ctx)
		s.monitor.SetReady()
		_ = s.monitor.Run(ctx)
	})
}

// announce tells where the sidecar listens: log, and whoever asked.
func (s *Sidecar) announce(l *Loaded, ls *listeners, o RunOptions) {
	admin := ""
	if ls.admin != nil {
		admin = ls.admin.Addr().String()
	}
	public := ls.public.Addr().String()
	s.log.Info("listening", "listen", public, "admin", admin, "upstream", l.Upstream.URL,
		"environment", l.Environment, "release", l.Observe.Release, "config", l.File)
	if o.OnListening != nil {
		o.OnListening(public, admin)
	}
}

// wait returns nil when it is time to drain.
func (s *Sidecar) wait(ctx context.Context, o RunOptions, failed <-chan error) error {
	select {
	case <-ctx.Done():
	case <-o.AppEnded:
	case err := <-failed:
		return err
	case sig := <-o.Signals.Stop:
		s.log.Info("draining", "signal", sig.String())
	}
	return nil
}

// purge removes deliveries past their retention once an hour.
func (s *Sidecar) purge(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		if err := s.stores.deliveries.purge(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("old webhook deliveries were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
