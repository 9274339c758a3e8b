package sidecar

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/route"
	"github.com/handrail-go/handrail/internal/upstream"
	"github.com/handrail-go/handrail/ratelimit"
)

// validate reports everything that is wrong with the configuration. What a
// public package knows better is asked of that package (checkParts).
func (l *loader) validate() {
	l.validateListeners()
	l.oneOf("environment", l.Environment, Development, Test, Staging, Production)
	l.oneOf("forwarded_header", l.ForwardedHeader, clientip.XForwardedFor, clientip.Forwarded)
	l.oneOf("underscore_headers", l.UnderscoreHeaders, "drop", "keep")
	l.oneOf("paths.encoded_slash", l.Paths.EncodedSlash, "refuse", "keep")
	l.oneOf("upstream.transport", l.Upstream.Transport, upstream.TransportStandard, upstream.TransportLean)
	l.oneOf("observe.log.format", l.Observe.Log.Format, "json", "text")
	l.oneOf("observe.log.level", l.Observe.Log.Level, "debug", "info", "warn", "error")
	l.between("upstream.timeout", l.Upstream.Timeout, time.Millisecond, time.Hour)
	l.between("upstream.idle_timeout", l.Upstream.IdleTimeout, time.Millisecond, 24*time.Hour)
	l.between("upstream.total_timeout", l.Upstream.TotalTimeout, 0, 24*time.Hour)
	l.between("health.interval", l.Health.Interval, 100*time.Millisecond, time.Hour)
	l.between("health.timeout", l.Health.Timeout, 10*time.Millisecond, time.Hour)
	l.between("drain.delay", l.Drain.Delay, 0, time.Hour)
	l.between("drain.timeout", l.Drain.Timeout, 0, 24*time.Hour)
	l.between("exec.stop_timeout", l.Exec.StopTimeout, 0, time.Hour)
	l.validateUpstream()
	l.validateTrust()
	l.validateRateLimits()
	l.validateStores()
	l.validateWebhooks()
	l.validateHealth()
	l.checkParts()
}

func (l *loader) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		l.problem(path, "must be %s", choice(allowed))
	}
}

func choice(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

func (l *loader) between(path string, d, low, high time.Duration) {
	if d < low || d > high {
		l.problem(path, "must be from %s to %s", low, high)
	}
}

func (l *loader) validateListeners() {
	l.address("listen", l.Listen)
	if l.Metrics.Listen != "" {
		l.address("metrics.listen", l.Metrics.Listen)
	}
	if l.Admin.Token != "" && !isToken(l.Admin.Token) {
		l.problem("admin.token", "%s", tokenForm)
	}
	admin := l.Admin.Listen
	if admin == "" || strings.HasPrefix(admin, "unix:") {
		if admin == "unix:" {
			l.problem("admin.listen", "names no socket: write unix:/run/handrail.sock")
		}
	} else {
		l.address("admin.listen", admin)
		if !isLoopback(admin) && l.Admin.Token == "" {
			l.problem("admin.listen", "is not loopback, so it needs admin.token (HANDRAIL_ADMIN_TOKEN); or listen on 127.0.0.1 or unix:/run/handrail.sock")
		}
	}
	l.distinct("admin.listen", admin, "listen", l.Listen)
	l.distinct("metrics.listen", l.Metrics.Listen, "listen", l.Listen)
	l.distinct("metrics.listen", l.Metrics.Listen, "admin.listen", admin)
}

const tokenForm = "must be at least 16 bytes long, of visible ASCII without spaces"

func isToken(t string) bool {
	return len(t) >= 16 && !strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' })
}

// distinct refuses two listeners that cannot both be opened. Port 0 is another
// one each time.
func (l *loader) distinct(path, addr, otherPath, other string) {
	host, port, err := net.SplitHostPort(addr)
	otherHost, otherPort, otherErr := net.SplitHostPort(other)
	if err != nil || otherErr != nil || port != otherPort || port == "0" {
		return
	}
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	named := strings.NewReplacer("localhost", "127.0.0.1")
	if named.Replace(host) == named.Replace(otherHost) || everywhere(host) || everywhere(otherHost) {
		l.problem(path, "has the port of %s: give it another one", otherPath)
	}
}

func (l *loader) address(path, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		l.problem(path, "must be HOST:PORT, such as :8080 or 127.0.0.1:8080")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		l.problem(path, "must end in a port from 0 to 65535")
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			l.problem(path, "must name an IP address or localhost before the port")
		}
	}
}

// isLoopback reports whether a listener's address can only be reached from
// this machine.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (l *loader) validateUpstream() {
	switch {
	case l.options.Child && l.Upstream.URL != l.options.childURL:
		l.warn("upstream.url is ignored: exec starts the app and tells it where to listen")
	case l.Upstream.URL == "" && !l.options.Child && !l.options.Check:
		l.problem("upstream.url", "is required: set it, HANDRAIL_UPSTREAM or --upstream, as in http://127.0.0.1:3000")
	}
}

