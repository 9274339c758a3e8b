package upstream

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

const (
	// idleConnTimeout stays below the keep-alive timeouts of app servers
	// (gunicorn 2 s, Node 5 s), so that it is the proxy that closes an idle
	// connection. Were it the app, a request written at that moment would be
	// lost, and one that is not idempotent cannot be sent again. A dial on the
	// same machine, once a second at most, costs less.
	idleConnTimeout = time.Second

	// maxIdleConns is per upstream; the timeout above is what bounds them.
	maxIdleConns = 1024

	// maxHeaderBytes of one answer.
	maxHeaderBytes = 256 << 10

	// continueTimeout is how long the upstream may take to answer Expect:
	// 100-continue before the body is asked for and sent anyway.
	continueTimeout = time.Second

	// flushInterval bounds how long bytes of an answer of known length wait in
	// the server's buffer. Those of unknown length, and events, do not wait.
	flushInterval = 50 * time.Millisecond
)

// standard is the engine on httputil.ReverseProxy and http.Transport.
type standard struct {
	config Config
	target target
	proxy  *httputil.ReverseProxy
	pooled *http.Transport
	fresh  *http.Transport // a connection for each request; repeats nothing
}

func newStandard(config Config, t target, dial dialFunc) *standard {
	s := &standard{config: config, target: t}
	s.pooled = newTransport(t, dial)
	s.fresh = newTransport(t, dial)
	s.fresh.DisableKeepAlives = true
	s.proxy = &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		Transport:      s,
		FlushInterval:  flushInterval,
		BufferPool:     new(bufferPool),
		ModifyResponse: s.modifyResponse,
		ErrorHandler:   s.handleError,
		ErrorLog:       log.New(io.Discard, "", 0), // OnError and OnAbort tell
	}
	return s
}

func newTransport(t target, dial dialFunc) *http.Transport {
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := dial(ctx)
		if err != nil {
			return nil, &dialError{err}
		}
		if t.h2c {
			return c, nil
		}
		return &conn{Conn: c}, nil
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!t.h2c)
	protocols.SetUnencryptedHTTP2(t.h2c)
	return &http.Transport{
		DialContext:            connect,
		DialTLSContext:         connect,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleConnTimeout,
		DisableCompression:     true,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
		// A dead connection would fail every request on it, one by one.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

func (s *standard) closeIdle() {
	s.pooled.CloseIdleConnections()
	s.fresh.CloseIdleConnections()
}

func (s *standard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex := newExchange(w, r, &s.config)
	defer ex.end()
	returned := false
	defer func() {
		if ex.begun && !returned {
			ex.cutShort()
		}
	}()
	ex.once = wantsFreshConn(r.Context())
	// Without a server in its context, httputil.ReverseProxy would return from an
	// answer that broke off as from a whole one.
	out := r.WithContext(context.WithValue(ex, http.ServerContextKey, (*http.Server)(nil)))
	if _, asked := r.Header["Upgrade"]; asked {
		if ex.upgrade = mayUpgrade(r) && !s.target.h2c; ex.upgrade {
			ex.w = &upgradeWriter{httpx.NewRecorder(w)}
		} else {
			out.Header = r.Header.Clone()
			delete(out.Header, "Upgrade")
		}
	}
	s.proxy.ServeHTTP(ex.w, out)
	returned = true
}

func (s *standard) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	out.URL.Scheme, out.URL.Host = s.target.scheme, s.target.host
	out.URL.RawQuery = in.URL.RawQuery // as it came, also where it does not parse
	delete(out.Header, "Http2-Settings")
	restoreVouched(out.Header, in.Header)
	setForwarded(out.Header, in, s.config.ForwardedHeader)
	out.Trailer = nil
	if out.Body == nil {
		return
	}
	ex := exchangeOf(in.Context())
	out.Trailer = outTrailer(in.Trailer)
	ex.body = newRequestBody(ex, out)
	out.Body = ex.body
}

