package upstream

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Defaults of the optional fields of Config.
const (
	DefaultTimeout     = 60 * time.Second
	DefaultIdleTimeout = 5 * time.Minute
	DefaultDialTimeout = 5 * time.Second
)

// The values of Config.Transport.
const (
	TransportStandard = "std"
	TransportLean     = "lean"
)

// maxSocketPath is what sockaddr_un holds on Linux, less the final NUL.
const maxSocketPath = 107

// Config describes one upstream.
type Config struct {
	// URL of the upstream: http://host:port, https://host:port (HTTP/1.1),
	// h2c://host:port (HTTP/2 without TLS) or unix:///run/app.sock. It has no
	// path, no query and no credentials. Required.
	URL string

	// Timeout is how long the upstream may keep the proxy waiting for response
	// headers. The clock rests while the proxy waits for the client's body, so
	// an upload of any length passes; it runs while the upstream does not take
	// what was read. Zero: DefaultTimeout.
	Timeout time.Duration

	// IdleTimeout is how long an answer, or an upgraded connection, may pass
	// without a byte in either direction. The clock rests while the client is
	// slow to read. Zero: DefaultIdleTimeout.
	IdleTimeout time.Duration

	// TotalTimeout bounds a whole request, from its header to the last byte of
	// the answer: 504 before the answer has begun, else it is broken off.
	// Requests that ask for an upgrade are exempt. Zero: no bound, so that
	// streams and long uploads live for as long as bytes move.
	TotalTimeout time.Duration

	// DialTimeout bounds connecting, TLS handshake included. Zero:
	// DefaultDialTimeout.
	DialTimeout time.Duration

	// Transport carries the requests: "std", net/http's, or "lean", one of our
	// own, which takes less time and refuses more malformed answers. Only
	// http:// and unix:// upstreams and no upgrades go through lean; it leaves
	// others to std, and all of them where the system cannot tell whether an
	// idle connection is still good (Windows). Empty: TransportLean.
	Transport string

	// ForwardedHeader is the field by which trusted proxies tell the client's
	// address: X-Forwarded-For or Forwarded. With Forwarded, that field is
	// written as well. Empty: X-Forwarded-For.
	ForwardedHeader string

	// RootCAs verifies an https upstream. Nil: the roots of the system.
	RootCAs *x509.CertPool

	// OnError answers a request that has no answer from the upstream. For
	// Kind Gone nobody reads the answer. When it writes nothing, the client's
	// connection is aborted: never an empty 200. Nil: AnswerError.
	OnError func(w http.ResponseWriter, r *http.Request, err *Error)

	// OnAbort is told when an answer that had begun did not reach the client
	// whole, before the client's connection is aborted. Nil: nothing.
	OnAbort func(r *http.Request, err *Error)

	// OnResponse sees every final answer of the upstream before the client
	// does, status 101 included, and may change its header. r is the request
	// as it reached the proxy. Nil: nothing.
	OnResponse func(r *http.Request, status int, header http.Header)

	// Reserved tells, by its canonical name, a response field that only this
	// side may send. What the upstream says in it is removed, after OnResponse
	// saw it: from the header, from 1xx answers and from trailers. Nil: none.
	Reserved func(name string) bool
}

// removeReserved removes the fields of h that config reserves. Names are canonical
// as they were read.
func removeReserved(config *Config, h http.Header) {
	if config.Reserved == nil {
		return
	}
	for name := range h {
		if config.Reserved(name) {
			delete(h, name)
		}
	}
}

// A target is a parsed Config.URL.
type target struct {
	scheme  string // of the outbound request: http or https
	host    string // its authority; also the Host of a request that has none
	network string // of the dial: tcp or unix
	address string // of the dial: host:port or the socket's path
	h2c     bool
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = DefaultDialTimeout
	}
	if c.Transport == "" {
		c.Transport = TransportLean
	}
	c.ForwardedHeader = http.CanonicalHeaderKey(c.ForwardedHeader)
	if c.ForwardedHeader == "" {
		c.ForwardedHeader = headerXFF
	}
	return c
}

// parse checks c, which has its defaults, and reports every problem at once.
func (c Config) parse() (target, error) {
	var errs []error
	bad := func(field, value, reason string) {
		errs = append(errs, &ConfigError{Field: field, Value: value, Reason: reason})
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"Timeout", c.Timeout}, {"IdleTimeout", c.IdleTimeout}, {"TotalTimeout", c.TotalTimeout}, {"DialTimeout", c.DialTimeout}} {
		if d.value < 0 {
			bad(d.field, d.value.String(), "must be positive")
		}
	}
	if c.ForwardedHeader != headerXFF && c.ForwardedHeader != headerForwarded {
		bad("ForwardedHeader", c.ForwardedHeader, "must be X-Forwarded-For or Forwarded")
	}
	if c.Transport != TransportStandard && c.Transport != TransportLean {
		bad("Transport", c.Transport, "must be std or lean")
	}
	t, value, reason := parseURL(c.URL)
	if reason != "" {
		bad("URL", value, reason)
	}
	return t, errors.Join(errs...)
}

// parseURL returns the target, or why raw is none, with raw made fit to print.
func parseURL(raw string) (t target, value, reason string) {
	if raw == "" {
		return t, raw, "is required: http://127.0.0.1:3000 or unix:///run/app.sock"
	}
	u, err := url.Parse(raw)
	if err != nil {
		return t, "", "is not a URL: write http://127.0.0.1:3000 or unix:///run/app.sock"
	}
	value = u.Redacted()
	switch {
	case u.User != nil:
		return t, value, "must not hold credentials: let the clients send theirs"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return t, value, "must not have a query or a fragment"
	case u.Scheme == "unix":
		t, reason = unixTarget(u)
	case u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "h2c":
		t, reason = tcpTarget(u)
	default:
		reason = "must begin with http://, https://, h2c:// or unix://"
	}
	return t, value, reason
}

func unixTarget(u *url.URL) (target, string) {
	switch {
	case u.Host != "":
		return target{}, "names a host: a socket is written with three slashes, unix:///run/app.sock"
	case !path.IsAbs(u.Path) || u.Path == "/":
		return target{}, "needs an absolute path: unix:///run/app.sock"
	case len(u.Path) > maxSocketPath:
		return target{}, "is longer than a socket's path can be (" + strconv.Itoa(maxSocketPath) + " bytes)"
	}
	return target{scheme: "http", host: "localhost", network: "unix", address: u.Path}, ""
}

func tcpTarget(u *url.URL) (target, string) {
	host, port := u.Hostname(), u.Port()
	switch {
	case u.Opaque != "" || host == "":
		return target{}, "needs a host: http://127.0.0.1:3000"
	case u.Path != "" && u.Path != "/":
		return target{}, "must not have a path: requests keep the path that the rules matched; let the app serve under " + u.Path
	case strings.HasSuffix(u.Host, ":"):
		return target{}, "has a colon but no port"
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return target{}, "has a port that is not 1 to 65535"
		}
	} else if port = "80"; u.Scheme == "https" {
		port = "443"
	}
	t := target{scheme: u.Scheme, host: u.Host, network: "tcp", address: net.JoinHostPort(host, port)}
	if u.Scheme == "h2c" {
		t.scheme, t.h2c = "http", true
	}
	return t, ""
}
