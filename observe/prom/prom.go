// Package prom counts requests, and what the other packages decide, for
// Prometheus. It keeps a registry of its own; the default one is never
// touched. Nothing here can be down: numbers are read when somebody asks.
//
// Security: every label is bounded. Past Config.MaxSeries a metric takes new
// values under the label value "overflow". Handler belongs on a listener for
// operators.
package prom

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/handrail-go/handrail/observe"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DefaultMaxSeries is Config.MaxSeries unless it says otherwise.
const DefaultMaxSeries = 2000

// Overflow is the label value of what came after MaxSeries was reached.
const Overflow = "overflow"

// Config configures Metrics. The zero value is usable.
type Config struct {
	// MaxSeries bounds the label sets of each metric. Zero means
	// DefaultMaxSeries.
	MaxSeries int

	// Buckets are the upper bounds of http_request_duration_seconds, in
	// seconds, ascending. Nil means 1 ms to 60 s in 14 steps.
	Buckets []float64
}

// ConfigError is one problem of a Config. New reports all of them, joined.
type ConfigError struct {
	Field  string
	Value  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("prom: %s %q: %s", e.Field, e.Value, e.Reason)
}

// Metrics is a set of metrics and their registry. It is safe for concurrent
// use. OnRequest fits observe.Config; the others are for what the program hangs
// on the hooks of the other packages.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *family[requestKey, prometheus.Counter]
	durations *family[durationKey, prometheus.Observer]
	limits    *family[limitKey, prometheus.Counter]
	webhooks  *family[webhookKey, prometheus.Counter]
	secrets   *family[secretKey, prometheus.Counter]
	versions  *family[versionKey, prometheus.Counter]
	flags     flagMetrics
	checks    *family[string, prometheus.Gauge]
}

// Label sets. Structs: a map takes twice as long for an array of strings.
type (
	requestKey struct {
		method, route string
		status        int // or one of the constants below
	}
	durationKey struct{ method, route string }
	limitKey    struct{ policy, outcome string }
)

// What the label status says in place of a number.
const (
	statusAborted  = -1
	statusOverflow = -2
)

func statusLabel(status int) string {
	switch status {
	case statusAborted:
		return "aborted"
	case statusOverflow:
		return Overflow
	}
	return strconv.Itoa(status)
}

// New returns Metrics with the collectors of the Go runtime and the process
// registered. The error joins a *ConfigError for every problem.
func New(cfg Config) (*Metrics, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.MaxSeries == 0 {
		cfg.MaxSeries = DefaultMaxSeries
	}
	if cfg.Buckets == nil {
		cfg.Buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}
	}
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.registerHTTP(cfg)
	m.registerHandrail(cfg.MaxSeries)
	return m, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.MaxSeries < 0 {
		errs = append(errs, &ConfigError{"MaxSeries", strconv.Itoa(c.MaxSeries), "must not be negative"})
	}
	for i := 1; i < len(c.Buckets); i++ {
		if !(c.Buckets[i-1] < c.Buckets[i]) {
			errs = append(errs, &ConfigError{"Buckets", fmt.Sprint(c.Buckets), "must ascend"})
			break
		}
	}
	return errors.Join(errs...)
}

// Registry is where an assembler registers further collectors.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves /metrics in the text format, or as OpenMetrics when asked.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// OnRequest fits observe.Config.OnRequest. The label status is the one that
// was sent, "500" for panics, and "aborted" for answers that did not reach
// their end: they count neither as success nor as failure of the server.
// Durations of hijacked connections are not observed: they are how long a
// client stayed.
func (m *Metrics) OnRequest(ev observe.RequestEvent) {
	status := ev.Status
	switch ev.Outcome {
	case observe.Aborted:
		status = statusAborted
	case observe.Panicked:
		status = http.StatusInternalServerError
	}
	m.requests.get(requestKey{ev.Method, ev.Route, status}).Inc()
	if ev.Outcome != observe.Hijacked {
		m.durations.get(durationKey{ev.Method, ev.Route}).Observe(ev.Duration.Seconds())
	}
}

func (m *Metrics) registerHTTP(cfg Config) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total",
		Help: "Requests served, by method, route template and status.",
	}, []string{"method", "route", "status"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time from the request's headers to the end of its handler.",
		Buckets: slices.Clone(cfg.Buckets),
	}, []string{"method", "route"})
	m.registry.MustRegister(requests, durations)
	m.requests = newFamily(cfg.MaxSeries,
		func(k requestKey) prometheus.Counter {
			return requests.WithLabelValues(labels(k.method, k.route, statusLabel(k.status))...)
		},
		requestKey{Overflow, Overflow, statusOverflow},
		func(k requestKey) requestKey { k.route = Overflow; return k },
	)
	m.durations = newFamily(cfg.MaxSeries,
		func(k durationKey) prometheus.Observer {
			return durations.WithLabelValues(labels(k.method, k.route)...)
		},
		durationKey{Overflow, Overflow},
		func(k durationKey) durationKey { k.route = Overflow; return k },
	)
}
