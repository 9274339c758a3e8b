package sidecar

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/observe/prom"
)

const snapshotFile = "flags-snapshot"

// openFlags makes the client of the definitions, if there are to be any. A
// source that is elsewhere may come up later than this process: there is a
// snapshot of what it held, and without one the process is not ready.
func (s *Sidecar) openFlags(ctx context.Context, l *Loaded) error {
	kind := l.Flags.sourceKind()
	if kind == sourceNone {
		return nil
	}
	cfg := flags.Config{
		Parse: ParseFlags, OnEvent: s.onFlags, CounterOf: s.flagCounter, OnObeyed: s.metrics.FlagsObeyed,
	}
	var err error
	switch kind {
	case sourceFile:
		cfg.Source = flags.File(l.Flags.Source)
	case sourceHTTP:
		cfg.Source, err = l.httpFlags()
	case sourceRedis:
		cfg.Source, err = redisflags.New(redisflags.Config{Client: s.stores.redis, Namespace: l.namespace()})
	}
	if err != nil {
		return err
	}
	if kind != sourceFile {
		if err := os.MkdirAll(l.DataDir, 0o700); err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		cfg.Snapshot, cfg.AllowUnready = filepath.Join(l.DataDir, snapshotFile), true
	}
	s.flagSource = cfg.Source
	s.flagJournal = newFlagJournal(l.DataDir, l.Flags.publicSource())
	s.flags, err = flags.New(ctx, cfg)
	if err != nil {
		return err
	}
	s.metrics.CollectFlags(s.readFlags)
	return nil
}

// followFlags has flags follow their source until ctx ends.
func (s *Sidecar) followFlags(ctx context.Context) {
	if err := s.flags.Run(ctx); err != nil {
		s.monitor.Warn("flags", "the source is not followed any more: restart")
		s.log.Error("flags do not follow their source any more", "error", err)
	}
}

