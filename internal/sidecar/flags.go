package sidecar

import (
	"net/http"

	"github.com/handrail-go/handrail/flags"
)

func (s *Sidecar) withFlags(l *Loaded, next http.Handler) (http.Handler, error) {
	if s.flags == nil {
		return next, nil
	}
	key, vary, err := l.targetingKey()
	if err != nil {
		return nil, err
	}
	m, err := flags.NewMiddleware(flags.MiddlewareConfig{
		Client: s.flags, TargetingKey: key, Vary: vary, Inject: l.Flags.Inject, InPlace: true, Gates: l.gates(),
	})
	if err != nil {
		return nil, err
	}
	return m.Wrap(next), nil
}

func (s *Sidecar) onFlags(e flags.Event) {
	attrs := []any{"source", e.Source, "version", e.Version, "flags", e.Flags}
	switch e.Kind {
	case flags.EventLoaded:
		s.monitor.Clear("flags")
		s.flagJournal.look()
		s.log.Info("flags loaded", append(attrs, "added", e.Added, "changed", e.Changed, "removed", e.Removed)...)
		for _, w := range e.Warnings {
			s.log.Warn("flags", "source", e.Source, "warning", w)
		}
	case flags.EventHeaderTruncated:
		s.log.Warn("flags left out of Handrail-Flags, which is full", append(attrs, "dropped", e.Dropped)...)
	default:
		s.monitor.Warn("flags", "the last good definitions are in use")
		s.log.Error("flags not loaded, the last good ones stay", append(attrs, "error", e.Err)...)
	}
}

func (s *Sidecar) flagCounter(d flags.Decision) flags.Counter {
	key := d.Key
	if d.ErrorCode == flags.ErrorFlagNotFound {
		key = "unknown"
	}
	return s.metrics.FlagCounter(key, d.Variant, string(d.Reason))
}
