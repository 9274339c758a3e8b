package sidecar

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/handrail-go/handrail/envcheck"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
	"github.com/handrail-go/handrail/health"
	"github.com/handrail-go/handrail/internal/route"
	"github.com/handrail-go/handrail/internal/strictyaml"
	"github.com/handrail-go/handrail/internal/upstream"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/sentryobs"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/webhook"
)

// This file translates the configuration into the Configs of the public
// packages, and their errors back into places of the configuration.

// policies are the rate limits: those configured, or the default one when the
// key is absent. An empty list means none.
func (c *Config) policies() []ratelimit.Policy {
	if c.RateLimits == nil {
		p := ratelimit.AuthPolicy()
		p.Algorithm, p.Count = ratelimit.SlidingWindow, ratelimit.Requests
		p.OnStoreError, p.Mode = ratelimit.Local, ratelimit.Enforce
		return []ratelimit.Policy{p}
	}
	out := make([]ratelimit.Policy, len(c.RateLimits))
	for i, r := range c.RateLimits {
		out[i] = ratelimit.Policy{
			Name: r.Name, Methods: r.Match.Methods, Paths: r.Match.Paths, Exact: r.Match.Exact,
			Key: r.Key, IPv6Prefix: r.IPv6Prefix,
			Limit: r.Limit, Window: r.Window, Algorithm: ratelimit.Algorithm(r.Algorithm), Burst: r.Burst,
			Count: ratelimit.CountMode(r.Count), SuccessStatuses: r.SuccessStatuses,
			OnStoreError: ratelimit.OnStoreError(r.OnStoreError), Mode: ratelimit.Mode(r.Mode),
			RetryAfter: ratelimit.RetryAfterForm(r.RetryAfter), Allow: r.Allow, Deny: r.Deny,
		}
		if r.readsBody() {
			out[i].MaxBodyBytes = int64(r.MaxBody)
		}
		for _, t := range r.Lockout {
			out[i].Lockout = append(out[i].Lockout, ratelimit.Tier{Count: t.Limit, Window: t.Window, Block: t.Block})
		}
	}
	return out
}

// readsBody reports whether a part of the key is in the body.
func (r *RateLimitConfig) readsBody() bool {
	return slices.ContainsFunc(r.Key, func(k string) bool {
		return strings.HasPrefix(k, "json:") || strings.HasPrefix(k, "form:")
	})
}

func (c *Config) rateLimitConfig() ratelimit.Config {
	return ratelimit.Config{
		Policies: c.policies(), KeySecret: []byte(c.KeySecret), Namespace: c.namespace(), Replicas: c.Replicas,
		TrustedProxies: c.TrustedProxies, ForwardedHeader: c.ForwardedHeader,
		DangerouslyTrustAllProxies: c.DangerouslyTrustAllProxies,
	}
}

// namespace keeps apps on one Redis apart.
func (c *Config) namespace() string {
	switch {
	case c.Namespace != "":
		return c.Namespace
	case c.Observe.Service != "":
		return c.Observe.Service
	}
	return "default"
}

func (c *Config) upstreamConfig() upstream.Config {
	return upstream.Config{
		URL: c.Upstream.URL, Timeout: c.Upstream.Timeout, IdleTimeout: c.Upstream.IdleTimeout,
		TotalTimeout:    c.Upstream.TotalTimeout,
		ForwardedHeader: c.ForwardedHeader, Transport: c.Upstream.Transport,
	}
}

func (c *Config) observeConfig() observe.Config {
	return observe.Config{
		Routes: c.observedRoutes(), TrustedProxies: c.TrustedProxies, ForwardedHeader: c.ForwardedHeader,
	}
}

// observedRoutes are the templates of metrics and logs: those configured, then
// every path that the configuration names anyway. They are never exact, so that
// some of the patterns that are cannot be among them, such as "/a;v=1".
func (c *Config) observedRoutes() []string {
	routes := append([]string{}, c.Observe.Routes...)
	for _, w := range c.Webhooks {
		routes = append(routes, w.Path)
	}
	for _, p := range c.policies() {
		routes = append(routes, p.Paths...)
	}
	for _, r := range c.Flags.Routes {
		routes = append(routes, r.Paths...)
	}
	if c.Flags.OFREP.Public {
		routes = append(routes, ofrep.Path, ofrep.Path+"/**")
	}
	routes = append(routes, c.Health.Path, livezPath, readyzPath, startupzPath)
	return slices.DeleteFunc(routes, func(p string) bool {
		_, err := route.Compile([]string{p}, false)
		return err != nil
	})
}

