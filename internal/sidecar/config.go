package sidecar

import (
	"time"

	"github.com/handrail-go/handrail/internal/strictyaml"
	"github.com/handrail-go/handrail/internal/upstream"
	"github.com/handrail-go/handrail/ratelimit"
)

// Environments of a deployment. The zero configuration is production.
const (
	Development = "development"
	Test        = "test"
	Staging     = "staging"
	Production  = "production"
)

// A Config is the whole configuration of the sidecar, handrail.yaml after
// expansion, environment and flags. Lists that tell absent from empty are nil
// when absent.
type Config struct {
	Listen            string            `yaml:"listen"`
	Admin             AdminConfig       `yaml:"admin"`
	Metrics           MetricsConfig     `yaml:"metrics"`
	Environment       string            `yaml:"environment"`
	Namespace         string            `yaml:"namespace"`
	KeySecret         string            `yaml:"key_secret"`
	TrustedProxies    []string          `yaml:"trusted_proxies"`
	ForwardedHeader   string            `yaml:"forwarded_header"`
	UnderscoreHeaders string            `yaml:"underscore_headers"` // drop or keep
	Upstream          UpstreamConfig    `yaml:"upstream"`
	Paths             PathsConfig       `yaml:"paths"`
	Redis             string            `yaml:"redis"`
	Database          string            `yaml:"database"`
	DataDir           string            `yaml:"data_dir"`
	Replicas          int               `yaml:"replicas"` // instances that share Redis
	RateLimits        []RateLimitConfig `yaml:"rate_limits"`
	Webhooks          []WebhookConfig   `yaml:"webhooks"`
	Flags             FlagsConfig       `yaml:"flags"`
	Health            HealthConfig      `yaml:"health"`
	Drain             DrainConfig       `yaml:"drain"`
	Env               EnvConfig         `yaml:"env"`
	Exec              ExecConfig        `yaml:"exec"`
	Observe           ObserveConfig     `yaml:"observe"`

	Schema strictyaml.Unsupported `yaml:"schema"`

	// DangerouslyTrustAllProxies allows trusted_proxies that cover every
	// address. Any client can then claim any address.
	DangerouslyTrustAllProxies bool `yaml:"dangerously_trust_all_proxies"`
}

// AdminConfig is the listener for operators.
type AdminConfig struct {
	Listen string `yaml:"listen"` // host:port, unix:/path, or "" for none
	Token  string `yaml:"token"`
}

// MetricsConfig is a listener of its own for /metrics.
type MetricsConfig struct {
	Listen string `yaml:"listen"` // "" for none
}

// UpstreamConfig is the app that the sidecar stands in front of.
type UpstreamConfig struct {
	URL          string        `yaml:"url"`
	Timeout      time.Duration `yaml:"timeout"`       // until response headers
	IdleTimeout  time.Duration `yaml:"idle_timeout"`  // between bytes
	TotalTimeout time.Duration `yaml:"total_timeout"` // for a whole request; 0: none
	Transport    string        `yaml:"transport"`     // std or lean
}

// PathsConfig says what to do with ambiguous paths.
type PathsConfig struct {
	EncodedSlash string `yaml:"encoded_slash"` // refuse or keep
}

// RateLimitConfig is one policy.
type RateLimitConfig struct {
	Name            string              `yaml:"name"`
	Match           MatchConfig         `yaml:"match"`
	Key             []string            `yaml:"key"`
	IPv6Prefix      int                 `yaml:"ipv6_prefix"`
	MaxBody         strictyaml.ByteSize `yaml:"max_body"` // read for a key of json: or form:
	Limit           int                 `yaml:"limit"`
	Window          time.Duration       `yaml:"window"`
	Algorithm       string              `yaml:"algorithm"`
	Burst           int                 `yaml:"burst"` // of gcra; 0: the limit
	Lockout         []TierConfig        `yaml:"lockout"`
	Count           string              `yaml:"count"`
	SuccessStatuses []int               `yaml:"success_statuses"`
	OnStoreError    string              `yaml:"on_store_error"`
	Mode            string              `yaml:"mode"`
	RetryAfter      string              `yaml:"retry_after"`
	Allow           []string            `yaml:"allow"`
	Deny            []string            `yaml:"deny"`
}

