package sentryobs

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/getsentry/sentry-go"
	"github.com/handrail-go/handrail/internal/route"
)

// Reason is why something was not sent.
type Reason string

// Every Reason.
const (
	DroppedDevelopment Reason = "development" // or no DSN: a request or panic that would have been looked at
	DroppedIgnored     Reason = "ignored"     // path of Config.IgnorePaths
	DroppedUnsampled   Reason = "unsampled"   // trace not chosen, by rate or by the caller
	DroppedNotFound    Reason = "not_found"   // trace of a 404
	DroppedClientGone  Reason = "client_gone" // trace or error of a request that the client left
)

// ErrNotDelivered is returned when events were still queued at a deadline.
var ErrNotDelivered = errors.New("sentryobs: not everything was delivered in time")

// A Reporter sends to Sentry. It is safe for concurrent use. Without a DSN,
// and in Development, it does nothing but count.
type Reporter struct {
	client    *sentry.Client // nil: nothing is sent
	transport *http.Transport
	cfg       Config
	ignore    *route.Set
	scrub     *scrubber
	dropped   map[Reason]*atomic.Uint64 // every Reason; never changed
}

// New returns a Reporter. When it is to send, the SDK's sender runs from here
// on, until Close. The error joins a *ConfigError for every problem.
func New(cfg Config) (*Reporter, error) {
	ignore, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	r := &Reporter{cfg: cfg, ignore: ignore, scrub: newScrubber(cfg.Secrets), dropped: make(map[Reason]*atomic.Uint64)}
	for _, reason := range []Reason{
		DroppedDevelopment, DroppedIgnored, DroppedUnsampled, DroppedNotFound, DroppedClientGone,
	} {
		r.dropped[reason] = new(atomic.Uint64)
	}
	r.cfg.Secrets, r.cfg.IgnorePaths = nil, nil
	if cfg.DSN == "" || cfg.Environment == Development {
		return r, nil
	}
	r.transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	off := &sentry.KeyValueCollectionBehavior{Mode: sentry.CollectionOff}
	r.client, err = sentry.NewClient(sentry.ClientOptions{
		Dsn:                   cfg.DSN,
		Environment:           cfg.Environment,
		Release:               cfg.Release,
		EnableTracing:         !cfg.DisableTraces,
		HTTPTransport:         r.transport,
		MaxBreadcrumbs:        -1,
		BeforeSend:            r.scrub.event,
		BeforeSendTransaction: r.scrub.event,
		DataCollection: &sentry.DataCollection{
			UserInfo:    sentry.Set(false),
			Cookies:     off,
			HTTPHeaders: &sentry.HeaderCollectionConfig{Request: off, Response: off},
			HTTPBodies:  []sentry.BodyType{},
			QueryParams: off,
		},
	})
	if err != nil {
		return nil, &ConfigError{"DSN", "[redacted]", "is not a Sentry DSN"}
	}
	return r, nil
}

// Dropped tells how much was not sent on purpose, by reason. Reasons that did
// not occur are missing.
func (r *Reporter) Dropped() map[Reason]uint64 {
	out := make(map[Reason]uint64, len(r.dropped))
	for reason, count := range r.dropped {
		if n := count.Load(); n > 0 {
			out[reason] = n
		}
	}
	return out
}

func (r *Reporter) drop(reason Reason) {
	r.dropped[reason].Add(1)
	if r.cfg.OnDrop != nil {
		r.cfg.OnDrop(reason)
	}
}

// Flush waits until everything queued was sent, or ctx ends: then it returns
// ErrNotDelivered. The ctx needs a deadline when Sentry may be down.
func (r *Reporter) Flush(ctx context.Context) error {
	if r.client == nil || r.client.FlushWithContext(ctx) {
		return nil
	}
	return ErrNotDelivered
}

// Close flushes and stops the sender; afterwards nothing is sent. When ctx
// ends first, what is left is lost, and the sender's goroutines end after
// their last attempt, within a minute.
func (r *Reporter) Close(ctx context.Context) error {
	if r.client == nil {
		return nil
	}
	err := r.Flush(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.client.Close()
		r.transport.CloseIdleConnections()
	}()
	select {
	case <-stopped:
		return err
	case <-ctx.Done():
		return ErrNotDelivered
	}
}
