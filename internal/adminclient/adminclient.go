// Package adminclient is how commands speak to a running sidecar: over its admin
// listener, TCP or a Unix socket. They never go to its stores.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	timeout     = 10 * time.Second
	maxAnswer   = 32 << 20
	socketHost  = "localhost"
	socketStart = "unix:"
)

// A Client asks one sidecar.
type Client struct {
	http  *http.Client
	base  string // http://host:port
	addr  string // as configured
	token string
	most  int64 // bytes of an answer
	more  http.Header
}

// New returns a Client of the admin listener addr, host:port or unix:/path. A
// host that means every address of a machine is this one.
func New(addr, token string) (*Client, error) {
	c := &Client{addr: addr, token: token, most: maxAnswer}
	transport := &http.Transport{DisableKeepAlives: true}
	if socket, ok := strings.CutPrefix(addr, socketStart); ok {
		c.base = "http://" + socketHost
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	} else {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("admin address %q: write HOST:PORT or unix:/path", addr)
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		c.base = "http://" + net.JoinHostPort(host, port)
	}
	c.http = &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Bound has c take no answer longer than so many bytes, in place of 32 MiB.
func (c *Client) Bound(most int64) { c.most = most }

// SetHeader has c send a header with each request from now on.
func (c *Client) SetHeader(name, value string) {
	if c.more == nil {
		c.more = http.Header{}
	}
	c.more.Set(name, value)
}

// An AnswerError is an answer that is not 2xx.
type AnswerError struct {
	Status int
	Code   string // of the body's {"error": code}; empty when it has none
	Detail string // of its "detail"; empty when it has none
}

// Error is Printable.
func (e *AnswerError) Error() string {
	text := Printable(e.Code)
	if text == "" {
		text = strings.TrimSpace(fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status)))
	}
	if e.Detail != "" {
		text += ": " + Printable(e.Detail)
	}
	return text
}

// A Checker is what an answer is read into and that can tell whether it is one:
// JSON of anything else may leave it empty.
type Checker interface{ Check() error }

// Do sends in as JSON, when it is not nil, and reads the JSON of a 2xx answer
// into out. Other answers, redirections too, are an *AnswerError.
func (c *Client) Do(ctx context.Context, method, path string, in any, out Checker) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, c.more)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no sidecar answers on its admin listener %s: %w", c.addr, cause(err))
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, c.most+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer of %s broke off: %w", c.addr, cause(err))
	case int64(len(data)) > c.most:
		return fmt.Errorf("the answer of %s is longer than %d MiB", c.addr, c.most>>20)
	case res.StatusCode/100 != 2:
		return c.refused(res.StatusCode, data)
	}
	if err = json.Unmarshal(data, out); err == nil {
		err = out.Check()
	}
	if err != nil {
		return fmt.Errorf("what answers on %s is not a sidecar of this version: %w", c.addr, err)
	}
	return nil
}

func (c *Client) refused(status int, data []byte) error {
	e := &AnswerError{Status: status}
	var body struct{ Error, Detail string }
	if json.Unmarshal(data, &body) == nil {
		e.Code, e.Detail = body.Error, body.Detail
	}
	switch e.Code {
	case "":
		e.Detail = fmt.Sprintf("what answers on %s is not a sidecar of this version", c.addr)
	case "unauthorized":
		e.Detail = "the admin token is missing or wrong: set HANDRAIL_ADMIN_TOKEN"
	case "token_required":
		e.Detail = "changes need the admin token: set admin.token for the sidecar and HANDRAIL_ADMIN_TOKEN here, or listen on unix:/path"
	}
	return e
}

// cause is err without the method and the URL that net/http puts before it, and
// Printable: some of its errors hold a line of the answer as it came.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return printableError{err}
}

type printableError struct{ error }

func (e printableError) Error() string { return Printable(e.error.Error()) }
func (e printableError) Unwrap() error { return e.error }