// TierConfig is one step of a lockout: after limit requests within window the
// subject is blocked for block.
type TierConfig struct {
	Limit  int           `yaml:"limit"`
	Window time.Duration `yaml:"window"`
	Block  time.Duration `yaml:"block"`
}

// MatchConfig selects requests. An empty list of methods means all.
type MatchConfig struct {
	Methods []string `yaml:"methods"`
	Paths   []string `yaml:"paths"`
	Exact   bool     `yaml:"exact"`
}

// WebhookConfig is one route that a provider delivers to.
type WebhookConfig struct {
	Name            string              `yaml:"name"`
	Path            string              `yaml:"path"`
	Provider        string              `yaml:"provider"`
	Secrets         []string            `yaml:"secrets"`
	Tolerance       time.Duration       `yaml:"tolerance"`
	MaxBody         strictyaml.ByteSize `yaml:"max_body"`
	PublicURL       string              `yaml:"public_url"`
	ID              string              `yaml:"id"`
	HMAC            HMACConfig          `yaml:"hmac"`
	Store           string              `yaml:"store"`
	Mode            string              `yaml:"mode"` // sync or inbox
	Inbox           InboxConfig         `yaml:"inbox"`
	Signature       string              `yaml:"signature"` // of mode inbox: forward or fresh
	ReplayGuard     bool                `yaml:"replay_guard"`
	Timeout         time.Duration       `yaml:"timeout"`
	Retention       time.Duration       `yaml:"retention"`
	DiscardStatuses []int               `yaml:"discard_statuses"`
}

// InboxConfig says how what was acknowledged is brought to the app.
type InboxConfig struct {
	Order        string        `yaml:"order"` // json:/pointer or header:NAME; "" for none
	MaxAttempts  int           `yaml:"max_attempts"`
	MaxAge       time.Duration `yaml:"max_age"`
	FirstRetry   time.Duration `yaml:"first_retry"`
	LongestRetry time.Duration `yaml:"longest_retry"`
	Concurrency  int           `yaml:"concurrency"` // attempts at a time
	Timeout      time.Duration `yaml:"timeout"`     // of an attempt; 0: 20s, or that of the route when it is longer
}

// HMACConfig describes the signatures of the provider hmac.
type HMACConfig struct {
	Header    string `yaml:"header"`
	Algorithm string `yaml:"algorithm"`
	Encoding  string `yaml:"encoding"`
	Prefix    string `yaml:"prefix"`
	Signed    string `yaml:"signed"`
}

// FlagsConfig says where flags come from and who is asked about.
type FlagsConfig struct {
	Source          string        `yaml:"source"`   // a file, redis, or an https URL
	Token           string        `yaml:"token"`    // bearer token for an https source
	Interval        time.Duration `yaml:"interval"` // between two looks at an https source
	TargetingKey    string        `yaml:"targeting_key"`
	AnonymousCookie string        `yaml:"anonymous_cookie"`
	Inject          bool          `yaml:"inject"`
	Routes          []RouteConfig `yaml:"routes"`
	OFREP           OFREPConfig   `yaml:"ofrep"`
}

// OFREPConfig says who may evaluate flags by the OpenFeature Remote Evaluation
// Protocol, beside whoever may use the admin listener.
type OFREPConfig struct {
	Tokens       []string `yaml:"tokens"`        // that the admin listener takes for it
	Public       bool     `yaml:"public"`        // on the public listener, flags marked public
	PublicTokens []string `yaml:"public_tokens"` // that the public listener asks for; none: everybody may ask
}

// RouteConfig hides paths behind a flag.
type RouteConfig struct {
	Flag      string   `yaml:"flag"`
	Paths     []string `yaml:"paths"`
	Exact     bool     `yaml:"exact"`
	Otherwise int      `yaml:"otherwise"`
}

// HealthConfig is the endpoint that load balancers poll.
type HealthConfig struct {
	Path     string        `yaml:"path"`
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	Checks   []CheckConfig `yaml:"checks"`
}

// CheckConfig is one further health check.
type CheckConfig struct {
	Name     string `yaml:"name"`
	Type     string `yaml:"type"` // http or tcp
	URL      string `yaml:"url"`  // http
	Address  string `yaml:"address"`
	Critical bool   `yaml:"critical"`
	Ready    bool   `yaml:"ready"`
}