// validateTrust refuses to guess who stands in front of a public production
// listener: a wrong guess locks everyone into one bucket, or lets anyone forge
// an address.
func (l *loader) validateTrust() {
	trusted, err := clientip.ParsePrefixes(l.TrustedProxies)
	if err != nil {
		l.problem("trusted_proxies", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if trusted.Everyone() && !l.DangerouslyTrustAllProxies {
		l.problem("trusted_proxies", "covers every address, so that any client could claim any address; "+
			"list your proxies, or set dangerously_trust_all_proxies: true")
	}
	if l.TrustedProxies == nil && l.Environment == Production && !isLoopback(l.Listen) && l.limitsByIP() {
		l.problem("trusted_proxies", "must be set, since limits by ip depend on it: [] when clients connect directly, "+
			"[private] when every proxy has a private address, or the CIDRs of the load balancer "+
			"(also as --trusted-proxies or HANDRAIL_TRUSTED_PROXIES, with none for [])")
	}
}

func (l *loader) limitsByIP() bool {
	return slices.ContainsFunc(l.policies(), func(p ratelimit.Policy) bool {
		return len(p.Key) == 0 || slices.Contains(p.Key, "ip")
	})
}

func (l *loader) validateRateLimits() {
	l.notZero("replicas", l.Replicas)
	byBody := false
	for i, r := range l.RateLimits {
		at := "rate_limits[" + strconv.Itoa(i) + "]"
		l.notZero(at+".ipv6_prefix", r.IPv6Prefix)
		l.notZero(at+".on_store_error", r.OnStoreError)
		l.notZero(at+".mode", r.Mode)
		l.notZero(at+".retry_after", r.RetryAfter)
		if len(r.Key) == 0 {
			l.problem(at+".key", "must not be empty: leave it out for [ip]")
		}
		l.patterns(at+".match.paths", r.Match.Paths, r.Match.Exact)
		l.notZero(at+".algorithm", r.Algorithm)
		l.notZero(at+".count", r.Count)
		l.notZero(at+".max_body", r.MaxBody)
		if l.seen(at+".max_body") && !r.readsBody() {
			l.problem(at+".max_body", "is for a key in the body, as json:/email")
		}
		if l.seen(at + ".burst") {
			l.notZero(at+".burst", r.Burst)
		}
		byBody = byBody || slices.ContainsFunc(r.Key, func(k string) bool { return k != "ip" })
	}
	if byBody && l.KeySecret == "" {
		l.warn("key_secret is not set: subjects from headers, cookies and bodies are kept as plain SHA-256, which a reader of the store can test guesses against")
	}
	if k := l.KeySecret; k != "" && len(k) < 16 {
		l.problem("key_secret", "must be at least 16 bytes long")
	}
}

// patterns reports each bad one in its place.
func (l *loader) patterns(path string, patterns []string, exact bool) {
	for i, p := range patterns {
		_, err := route.Compile([]string{p}, exact)
		if e, ok := errors.AsType[*route.PatternError](err); ok {
			l.problem(path+"["+strconv.Itoa(i)+"]", "%s", e.Reason)
		}
	}
}

// notZero refuses what the packages would take for "use the default", but the
// file says otherwise: absent keys hold their defaults by now.
func (l *loader) notZero(path string, value any) {
	if reflect.ValueOf(value).IsZero() {
		l.problem(path, "must not be zero or empty: leave it out for the default")
	}
}

// onePath refuses what is not the cleaned form of one path, since no request
// would ever have it.
func (l *loader) onePath(path, value string) {
	_, err := route.Compile([]string{value}, false)
	if e, ok := errors.AsType[*route.PatternError](err); ok {
		l.problem(path, "%s", e.Reason)
	} else if strings.ContainsAny(value, "*{}%") {
		l.problem(path, "must be one path, without wildcards and percent escapes")
	}
}

func (l *loader) unique(seen map[string]int, path, value string, index int) {
	if first, ok := seen[value]; ok && value != "" {
		l.problem(path, "is the same as that of webhooks[%d]", first)
		return
	}
	seen[value] = index
}

func (l *loader) validateHealth() {
	if l.onePath("health.path", l.Health.Path); l.Health.Path == "/" {
		l.problem("health.path", "must not be /, which is the app's")
	}
	for i, c := range l.Health.Checks {
		at := "health.checks[" + strconv.Itoa(i) + "]"
		switch c.Type {
		case "http":
			if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				l.problem(at+".url", "must be an http:// or https:// URL")
			}
		case "tcp":
			if _, _, err := net.SplitHostPort(c.Address); err != nil {
				l.problem(at+".address", "must be HOST:PORT")
			}
		default:
			l.problem(at+".type", "must be http or tcp")
		}
	}
}
