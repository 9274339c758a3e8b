package sentryobs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getsentry/sentry-go"
	"github.com/handrail-go/handrail/internal/route"
)

// Sampling rates of traces when Config.TracesSampleRate is zero.
const (
	ProductionTracesSampleRate = 0.15
	OtherTracesSampleRate      = 1.0
)

// Development is the environment in which nothing is sent.
const Development = "development"

// Config configures a Reporter.
type Config struct {
	// DSN is where to send, as Sentry gives it. Without it nothing is sent
	// and nothing runs; the SDK's environment variables do not count.
	DSN string

	// Environment as in "production". In Development nothing is sent and
	// nothing runs, whatever else is set. "" means "production".
	Environment string

	// Release as in "app@1.2.3" or a commit. "" means "unknown".
	Release string

	// TracesSampleRate is the share of requests traced, above 0 and at most
	// 1, where the caller has not decided. Zero means
	// ProductionTracesSampleRate in production and OtherTracesSampleRate
	// elsewhere.
	TracesSampleRate float64

	// DisableTraces turns traces off.
	DisableTraces bool

	// ErrorStatuses are the statuses reported as errors. Nil means 500, 501,
	// 502 and 504; an empty slice none. Panics are always reported.
	ErrorStatuses []int

	// IgnorePaths are the templates of paths that are neither traced nor
	// reported, panics excepted. Nil means the customary health and metrics
	// paths: /health, /healthz, /livez, /readyz, /startupz, /metrics.
	IgnorePaths []string

	// Secrets are values that are taken out of every text that is sent. Those
	// shorter than 6 bytes are not looked for.
	Secrets []string

	// OnDrop, when set, is called for everything that is not sent on
	// purpose, on the request's goroutine. Dropped counts the same.
	OnDrop func(Reason)
}

// ConfigError is one problem of a Config. New reports all of them, joined.
// The DSN is never part of it.
type ConfigError struct {
	Field  string
	Value  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("sentryobs: %s %q: %s", e.Field, e.Value, e.Reason)
}

// validate fills in the defaults.
func (c *Config) validate() (*route.Set, error) {
	var errs []error
	bad := func(field, value, reason string) {
		errs = append(errs, &ConfigError{field, value, reason})
	}
	if c.Environment == "" {
		c.Environment = "production"
	}
	if c.Release == "" {
		c.Release = "unknown" // else the SDK runs git to find one
	}
	if c.DSN != "" {
		if _, err := sentry.NewDsn(c.DSN); err != nil {
			bad("DSN", "[redacted]", "is not a Sentry DSN")
		}
	}
	switch {
	case !(c.TracesSampleRate >= 0 && c.TracesSampleRate <= 1):
		bad("TracesSampleRate", strconv.FormatFloat(c.TracesSampleRate, 'g', -1, 64), "must be between 0 and 1")
	case c.TracesSampleRate == 0 && c.Environment == "production":
		c.TracesSampleRate = ProductionTracesSampleRate
	case c.TracesSampleRate == 0:
		c.TracesSampleRate = OtherTracesSampleRate
	}
	if c.ErrorStatuses == nil {
		c.ErrorStatuses = []int{
			http.StatusInternalServerError, http.StatusNotImplemented,
			http.StatusBadGateway, http.StatusGatewayTimeout,
		}
	}
	for _, s := range c.ErrorStatuses {
		if s < 400 || s > 599 {
			bad("ErrorStatuses", strconv.Itoa(s), "must be between 400 and 599")
		}
	}
	if c.IgnorePaths == nil {
		c.IgnorePaths = []string{"/health", "/healthz", "/livez", "/readyz", "/startupz", "/metrics"}
	}
	ignore, err := route.Compile(c.IgnorePaths, false)
	if err != nil {
		bad("IgnorePaths", strings.Join(c.IgnorePaths, " "), err.Error())
	}
	c.ErrorStatuses = slices.Clone(c.ErrorStatuses)
	return ignore, errors.Join(errs...)
}
