package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// A Proxy passes requests to its upstream. It is safe for concurrent use.
type Proxy struct {
	engine engine
	dial   dialFunc
	total  time.Duration
}

// An engine carries requests to the upstream and answers back. What it must do
// is written down in the conformance table.
type engine interface {
	http.Handler
	closeIdle()
}

// New returns a Proxy, or every problem of config as *ConfigError, joined. It
// opens no connection and starts no goroutine.
func New(config Config) (*Proxy, error) {
	config = config.withDefaults()
	if config.OnError == nil {
		config.OnError = AnswerError
	}
	t, err := config.parse()
	if err != nil {
		return nil, err
	}
	p := &Proxy{dial: newDialer(t, config), total: config.TotalTimeout}
	// Through p, so that a test may put another dialer in its place.
	dial := func(ctx context.Context) (net.Conn, error) { return p.dial(ctx) }
	if config.Transport == TransportLean && t.scheme == "http" && !t.h2c && canLook {
		p.engine = newLean(config, t, dial)
	} else {
		p.engine = newStandard(config, t, dial)
	}
	return p, nil
}

// ServeHTTP passes r to the upstream. It panics with http.ErrAbortHandler when
// an answer that has begun cannot be completed or the client is gone.
//
// CONNECT is answered with 405: the proxy opens tunnels for upgrades only.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		httpx.WriteError(w, r, http.StatusMethodNotAllowed, "method_not_allowed")
		return
	}
	if p.total > 0 && !mayUpgrade(r) {
		ctx, cancel := context.WithTimeout(r.Context(), p.total)
		defer cancel()
		r = r.WithContext(ctx)
	}
	p.engine.ServeHTTP(w, r)
}

// CloseIdle closes the connections that carry no request. Others stay open, and
// new requests open new ones.
func (p *Proxy) CloseIdle() { p.engine.closeIdle() }

// Check reports whether the upstream accepts a connection, by opening one (with
// the TLS handshake, for https) and closing it. It ends with ctx or after
// Config.DialTimeout.
func (p *Proxy) Check(ctx context.Context) error {
	c, err := p.dial(ctx)
	if err != nil {
		return fmt.Errorf("upstream: check: %w", err)
	}
	_ = c.Close() // it has carried nothing
	return nil
}

type freshKey struct{}

// WithFreshConn makes a request carried by ctx use a connection of its own,
// which is closed afterwards, and be sent at most once. It is for requests
// whose repetition does harm, such as webhook deliveries: an idle connection
// may be closed by the upstream at the moment it is used again, and then
// nobody knows whether the request was seen.
func WithFreshConn(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey{}, true)
}

func wantsFreshConn(ctx context.Context) bool {
	fresh, _ := ctx.Value(freshKey{}).(bool)
	return fresh
}

// AnswerError is the default Config.OnError: 502 {"error":"bad_gateway"} for
// NotWritten and NoAnswer, 504 {"error":"gateway_timeout"} for Timeout, 400
// {"error":"bad_request"}, 408 {"error":"request_timeout"} or 413
// {"error":"body_too_large"} for BadRequest, nothing for Gone. The cause stays
// out of the answer.
func AnswerError(w http.ResponseWriter, r *http.Request, err *Error) {
	status, code := http.StatusBadGateway, "bad_gateway"
	switch err.Kind {
	case Gone:
		return
	case Timeout:
		status, code = http.StatusGatewayTimeout, "gateway_timeout"
	case BadRequest:
		status, code = badRequestStatus(err.Err)
	}
	httpx.WriteError(w, r, status, code)
}

func badRequestStatus(err error) (int, string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || errors.Is(err, httpx.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge, "body_too_large"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "request_timeout"
	}
	return http.StatusBadRequest, "bad_request"
}

// clientLeft reports whether an error of reading the request's body means that
// the client hung up, as opposed to having sent something malformed.
func clientLeft(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}
