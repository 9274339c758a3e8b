package flags

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultHTTPInterval = 10 * time.Second
	defaultHTTPTimeout  = 10 * time.Second
	minHTTPInterval     = time.Second
	firstHTTPPause      = time.Second
	lastHTTPPause       = time.Minute
	maxRetryAfter       = 5 * time.Minute // the longest pause that a server can ask for: a kill switch waits for its end
	maxRedirects        = 5
)

// HTTPConfig makes a Source of definitions that a web server holds.
type HTTPConfig struct {
	// URL of the definitions. Https, or http to localhost or a loopback address.
	// Its user, password and query may be secret: errors, events and
	// Document.Name go without them. Required.
	URL string

	// Interval between two requests, give or take a tenth of it. At least one
	// second. Zero means 10 seconds.
	Interval time.Duration

	// Timeout bounds a request with its redirects and its body. Zero means 10
	// seconds.
	Timeout time.Duration

	// Token is sent as "Authorization: Bearer TOKEN". Empty: none.
	Token string

	// Header is sent with each request. Accept-Encoding, Range and the conditions
	// If-… are the source's own. Nil: nothing more.
	Header http.Header

	// Client sends the requests; its CheckRedirect and its Timeout do not count.
	// Nil: one that goes through the proxy of the environment.
	Client *http.Client

	// DangerouslyAllowPlainHTTP allows http to any host. Whoever is on the way
	// can then read the token, and turn flags on and off.
	DangerouslyAllowPlainHTTP bool
}