// DrainConfig bounds the end of the process.
type DrainConfig struct {
	Delay   time.Duration `yaml:"delay"`   // not ready, still accepting
	Timeout time.Duration `yaml:"timeout"` // for what is in flight
}

// EnvConfig names the schema that exec holds the environment against.
type EnvConfig struct {
	Schema string `yaml:"schema"`
}

// ExecConfig is about the child of handrail exec.
type ExecConfig struct {
	StopTimeout time.Duration `yaml:"stop_timeout"` // between SIGTERM and SIGKILL
}

// ObserveConfig is about logs, metrics and Sentry.
type ObserveConfig struct {
	Service string       `yaml:"service"`
	Release string       `yaml:"release"`
	Log     LogConfig    `yaml:"log"`
	Routes  []string     `yaml:"routes"`
	Sentry  SentryConfig `yaml:"sentry"`

	Alerts strictyaml.Unsupported `yaml:"alerts"`
}

// LogConfig is the form of the log.
type LogConfig struct {
	Format string `yaml:"format"` // json or text
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// SentryConfig is where errors go.
type SentryConfig struct {
	DSN string `yaml:"dsn"`
}

// The values that hold unless file, environment or flags say otherwise.
// Entries of lists have SetDefaults.
func defaults(getenv func(string) string) Config {
	return Config{
		Listen:            ":8080",
		Admin:             AdminConfig{Listen: "127.0.0.1:9090"},
		Environment:       Production,
		ForwardedHeader:   "X-Forwarded-For",
		UnderscoreHeaders: "drop",
		Upstream:          UpstreamConfig{Timeout: time.Minute, IdleTimeout: 5 * time.Minute, Transport: upstream.TransportLean},
		Paths:             PathsConfig{EncodedSlash: "refuse"},
		Redis:             getenv("REDIS_URL"),
		Database:          getenv("DATABASE_URL"),
		DataDir:           "handrail-data",
		Replicas:          1,
		Flags:             FlagsConfig{Source: defaultFlags, Interval: 10 * time.Second, TargetingKey: "cookie:uid", Inject: true},
		Health:            HealthConfig{Path: "/health", Interval: 5 * time.Second, Timeout: 800 * time.Millisecond},
		Drain:             DrainConfig{Delay: 5 * time.Second, Timeout: 20 * time.Second},
		Env:               EnvConfig{Schema: defaultSchema},
		Exec:              ExecConfig{StopTimeout: 10 * time.Second},
		Observe: ObserveConfig{
			Release: getenv("GIT_SHA"),
			Log:     LogConfig{Format: "json", Level: "info"},
			Sentry:  SentryConfig{DSN: getenv("SENTRY_DSN")},
		},
	}
}

// Files that are read when they exist; named in the configuration, they must.
const (
	DefaultFile   = "handrail.yaml"
	defaultFlags  = "flags.yaml"
	defaultSchema = ".env.schema"
)

// SetDefaults implements strictyaml.Defaulter.
func (r *RateLimitConfig) SetDefaults() {
	*r = RateLimitConfig{
		Key: []string{"ip"}, IPv6Prefix: 64, MaxBody: ratelimit.DefaultMaxBodyBytes,
		Algorithm: string(ratelimit.SlidingWindow), Count: string(ratelimit.Requests),
		OnStoreError: string(ratelimit.Local), Mode: string(ratelimit.Enforce), RetryAfter: string(ratelimit.RetryExact),
	}
}

// SetDefaults implements strictyaml.Defaulter.
func (w *WebhookConfig) SetDefaults() {
	*w = WebhookConfig{
		MaxBody: 1 << 20, Store: storeAuto, Mode: modeSync, Signature: signatureForward, ReplayGuard: true,
		Inbox: InboxConfig{
			MaxAttempts: 100, MaxAge: 72 * time.Hour, FirstRetry: 5 * time.Second, LongestRetry: time.Hour, Concurrency: 8,
		},
		Retention: 168 * time.Hour, DiscardStatuses: []int{410},
	}
}

// SetDefaults implements strictyaml.Defaulter.
func (r *RouteConfig) SetDefaults() { r.Otherwise = 404 }
