// Command go-service is a small HTTP service with Handrail's packages as its
// own middleware. A request passes them in this order: observe, health,
// ratelimit, then webhook or flags, then the handlers.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/envcheck"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/health"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

// config is the environment that the service needs.
type config struct {
	Listen         string   `env:"LISTEN" envDefault:"127.0.0.1:3000"`
	TrustedProxies []string `env:"TRUSTED_PROXIES"`
	StripeSecret   string   `env:"STRIPE_WEBHOOK_SECRET,required" rule:"startsWith=whsec_"`
	FlagsFile      string   `env:"FLAGS_FILE" envDefault:"flags.yaml"`
	DeliveriesFile string   `env:"DELIVERIES_FILE" envDefault:"data/webhooks.db"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (err error) {
	cfg, err := envcheck.Load[config]() // first: nothing starts on a wrong environment
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))

	features, err := flags.New(ctx, flags.Config{Source: flags.File(cfg.FlagsFile)})
	if err != nil {
		return err
	}
	deliveries, err := sqlstore.OpenSQLite(ctx, cfg.DeliveriesFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, deliveries.Close()) }()
	monitor, err := health.New(health.Config{Checks: []health.Check{
		{Name: "memory", Func: health.Memory()},
		{Name: "disk", Func: health.Disk(".")},
	}})
	if err != nil {
		return err
	}
	handler, err := newHandler(cfg, log, features, deliveries, monitor)
	if err != nil {
		return err
	}

	// Every goroutine ends before run returns.
	background, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer func() { end(); wg.Wait() }()
	wg.Go(func() { _ = features.Run(background) })
	wg.Go(func() { _ = monitor.Run(background) })
	wg.Go(func() { deliveries.Run(background, time.Hour, nil) })
	return serve(ctx, cfg.Listen, handler, monitor, log)
}

// newHandler puts the chain together.
func newHandler(cfg config, log *slog.Logger, features *flags.Client, deliveries webhook.Store, monitor *health.Monitor) (http.Handler, error) {
	observed, err := observe.New(observe.Config{
		Log: log, Routes: []string{"/login", "/checkout", "/webhooks/stripe", "/health", "/readyz"},
		TrustedProxies: cfg.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	limits, err := ratelimit.New(ratelimit.Config{
		Policies:       []ratelimit.Policy{ratelimit.AuthPolicy()}, // 8 sign-ins in 10 minutes by address
		TrustedProxies: cfg.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	flagged, err := flags.NewMiddleware(flags.MiddlewareConfig{
		Client: features, TargetingKey: flags.CookieKey("uid"), Vary: "Cookie",
	})
	if err != nil {
		return nil, err
	}
	stripe, err := stripehook.New(stripehook.Config{Secrets: []string{cfg.StripeSecret}})
	if err != nil {
		return nil, err
	}
	hook, err := webhook.New(webhook.Config{Route: "stripe", Verifier: stripe, Store: deliveries})
	if err != nil {
		return nil, err
	}

	pages := http.NewServeMux()
	pages.HandleFunc("POST /login", login)
	pages.HandleFunc("GET /checkout", checkout)
	app := http.NewServeMux()
	app.Handle("/webhooks/stripe", hook.Wrap(paid(log)))
	app.Handle("/", flagged.Wrap(pages))
	root := http.NewServeMux()
	root.Handle("/health", monitor.Handler())
	root.Handle("/readyz", monitor.ReadyzHandler())
	root.Handle("/", limits.Wrap(app))
	return observed.Wrap(root), nil
}

func login(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Welcome.")
}

func checkout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "private") // the answer depends on who asks
	if flags.Enabled(r.Context(), "new-checkout") {
		fmt.Fprintln(w, "The new checkout.")
		return
	}
	fmt.Fprintln(w, "The old checkout.")
}

// paid handles an event. It is called again only when it fails, or when it is
// not known whether it had its effect: store the key together with the effect.
func paid(log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := stripehook.EventFrom(r.Context())
		if err != nil {
			http.Error(w, "not an event", http.StatusUnprocessableEntity)
			return
		}
		delivery, _ := webhook.DeliveryFrom(r.Context())
		log.Info("paid", "event", event.ID, "type", event.Type, "idempotency_key", delivery.IdempotencyKey)
		w.WriteHeader(http.StatusNoContent)
	})
}

// serve ends when ctx does, once everything in flight has its answer.
func serve(ctx context.Context, addr string, handler http.Handler, monitor *health.Monitor, log *slog.Logger) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	monitor.SetReady()
	log.Info("listening", "address", ln.Addr().String())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	monitor.SetDraining() // the load balancer sees it at its next poll
	grace, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}
