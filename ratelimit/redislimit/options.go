package redislimit

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/handrail-go/handrail/ratelimit"
)

func (cfg Config) validate() error {
	var errs []error
	switch {
	case cfg.Client == nil:
		errs = append(errs, &ratelimit.ConfigError{Field: "redislimit.Config.Client", Reason: "is required"})
	case ignoresDeadline(cfg.Client):
		errs = append(errs, &ratelimit.ConfigError{
			Field:  "redislimit.Config.Client",
			Reason: "has ContextTimeoutEnabled off, so a call could outlast its deadline",
		})
	}
	if cfg.Timeout < 0 {
		errs = append(errs, &ratelimit.ConfigError{
			Field: "redislimit.Config.Timeout", Value: cfg.Timeout.String(), Reason: "must not be negative",
		})
	}
	return errors.Join(errs...)
}

// ignoresDeadline looks at the clients of go-redis; another implementation is
// taken at its word.
func ignoresDeadline(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return !c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return !c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return !c.Options().ContextTimeoutEnabled
	}
	return false
}

// ioTimeout bounds a dial, a read, a write and the wait for a connection where
// no deadline does. A dial goes on after the caller that wanted it gave up, so
// that a slow handshake serves the next one.
const ioTimeout = 500 * time.Millisecond

// pipelineBuffer holds a whole batch; its answers take less.
const pipelineBuffer = 64 << 10

// Options reads a Redis URL into options for redis.NewUniversalClient that fail
// fast: calls keep their deadline, nothing is tried twice, and a dial, a read, a
// write or a wait for a connection ends after half a second at the latest.
//
//	redis://[user:password@]host[:6379][/db]
//	rediss://…                                              TLS 1.2 or later
//	redis://[user:password@]host1:6379,host2:6379           Cluster
//	redis://[user:password@]host:6379?cluster=true          Cluster, one address to start from
//	redis+sentinel://[user:password@]host1:26379,host2:26379/master[/db]
//	rediss+sentinel://…                                     Sentinel, TLS throughout
//
// User and password are percent-encoded. Those of a Sentinel URL are the
// servers'; sentinels that ask for their own get them through SentinelUsername
// and SentinelPassword of the result. Any other query is an error. Errors are
// *ratelimit.ConfigError and hold nothing of the URL, since a mistyped one may
// have its password anywhere.
func Options(rawURL string) (*redis.UniversalOptions, error) {
	o, reason := parseURL(rawURL)
	if reason != "" {
		return nil, &ratelimit.ConfigError{Field: "Redis URL", Reason: reason}
	}
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = ioTimeout
	o.ReadTimeout = ioTimeout
	o.WriteTimeout = ioTimeout
	o.PoolTimeout = ioTimeout
	o.PipelineReadBufferSize = pipelineBuffer
	o.PipelineWriteBufferSize = pipelineBuffer
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// parseURL reads the parts by hand: net/url takes no list of hosts, and its
// errors quote what they could not read.
func parseURL(raw string) (o *redis.UniversalOptions, reason string) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, "must start with redis://, rediss://, redis+sentinel:// or rediss+sentinel://"
	}
	o = &redis.UniversalOptions{}
	sentinel, port := false, "6379"
	switch strings.ToLower(scheme) {
	case "redis":
	case "rediss":
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	case "redis+sentinel":
		sentinel, port = true, "26379"
	case "rediss+sentinel":
		sentinel, port = true, "26379"
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, "must start with redis://, rediss://, redis+sentinel:// or rediss+sentinel://"
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		if reason := parseUser(o, authority[:at]); reason != "" {
			return nil, reason
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, ok := parseHost(host, port)
		if !ok {
			return nil, "has a host that is not HOST, HOST:PORT or [IPv6]:PORT (special characters of a password must be percent-encoded)"
		}
		o.Addrs = append(o.Addrs, addr)
	}
	switch query {
	case "", "cluster=false":
	case "cluster=true":
		o.IsClusterMode = true
	default:
		return nil, "has a query other than cluster=true (special characters of a password must be percent-encoded)"
	}
	return o, parsePath(o, path, sentinel)
}

func parseUser(o *redis.UniversalOptions, text string) (reason string) {
	user, password, _ := strings.Cut(text, ":")
	var err1, err2 error
	o.Username, err1 = url.PathUnescape(user)
	o.Password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return "has a bad percent escape in its user or password"
	}
	if o.Username != "" && o.Password == "" {
		return "has a user without a password: a password alone is written as :password@"
	}
	return ""
}

func parseHost(text, defaultPort string) (addr string, ok bool) {
	host, port := text, defaultPort
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", false
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		return net.JoinHostPort(host, port), net.ParseIP(host) != nil
	}
	for _, c := range []byte(host) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '-' && c != '_' {
			return "", false
		}
	}
	return net.JoinHostPort(host, port), host != ""
}

// parsePath reads "db", or "master" and "master/db" for Sentinel.
func parsePath(o *redis.UniversalOptions, path string, sentinel bool) (reason string) {
	path = strings.TrimSuffix(path, "/")
	if sentinel {
		if o.IsClusterMode {
			return "asks for both Sentinel and Cluster"
		}
		o.MasterName, path, _ = strings.Cut(path, "/")
		if o.MasterName == "" || strings.ContainsAny(o.MasterName, "@:%") {
			return "must name the master after the sentinels, as in redis+sentinel://host:26379/master"
		}
	}
	if path == "" {
		return ""
	}
	db, err := strconv.ParseUint(path, 10, 16)
	if err != nil {
		return "has a database that is not a number"
	}
	if db != 0 && !sentinel && (len(o.Addrs) > 1 || o.IsClusterMode) {
		return "names a database: Cluster has only 0"
	}
	o.DB = int(db)
	return ""
}