// HTTP returns a Source that asks a web server, or every problem of cfg as
// *ConfigError, joined. It asks with the ETag and Last-Modified of the last answer,
// so that a server which knows them has little to do. After a failure, any status
// but 200 and 304 is one, it asks again after a second, then ever more rarely
// until once a minute or Interval, whichever is longer, and after Retry-After
// where the server asks for that, up to five minutes.
//
// Redirects are followed on the same scheme, host and port only. A body may be
// compressed with gzip; it has at most MaxFileBytes, after decompression too. One
// that would end where the connection ends is refused, since it may be cut. The
// type of the content does not count.
//
// Document.Written is by Last-Modified and Date, and so a second off at most.
func HTTP(cfg HTTPConfig) (Source, error) {
	s := &httpSource{interval: cfg.Interval, timeout: cfg.Timeout, header: cfg.Header.Clone(), own: cfg.Client == nil}
	if s.interval == 0 {
		s.interval = defaultHTTPInterval
	}
	if s.timeout == 0 {
		s.timeout = defaultHTTPTimeout
	}
	if s.header == nil {
		s.header = http.Header{}
	}
	var errs []error
	bad := func(field, value, reason string) {
		errs = append(errs, &ConfigError{Field: "HTTPConfig." + field, Value: value, Reason: reason})
	}
	if s.interval < minHTTPInterval {
		bad("Interval", cfg.Interval.String(), "must be a second at least")
	}
	if s.timeout < 0 {
		bad("Timeout", cfg.Timeout.String(), "must not be negative")
	}
	cfg.checkHeader(bad)
	if u, reason := cfg.parseURL(); reason != "" {
		bad("URL", "", reason) // without the value, which may hold a secret
	} else {
		s.url, s.name = u, publicURL(u)
		s.redact = secretsOf(u, cfg)
	}
	if cfg.Token != "" {
		s.header.Set("Authorization", "Bearer "+cfg.Token)
	}
	s.client = newHTTPClient(cfg.Client)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func (cfg *HTTPConfig) parseURL() (*url.URL, string) {
	u, err := url.Parse(cfg.URL)
	switch {
	case cfg.URL == "":
		return nil, "is required"
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "must begin with https://"
	case u.Hostname() == "":
		return nil, "has no host"
	case u.Scheme == "http" && !cfg.DangerouslyAllowPlainHTTP && !loopback(u.Hostname()):
		return nil, "must begin with https://, since http is for loopback addresses"
	case u.User != nil && cfg.Token != "":
		return nil, "has a user beside Token: one of them"
	}
	u.Fragment, u.RawFragment = "", ""
	return u, ""
}

// checkHeader looks at what is sent. Values are never told.
func (cfg *HTTPConfig) checkHeader(bad func(field, value, reason string)) {
	if !printable(cfg.Token) || strings.Contains(cfg.Token, " ") {
		bad("Token", "", "must be printable ASCII without spaces")
	}
	for name, values := range cfg.Header {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !validToken(name):
			bad("Header", shorten(name), "is not the name of a header")
		case canonical == "Accept-Encoding", canonical == "Range", canonical == "Host",
			canonical == "Content-Length", canonical == "Transfer-Encoding", canonical == "Connection",
			strings.HasPrefix(canonical, "If-"):
			bad("Header", name, "is not to be set")
		case canonical == "Authorization" && cfg.Token != "":
			bad("Header", name, "is there beside Token: one of them")
		}
		for _, v := range values {
			if !printable(v) {
				bad("Header", shorten(name), "has a value that is not printable ASCII")
			}
		}
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// publicURL is what of a URL is not secret.
func publicURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// newHTTPClient is like given, and stays on one server.
func newHTTPClient(given *http.Client) *http.Client {
	c := &http.Client{}
	if given != nil {
		*c = *given
	} else {
		c.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           1,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    defaultHTTPTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	c.Timeout = 0
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		first := via[0].URL
		if r.URL.Scheme != first.Scheme || !strings.EqualFold(r.URL.Host, first.Host) {
			return errRedirectedAway
		}
		if len(via) > maxRedirects {
			return errRedirectedOften
		}
		return nil
	}
	return c
}

var (
	errRedirectedAway  = errors.New("redirected to another server")
	errRedirectedOften = errors.New("redirected too often")
)

// httpSource is a Source. It keeps nothing between requests: Watch does.
type httpSource struct {
	url      *url.URL
	name     string
	header   http.Header
	client   *http.Client
	own      bool // the client
	interval time.Duration
	timeout  time.Duration
	redact   *strings.Replacer
}

// Load implements [Source].
func (s *httpSource) Load(ctx context.Context) (Document, error) {
	a, err := s.ask(ctx, validators{})
	if err != nil {
		return Document{Name: s.name}, err
	}
	return a.doc, nil
}

// Watch implements [Source].
func (s *httpSource) Watch(ctx context.Context, update func(Document, error)) error {
	if s.own {
		defer s.client.CloseIdleConnections()
	}
	var known validators // of what was delivered; none after a failure, so that all of it comes again
	failures := 0
	for {
		a, err := s.ask(ctx, known)
		if ctx.Err() != nil {
			return nil
		}
		var pause time.Duration
		switch {
		case err != nil:
			known = validators{}
			pause = max(pauseAfter(failures, s.interval), a.retryAfter)
			failures++
			update(Document{Name: s.name}, err)
		default:
			failures, pause = 0, s.interval*9/10+rand.N(s.interval/5) //nolint:gosec // jitter
			if !a.unchanged {
				known = a.validators
				update(a.doc, nil)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// pauseAfter is how long to wait after a failure, with some before it. Half of it
// is random, so that those that lost the same server do not come back in step.
func pauseAfter(failures int, interval time.Duration) time.Duration {
	pause := max(interval, lastHTTPPause)
	if failures < 16 {
		pause = min(firstHTTPPause<<failures, pause)
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // jitter
}

// fault is a failure whose text holds no secret. What it wraps may.
type fault struct {
	text  string
	cause error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.cause }

// fault tells err without what is secret. Net/http tells the URL with its query.
func (s *httpSource) fault(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	text := fmt.Sprintf("%s: %v", s.name, err)
	return &fault{shortenTo(s.redact.Replace(text), 500), err}
}

func shortenTo(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// secretsOf replaces what is secret in a text, which a server may repeat.
func secretsOf(u *url.URL, cfg HTTPConfig) *strings.Replacer {
	var all []string
	hide := func(secrets ...string) {
		for _, s := range secrets {
			if len(s) > 3 { // shorter ones would tear up the text, and hide nothing
				all = append(all, s)
			}
		}
	}
	hide(cfg.Token, u.RawQuery)
	if u.User != nil {
		password, _ := u.User.Password()
		hide(u.User.String(), u.User.Username(), password, url.QueryEscape(password))
	}
	for _, values := range u.Query() {
		for _, v := range values {
			hide(v, url.QueryEscape(v))
		}
	}
	for _, values := range cfg.Header {
		hide(values...)
	}
	// One that begins like another must not leave the rest of it.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(all))
	for _, s := range all {
		pairs = append(pairs, s, "***")
	}
	return strings.NewReplacer(pairs...)
}