// checkParts asks the public packages about their share of the configuration.
func (l *loader) checkParts() {
	_, err := ratelimit.New(l.rateLimitConfig())
	namespace := "namespace"
	if l.Namespace == "" {
		namespace = "observe.service"
	}
	l.translate(err, "", map[string]string{
		"Policies": "rate_limits", "Namespace": namespace, "TrustedProxies": "-", "ForwardedHeader": "-", "Paths": "-", "MaxBodyBytes": "max_body",
	})
	for i := range l.Webhooks {
		l.checkWebhook(i)
	}
	if l.Upstream.URL != "" {
		_, err := upstream.New(l.upstreamConfig())
		l.translate(err, "upstream.", map[string]string{"URL": "url", "ForwardedHeader": "-", "Timeout": "-", "IdleTimeout": "-", "TotalTimeout": "-", "Transport": "-"})
	}
	l.patterns("observe.routes", l.Observe.Routes, false)
	l.checkSentry()
	l.checkHealth()
	l.checkFlags()
	l.checkSchema()
}

// checkSentry judges the DSN as of development, where nothing is started.
func (l *loader) checkSentry() {
	l.inherited("observe.sentry.dsn", "SENTRY_DSN")
	_, err := sentryobs.New(sentryobs.Config{DSN: l.Observe.Sentry.DSN, Environment: Development})
	l.translate(err, "observe.sentry.", map[string]string{"DSN": "dsn"})
}

// checkSchema reads the schema of the app's environment.
func (l *loader) checkSchema() {
	if l.Env.Schema == "" {
		return
	}
	schema, err := envcheck.ReadSchema(l.Env.Schema)
	l.EnvSchema = schema
	for _, e := range flatten(err) {
		if se, ok := errors.AsType[*envcheck.SyntaxError](e); ok {
			l.problems = append(l.problems, &strictyaml.Problem{File: se.File, Line: se.Line, Column: se.Column, Message: se.Reason})
			continue
		}
		l.problem("env.schema", "%s cannot be read: %s", l.Env.Schema, cause(e))
	}
}

func (l *loader) checkHealth() {
	cfg := health.Config{}
	for i, c := range l.Health.Checks {
		cfg.Checks = append(cfg.Checks, health.Check{Name: c.Name, Func: health.TCP("127.0.0.1:1")})
		if isBuiltinCheck(c.Name) {
			l.problem("health.checks["+strconv.Itoa(i)+"].name", "is the name of a check that the sidecar brings along")
		}
	}
	_, err := health.New(cfg)
	l.translate(err, "health.", nil)
}

// translate turns the errors of a public package into problems with a place.
// Fields such as Policies[0].IPv6Prefix become rate_limits[0].ipv6_prefix by
// the names given; "-" drops what is checked elsewhere.
func (l *loader) translate(err error, prefix string, names map[string]string) {
	for _, e := range flatten(err) {
		field, reason := fieldOf(e)
		if field == "" {
			l.problem(strings.TrimSuffix(prefix, "."), "%s", e)
			continue
		}
		path, keep := prefix, true
		for i, part := range strings.Split(field, ".") {
			name, index := part, ""
			if cut := strings.IndexByte(part, '['); cut >= 0 {
				name, index = part[:cut], part[cut:]
			}
			key, ok := names[name]
			if !ok {
				key = snake(name)
			}
			keep = keep && key != "-"
			if i > 0 {
				path += "."
			}
			path += l.nested(path, key) + index
		}
		if keep {
			l.problem(path, "%s", reason)
		}
	}
}

// nested tells what stands elsewhere in a rate limit, or by another name.
func (l *loader) nested(path, key string) string {
	switch {
	case !strings.HasPrefix(path, "rate_limits["):
	case key == "methods":
		return "match." + key
	case key == "count" && strings.Contains(path, ".lockout["):
		return "limit"
	}
	return key
}

func fieldOf(err error) (field, reason string) {
	if e, ok := errors.AsType[*ratelimit.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	if e, ok := errors.AsType[*webhook.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	if e, ok := errors.AsType[*upstream.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	if e, ok := errors.AsType[*health.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	if e, ok := errors.AsType[*flags.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	if e, ok := errors.AsType[*sentryobs.ConfigError](err); ok {
		return e.Field, e.Reason
	}
	return "", ""
}

// flatten undoes errors.Join.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

// snake is "on_store_error" for "OnStoreError", "ipv6_prefix" for "IPv6Prefix".
func snake(name string) string {
	name = strings.Replace(name, "IPv6", "Ipv6", 1)
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
