package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/health"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/prom"
	"github.com/handrail-go/handrail/observe/sentryobs"
	"github.com/handrail-go/handrail/ratelimit"
)

// A Sidecar is one running proxy: what outlives a reload, and the chain of the
// configuration that is in force.
type Sidecar struct {
	log       *slog.Logger
	accessLog *slog.Logger // log, but for lines that are held back for a moment
	logs      *logWriter   // below both
	level     *slog.LevelVar
	metrics   *prom.Metrics
	sentry    *sentryobs.Reporter
	monitor   *health.Monitor
	stores    *stores
	watch     *ratelimit.Watch
	flags     *flags.Client // nil without a source

	flagSource  flags.Source // of flags
	flagJournal *flagJournal // of its changes
	flagsLoaded atomic.Int64 // when, in Unix nanoseconds; 0 before

	flagsExpired atomic.Pointer[string] // as they were logged last
	flagNews     chan flags.Event       // to be told
	flagNewsLost atomic.Int64           // events that found it full

	started   *Loaded // the configuration that New got
	current   atomic.Pointer[assembly]
	reloading sync.Mutex
	draining  atomic.Bool
	upgraded  atomic.Int64 // handlers of requests that asked to take their connection over
	couriers  couriers
	inboxes   atomic.Pointer[[]backlog] // as of a moment ago

	cutoff    context.Context // ends webhook calls that outlast the drain
	endCutoff context.CancelFunc

	forwardedSeen atomic.Bool
	refusedLog    quiet
}

// New assembles a Sidecar. It listens on nothing and starts nothing; files
// below data_dir are made when a webhook route needs them. Logs go to out.
func New(ctx context.Context, l *Loaded, out io.Writer) (*Sidecar, error) {
	s := &Sidecar{
		started: l, level: new(slog.LevelVar), refusedLog: quiet{interval: time.Second},
		flagNews: make(chan flags.Event, maxFlagNews),
	}
	s.logs = newLogWriter(out)
	s.log = newLogger(l.Observe, s.level, s.logs, slog.LevelDebug)
	s.accessLog = newLogger(l.Observe, s.level, s.logs, slog.LevelWarn)
	takeOverLogs(s.log)
	s.cutoff, s.endCutoff = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.build(ctx, l); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	for _, w := range append(slices.Clone(l.Warnings), s.stores.deliveries.warnings(ctx)...) {
		s.log.Warn("configuration", "warning", w)
	}
	return s, nil
}

func (s *Sidecar) build(ctx context.Context, l *Loaded) error {
	var err error
	if s.metrics, err = prom.New(prom.Config{}); err != nil {
		return err
	}
	s.metrics.CountLostLogLines(s.logs.Lost)
	if s.sentry, err = sentryobs.New(sentryobs.Config{
		DSN: l.Observe.Sentry.DSN, Environment: l.Environment, Release: l.Observe.Release,
		IgnorePaths: []string{l.Health.Path, livezPath, readyzPath, startupzPath}, Secrets: l.secrets(),
	}); err != nil {
		return err
	}
	if s.stores, err = openStores(&l.Config); err != nil {
		return err
	}
	if s.watch, err = ratelimit.NewWatch(ratelimit.WatchConfig{}); err != nil {
		return err
	}
	s.metrics.CollectLimits(s.readLimits)
	s.metrics.CollectInboxes(s.readInboxes)
	checks, err := l.checks(s.checkUpstream, s.stores)
	if err != nil {
		return err
	}
	if s.monitor, err = health.New(health.Config{Checks: checks, OnEvent: s.onHealth}); err != nil {
		return err
	}
	if err := s.openFlags(ctx, l); err != nil {
		return err
	}
	return s.install(ctx, l)
}

// install puts a configuration into force.
func (s *Sidecar) install(ctx context.Context, l *Loaded) error {
	a, err := s.assemble(ctx, l)
	if err != nil {
		return err
	}
	s.level.Set(levels[l.Observe.Log.Level])
	if err := s.stores.deliveries.use(ctx, &l.Config); err != nil {
		s.log.Error("webhooks: the store of before cannot be opened", "error", err)
	}
	for _, w := range l.Webhooks {
		s.metrics.WebhookSecrets(w.Name, len(w.Secrets))
	}
	if old := s.current.Swap(a); old != nil {
		old.proxy.CloseIdle()
	}
	s.couriers.use(a)
	return nil
}

func (s *Sidecar) checkUpstream(ctx context.Context) error {
	return s.current.Load().proxy.Check(ctx)
}

// ServeHTTP is the public listener.
func (s *Sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header["Upgrade"] != nil {
		s.upgraded.Add(1)
		defer s.upgraded.Add(-1)
	} else if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	s.current.Load().handler.ServeHTTP(w, r)
}

// close gives back what New took. It is safe on a half-built Sidecar.
func (s *Sidecar) close(ctx context.Context) error {
	s.endCutoff()
	var errs []error
	if s.sentry != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		errs = append(errs, s.sentry.Close(ctx))
	}
	if a := s.current.Load(); a != nil {
		a.proxy.CloseIdle()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		errs = append(errs, a.limits.Close(ctx))
	}
	if s.stores != nil {
		errs = append(errs, s.stores.close())
	}
	return errors.Join(append(errs, s.logs.Close())...)
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func newLogger(c ObserveConfig, level *slog.LevelVar, out *logWriter, flush slog.Level) *slog.Logger {
	log := slog.New(newLogHandler(out, c.Log.Format, level, flush))
	if c.Service != "" {
		log = log.With("service", c.Service)
	}
	return log
}

// takeOverLogs gives what libraries print by themselves the form of our log.
// The process is the sidecar's, so that its globals may be set here.
func takeOverLogs(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(printedLog{to})
	redis.SetLogger(redisLog{to}) // each failed attempt to connect
}

// redisLog implements the Redis client's logger.
type redisLog struct{ log *slog.Logger }

// Printf logs at debug: what matters comes back as an error as well.
func (r redisLog) Printf(ctx context.Context, format string, args ...any) {
	r.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, args...))
}

// secrets are the values that must not leave through an error report.
func (c *Config) secrets() []string {
	out := []string{c.KeySecret, c.Admin.Token, c.Redis, c.Database, c.Observe.Sentry.DSN}
	out = append(append(append(out, c.Flags.Token), c.Flags.OFREP.Tokens...), c.Flags.OFREP.PublicTokens...)
	for _, w := range c.Webhooks {
		out = append(out, w.Secrets...)
	}
	for _, raw := range []string{c.Redis, c.Database, c.Flags.Source} {
		if u, err := url.Parse(raw); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok {
				out = append(out, password)
			}
		}
	}
	return out
}

func requestID(ctx context.Context) string { return observe.RequestID(ctx) }