// RoundTrip implements http.RoundTripper. Its errors are *Error.
func (s *standard) RoundTrip(req *http.Request) (*http.Response, error) {
	ex := exchangeOf(req.Context())
	if transportRepeats(req) {
		ex.once = true
	}
	t := s.pooled
	if ex.once {
		t = s.fresh
	}
	// Some apps answer HEAD with a body, and late.
	req.Close = req.Method == http.MethodHead && !s.target.h2c
	req = req.WithContext(httptrace.WithClientTrace(ex, ex.trace(s.target.h2c)))
	res, err := attempt(ex, t, req)
	if err != nil && ex.mayRepeat(err) {
		ex.once = true
		res, err = attempt(ex, s.fresh, req)
	}
	ex.returned()
	if err != nil {
		return nil, ex.failure(err)
	}
	if ex.conn != nil && maySpeakOn(ex, res) {
		ex.conn.last.Store(true)
		if res.Body == http.NoBody {
			ex.endConn()
		}
	}
	return res, nil
}

// maySpeakOn reports whether bytes may follow the answer that another request
// would take for its own: of a body that it must not have, or about one of the
// request that was not complete yet. http.Transport uses the connection again.
func maySpeakOn(ex *exchange, res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusSwitchingProtocols:
		return false
	case http.StatusNoContent, http.StatusNotModified:
		length := res.Header["Content-Length"]
		if len(res.TransferEncoding) > 0 || len(length) > 0 && length[0] != "0" {
			return true
		}
	}
	return ex.body != nil && (!ex.gone.Load() || refusesUpload(ex.in, res.StatusCode))
}

func attempt(ex *exchange, t *http.Transport, req *http.Request) (*http.Response, error) {
	res, err := t.RoundTrip(req)
	if !ex.surplus.Load() && (ex.conn == nil || !ex.conn.spoilt.Load()) {
		return res, err
	}
	if err == nil {
		_ = res.Body.Close()
	}
	return nil, errSurplus
}

// transportRepeats reports whether http.Transport would send req again although its
// method is not safe: it takes these fields for a promise that the upstream
// recognises the second one, which is for the client to rely on, not for us.
func transportRepeats(req *http.Request) bool {
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	return (key || xkey) && req.Body == nil && !safe(req.Method)
}

// safe reports whether the method changes nothing (RFC 9110 section 9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func (s *standard) modifyResponse(res *http.Response) error {
	ex := exchangeOf(res.Request.Context())
	switching := res.StatusCode == http.StatusSwitchingProtocols
	invalid := ""
	switch {
	case res.ProtoMajor != 1 && !s.target.h2c:
		invalid = "the answer's version is not HTTP/1"
	case res.StatusCode < 200 && !switching:
		invalid = "the answer's status is not one of HTTP"
	case switching && !ex.upgrade:
		invalid = "the upstream switched protocols unasked"
	case !validHeader(res.Header):
		invalid = "the answer's header holds invalid bytes"
	}
	if invalid != "" {
		return &Error{Kind: NoAnswer, Written: true, Err: errors.New(invalid)}
	}
	if s.config.OnResponse != nil {
		s.config.OnResponse(ex.in, res.StatusCode, res.Header)
	}
	removeReserved(&s.config, res.Header)
	removeReserved(&s.config, res.Trailer) // announced so far
	prepareHeader(ex.w.Header(), res.Header)
	if len(res.Trailer) > 0 && ex.in.Method != http.MethodHead {
		delete(res.Header, "Content-Length") // HTTP/2 may have both, HTTP/1.1 needs chunks
	}
	if switching {
		if rwc, ok := res.Body.(io.ReadWriteCloser); ok {
			res.Body = &tunnel{ReadWriteCloser: rwc, ex: ex}
		}
		return nil
	}
	ex.answering()
	res.Body = &answerBody{ReadCloser: res.Body, ex: ex, res: res}
	ex.begun = true
	return nil
}

func (s *standard) handleError(w http.ResponseWriter, out *http.Request, err error) {
	ex := exchangeOf(out.Context())
	var e *Error
	if !errors.As(err, &e) { // a mismatched upgrade, found by httputil.ReverseProxy
		e = &Error{Kind: NoAnswer, Written: true, Err: err}
	}
	if up, ok := w.(*upgradeWriter); ok && up.Hijacked() {
		ex.begun, ex.readErr = true, err
		panic(http.ErrAbortHandler)
	}
	answerFailure(ex, w, &s.config, e)
}

// answerFailure answers a request that has no answer from the upstream.
func answerFailure(ex *exchange, w http.ResponseWriter, config *Config, e *Error) {
	ex.answering()
	rec := httpx.NewRecorder(w)
	config.OnError(rec, ex.in, e)
	if !rec.Wrote() && !rec.Hijacked() {
		panic(http.ErrAbortHandler)
	}
}