// waitForFlags returns when there are definitions, or ctx has ended.
func (s *Sidecar) waitForFlags(ctx context.Context) {
	if s.flags == nil {
		return
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !s.flags.Ready() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sidecar) withFlags(l *Loaded, next http.Handler) (http.Handler, error) {
	if s.flags == nil {
		return next, nil
	}
	key, vary, err := l.targetingKey()
	if err != nil {
		return nil, err
	}
	cfg := flags.MiddlewareConfig{
		Client: s.flags, TargetingKey: key, Vary: vary, Inject: l.Flags.Inject, InPlace: true, Settled: true, Gates: l.gates(),
	}
	if name := l.Flags.AnonymousCookie; name != "" {
		https, err := flags.ForwardedHTTPS(l.TrustedProxies)
		if err != nil {
			return nil, err
		}
		cfg.Anonymous = &flags.AnonymousCookie{Name: name, HTTPS: https}
	}
	m, err := flags.NewMiddleware(cfg)
	if err != nil {
		return nil, err
	}
	return m.Wrap(next), nil
}

// maxFlagNews is how many events may wait to be told.
const maxFlagNews = 64

// onFlags takes an event while changes of flags wait, a kill switch included. What
// may take its time, such as the log, is left to tellFlags.
func (s *Sidecar) onFlags(e flags.Event) {
	switch e.Kind {
	case flags.EventLoaded:
		s.monitor.Clear("flags")
		if e.Flags == 0 {
			s.monitor.Warn("flags", "the source holds no flag")
		}
		s.flagsLoaded.Store(time.Now().UnixNano())
		s.flagJournal.look()
		if e.Delay > 0 {
			s.metrics.FlagsTaken(e.Delay)
		}
	case flags.EventSnapshot:
		s.monitor.Warn("flags", "the source cannot be read, a snapshot of its definitions is in use")
	case flags.EventRejected, flags.EventUnreachable:
		if e.Version == "" {
			s.monitor.Warn("flags", "there are no definitions yet, every flag is off")
		} else {
			s.monitor.Warn("flags", "the last good definitions are in use")
		}
	}
	select {
	case s.flagNews <- e:
	default: // the log takes nothing: what is in force can still be asked for
		s.flagNewsLost.Add(1)
	}
}

// followFlagNews tells of events until ctx ends, and then of what is left over.
func (s *Sidecar) followFlagNews(ctx context.Context) {
	for {
		select {
		case e := <-s.flagNews:
			s.tellFlags(e)
		case <-ctx.Done():
			for {
				select {
				case e := <-s.flagNews:
					s.tellFlags(e)
				default:
					return
				}
			}
		}
	}
}

func (s *Sidecar) tellFlags(e flags.Event) {
	if n := s.flagNewsLost.Swap(0); n > 0 {
		s.log.Warn("flags: changes went untold, since the log took nothing", "events", n)
	}
	attrs := []any{"source", e.Source, "version", e.Version, "flags", e.Flags}
	switch e.Kind {
	case flags.EventLoaded:
		s.lookForExpired()
		if e.Delay > 0 {
			attrs = append(attrs, "delay", e.Delay)
		}
		s.log.Info("flags loaded", append(attrs, "added", e.Added, "changed", e.Changed, "removed", e.Removed)...)
		for _, w := range e.Warnings {
			s.log.Warn("flags", "source", e.Source, "warning", w)
		}
	case flags.EventHeaderTruncated:
		s.log.Warn("flags left out of Handrail-Flags, which is full", append(attrs, "dropped", e.Dropped)...)
	case flags.EventSnapshotFailed:
		s.log.Warn("flags: the snapshot could not be kept", append(attrs, "error", e.Err)...)
	case flags.EventSnapshot:
		s.lookForExpired()
		s.log.Warn("flags: a snapshot is in use", append(attrs, "error", e.Err)...)
	default:
		if e.Version == "" {
			s.log.Error("flags not loaded, there are none yet", append(attrs, "error", e.Err)...)
			return
		}
		s.log.Error("flags not loaded, the last good ones stay", append(attrs, "error", e.Err)...)
	}
}

func (s *Sidecar) flagCounter(d flags.Decision) flags.Counter {
	key := d.Key
	if d.ErrorCode == flags.ErrorFlagNotFound || d.ErrorCode == flags.ErrorProviderNotReady {
		key = "unknown"
	}
	return s.metrics.FlagCounter(key, d.Variant, string(d.Reason))
}

// readFlags is what a scrape sees.
func (s *Sidecar) readFlags() prom.Flags {
	set := s.flags.Set()
	out := prom.Flags{Loaded: set.Len(), Stale: s.flags.Err() != nil}
	if at := s.flagsLoaded.Load(); at != 0 {
		out.LoadedAt = time.Unix(0, at)
	}
	for _, e := range set.Expiries() {
		out.Expiries = append(out.Expiries, prom.FlagExpiry{Flag: e.Key, Owner: e.Owner, At: e.At})
	}
	return out
}

// watchExpiry has the warning come and go with the days.
func (s *Sidecar) watchExpiry(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		s.lookForExpired()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookForExpired warns of flags whose day is over: somebody is to remove them,
// which is no outage.
func (s *Sidecar) lookForExpired() {
	if s.flags == nil {
		return // it is being made
	}
	const named = 5
	expired := s.flags.Set().Expired(time.Now())
	if len(expired) == 0 {
		s.monitor.Clear("flags_expired")
		return
	}
	var names []string
	for _, e := range expired[:min(named, len(expired))] {
		about := e.Day.Format(time.DateOnly)
		if e.Owner != "" {
			about = e.Owner + ", " + about
		}
		names = append(names, e.Key+" ("+about+")")
	}
	text := strings.Join(names, ", ")
	if more := len(expired) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	s.monitor.Warn("flags_expired", "past their day: "+text)
	if told := s.flagsExpired.Swap(&text); told == nil || *told != text {
		s.log.Warn("flags are past their day", "flags", text)
	}
}
