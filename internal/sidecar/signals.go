package sidecar

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals are what a process is told, in channels of their own: a storm of one
// kind must not push out another. A nil channel tells nothing.
type Signals struct {
	Stop   <-chan os.Signal // SIGTERM and SIGINT: drain; the second ends at once
	Reload <-chan os.Signal // SIGHUP; those that come during a reload count as one
	Other  <-chan os.Signal // for the app
}

// Notify delivers the process' signals until release is called. Other names
// those that are for the app.
func Notify(other ...os.Signal) (s Signals, release func()) {
	stop, reload, more := make(chan os.Signal, 2), make(chan os.Signal, 1), make(chan os.Signal, 16)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	signal.Notify(reload, syscall.SIGHUP)
	if len(other) > 0 {
		signal.Notify(more, other...)
	}
	return Signals{stop, reload, more}, func() {
		signal.Stop(stop)
		signal.Stop(reload)
		signal.Stop(more)
	}
}

// follow calls fn for each signal until ctx ends.
func follow(ctx context.Context, signals <-chan os.Signal, fn func(os.Signal)) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			fn(sig)
		}
	}
}
