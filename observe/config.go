package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/route"
)

// Config configures a Middleware. The zero value gives request ids and
// recovers panics.
type Config struct {
	// Log gets one record "request" at level Info for each request and one
	// record "panic" at level Error for each panic. Nil means no log.
	Log *slog.Logger

	// Routes are the templates that requests are counted under, as in
	// "/users/{id}": "{name}" and "*" are one segment, "/page.*" is that
	// name with any suffix, "**" is zero or more segments.
	// The first that matches counts. What matches none is Unmatched.
	Routes []string

	// TrustedProxies are the peers whose forwarding header and X-Request-Id
	// are believed: CIDRs, addresses, "private", "loopback". Nil means none.
	// It does not count for requests whose context already says who the
	// client is.
	TrustedProxies []string

	// ForwardedHeader is "X-Forwarded-For" or "Forwarded"; "" means the
	// first.
	ForwardedHeader string

	// InPlace gives the handler the very request that Wrap's handler got, with
	// another context. It is for whoever made the request, such as a server.
	// False gives it a copy.
	InPlace bool

	// OnStart, when set, is called before the handler, with the route and a
	// request whose context carries the request id. The context that it
	// returns goes with the request and comes back in RequestEvent.Context.
	OnStart func(r *http.Request, route string) context.Context

	// OnRequest, when set, is called after each request, on its goroutine.
	OnRequest func(RequestEvent)

	// OnPanic, when set, is called for each panic other than
	// http.ErrAbortHandler, on the goroutine that panicked and before its
	// stack is unwound, so that a stack taken there shows where it was.
	OnPanic func(PanicEvent)
}

// Unmatched is the route of requests that no template matches.
const Unmatched = "unmatched"

// OtherMethod stands for methods that are not those of RFC 9110 or PATCH.
const OtherMethod = "_OTHER"

// ConfigError is one problem of a Config. New reports all of them, joined.
type ConfigError struct {
	Field  string // as in "Routes"
	Value  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("observe: %s %q: %s", e.Field, e.Value, e.Reason)
}

// A Middleware observes requests. It is safe for concurrent use.
type Middleware struct {
	log       *slog.Logger // nil without one
	access    slog.Handler // log's
	source    uintptr      // of access records
	routes    *route.Set
	clients   *clientip.Resolver
	inPlace   bool
	onStart   func(*http.Request, string) context.Context
	onRequest func(RequestEvent)
	onPanic   func(PanicEvent)
}

// New returns a Middleware. The error joins a *ConfigError for every problem.
func New(cfg Config) (*Middleware, error) {
	var errs []error
	routes, err := route.Compile(cfg.Routes, false)
	if err != nil {
		errs = append(errs, &ConfigError{"Routes", strings.Join(cfg.Routes, " "), err.Error()})
	}
	trusted, err := clientip.ParsePrefixes(cfg.TrustedProxies)
	if err != nil {
		errs = append(errs, &ConfigError{"TrustedProxies", strings.Join(cfg.TrustedProxies, " "), err.Error()})
	}
	clients, err := clientip.New(trusted, cfg.ForwardedHeader)
	if err != nil {
		errs = append(errs, &ConfigError{"ForwardedHeader", cfg.ForwardedHeader, err.Error()})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m := &Middleware{
		log: cfg.Log, routes: routes, clients: clients, inPlace: cfg.InPlace,
		onStart: cfg.OnStart, onRequest: cfg.OnRequest, onPanic: cfg.OnPanic,
	}
	if cfg.Log != nil {
		m.access, m.source = cfg.Log.Handler(), here()
	}
	return m, nil
}
