package sidecar

import (
	"context"
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/route"
	"github.com/handrail-go/handrail/internal/upstream"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/webhook"
)

// An assembly is the chain of one configuration. A reload makes a new one;
// requests under way finish in the one they began in.
type assembly struct {
	loaded  *Loaded
	handler http.Handler
	limits  *ratelimit.Middleware
	proxy   *upstream.Proxy

	couriers []courier    // of routes with an inbox
	later    http.Handler // the app for messages that were stored
}

// assemble builds the chain of the design's request path: client and path,
// request id and log, health, limits, webhook routes, flag routes, upstream.
func (s *Sidecar) assemble(ctx context.Context, l *Loaded) (*assembly, error) {
	proxy, err := s.newProxy(l)
	if err != nil {
		return nil, err
	}
	app, err := s.withFlags(l, proxy)
	if err != nil {
		return nil, err
	}
	in, err := newIngress(&l.Config)
	if err != nil {
		return nil, err
	}
	if l.TrustedProxies == nil {
		in.onForwarded = s.onForwarded
	}
	once := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r.WithContext(upstream.WithFreshConn(r.Context())))
	})
	kept := later(in, once)
	deliveries, couriers, err := s.webhooks(ctx, l, once, kept)
	if err != nil {
		return nil, err
	}
	deliveriesOrApp, err := s.withOFREP(l, dispatch(deliveries, app))
	if err != nil {
		return nil, err
	}
	limits, err := s.newLimits(l)
	if err != nil {
		return nil, err
	}
	cfg := l.observeConfig()
	cfg.Log = s.accessLog
	cfg.InPlace = true // requests are this process' own
	cfg.OnStart, cfg.OnPanic = s.sentry.OnStart, s.sentry.OnPanic
	cfg.OnRequest = func(e observe.RequestEvent) {
		s.metrics.OnRequest(e)
		s.sentry.OnRequest(e)
	}
	observed, err := observe.New(cfg)
	if err != nil {
		return nil, err
	}
	chain := observed.Wrap(refuse(s.withHealth(l, limits.Wrap(deliveriesOrApp))))
	return &assembly{
		loaded: l, proxy: proxy, limits: limits, couriers: couriers, later: kept,
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			in.prepare(r)
			chain.ServeHTTP(w, r)
		}),
	}, nil
}

func (s *Sidecar) newProxy(l *Loaded) (*upstream.Proxy, error) {
	cfg := l.upstreamConfig()
	// What the sidecar says itself, the upstream cannot say.
	cfg.Reserved = func(name string) bool { return isOurs(name) || name == "X-Request-Id" }
	cfg.OnResponse = func(r *http.Request, status int, header http.Header) {
		ratelimit.ReportHeader(r.Context(), header)
		flags.SettleHeader(r.Context(), status, header)
	}
	cfg.OnError = func(w http.ResponseWriter, r *http.Request, err *upstream.Error) {
		if !s.reportDelivery(r, err) {
			upstream.AnswerError(w, r, err)
		}
		s.logUpstream("upstream failed", r, err)
	}
	cfg.OnAbort = func(r *http.Request, err *upstream.Error) {
		s.reportDelivery(r, err)
		s.logUpstream("upstream broke off an answer", r, err)
	}
	return upstream.New(cfg)
}

// reportDelivery tells the webhook middleware what is known of a delivery that
// failed. It reports false for other requests.
func (s *Sidecar) reportDelivery(r *http.Request, err *upstream.Error) bool {
	if _, ok := webhook.DeliveryFrom(r.Context()); !ok {
		return false
	}
	if err.Written {
		webhook.ReportNoAnswer(r.Context())
	} else {
		webhook.ReportNotWritten(r.Context())
	}
	return true
}

func (s *Sidecar) newLimits(l *Loaded) (*ratelimit.Middleware, error) {
	cfg := l.rateLimitConfig()
	cfg.Limiter, cfg.Fallback, cfg.Watch, cfg.OnEvent = s.stores.limiter(), s.stores.fallback, s.watch, s.onRateLimit
	return ratelimit.New(cfg)
}

// A delivery is a webhook route and the path it is at.
type delivery struct {
	path    *route.Set
	handler http.Handler
}

// webhooks are the routes, with app behind them, and those that bring what their
// inboxes keep to later.
func (s *Sidecar) webhooks(ctx context.Context, l *Loaded, app, later http.Handler) ([]delivery, []courier, error) {
	out := make([]delivery, 0, len(l.Webhooks))
	var all []courier
	for i := range l.Webhooks {
		w := &l.Webhooks[i]
		kind := l.deliveryStore(w)
		m, err := s.webhook(ctx, w, kind)
		if err != nil {
			return nil, nil, err
		}
		path, err := route.Compile([]string{w.Path}, false)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, delivery{path: path, handler: m.Wrap(app)})
		if w.Mode == modeInbox {
			all = append(all, courier{name: w.Name, kind: kind, route: m, next: later})
		}
	}
	return out, all, nil
}

// webhook is the middleware of a route on a kind of store.
func (s *Sidecar) webhook(ctx context.Context, w *WebhookConfig, kind string) (*webhook.Middleware, error) {
	v, err := w.verifier()
	if err != nil {
		return nil, err
	}
	store, err := s.stores.deliveries.store(ctx, kind)
	if err != nil {
		return nil, err
	}
	cfg, err := w.config(v, store)
	if err != nil {
		return nil, err
	}
	cfg.Drain, cfg.OnEvent = s.cutoff, s.onWebhook
	return webhook.New(cfg)
}

// dispatch sends webhook paths to their route and all others to app.
func dispatch(deliveries []delivery, app http.Handler) http.Handler {
	if len(deliveries) == 0 {
		return app
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, d := range deliveries {
			if d.path.Match(r.URL) {
				d.handler.ServeHTTP(w, r)
				return
			}
		}
		app.ServeHTTP(w, r)
	})
}

// withHealth answers the probes before any limit.
func (s *Sidecar) withHealth(l *Loaded, next http.Handler) http.Handler {
	probes := map[string]http.Handler{
		livezPath:    s.monitor.LivezHandler(),
		readyzPath:   s.monitor.ReadyzHandler(),
		startupzPath: s.monitor.StartupzHandler(),
	}
	probes[strings.TrimSuffix(l.Health.Path, "/")] = s.monitor.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := probes[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
