package upstream

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// maxInformational bounds the 1xx answers to one request: far more than any
// app sends, few enough that an upstream in a loop does not hold a request.
const maxInformational = 100

var (
	errSlow          = errors.New("no byte from the upstream in time")
	errInformational = errors.New("too many informational answers")
	errSurplus       = errors.New("the upstream sent more than the answer before had announced")
)

// An exchange is one request on its way. It is the context of the outbound
// request: the caller's, with a cancel of its own, and itself as a value.
type exchange struct {
	context.Context
	cancel context.CancelCauseFunc
	config *Config
	in     *http.Request
	w      http.ResponseWriter
	dog    *watchdog // nil: no connection yet

	upgrade bool         // an upgrade is asked for
	once    bool         // sent at most once, on a connection of its own
	body    *requestBody // nil: none

	conn    *conn       // nil: none yet, or HTTP/2
	surplus atomic.Bool // what came is not the answer
	reused  bool        // its connection has carried requests before
	wrote   atomic.Bool // a byte of it, or an HTTP/2 frame, may have been written
	gone    atomic.Bool // all of it was written

	expect struct { // Expect: 100-continue
		asked     bool        // by the client
		answering atomic.Bool // an answer comes; not a 1xx, as far as is known
		granted   atomic.Bool // by the upstream
	}

	early struct { // 1xx answers come on another goroutine
		sync.Mutex
		count int
		over  bool // RoundTrip has returned: w belongs to the handler again
		said  bool // the client has got its 100
	}

	begun   bool  // the answer's header goes to the client
	readErr error // of the answer's body, other than its end
}

type exchangeKey struct{}

// Value implements context.Context.
func (ex *exchange) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return ex
	}
	return ex.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*exchange)
	return ex
}

func newExchange(w http.ResponseWriter, r *http.Request, config *Config) *exchange {
	ctx, cancel := context.WithCancelCause(r.Context())
	ex := &exchange{Context: ctx, cancel: cancel, config: config, in: r, w: w, dog: new(watchdog)}
	ex.dog.start(config.Timeout, config.IdleTimeout, func() { cancel(errSlow) })
	return ex
}

// end releases what the exchange holds.
func (ex *exchange) end() {
	ex.dog.stop()
	ex.cancel(nil)
}

// trace watches the outbound request. It replaces the trace of
// httputil.ReverseProxy, which forgets the header that outer handlers have set
// when it passes a 1xx answer on.
func (ex *exchange) trace(http2 bool) *httptrace.ClientTrace {
	t := &httptrace.ClientTrace{
		GotConn:              ex.gotConn,
		GotFirstResponseByte: ex.gotFirstByte,
		WroteRequest:         func(info httptrace.WroteRequestInfo) { ex.gone.Store(info.Err == nil) },
		Got1xxResponse:       ex.gotInformational,
	}
	if http2 {
		t.WroteHeaderField = func(string, []string) { ex.wrote.Store(true) }
	}
	if _, ex.expect.asked = ex.in.Header["Expect"]; ex.expect.asked {
		t.Got100Continue = func() { ex.expect.granted.Store(true) }
	}
	return t
}

// gotConn is called again when http.Transport itself turns to another
// connection: what was wrong with the one before counts no more.
func (ex *exchange) gotConn(info httptrace.GotConnInfo) {
	ex.reused = info.Reused
	ex.surplus.Store(false)
	if c, ok := info.Conn.(*conn); ok {
		if c.last.Load() {
			c.spoil() // the one before is about to
		}
		c.begin(ex)
		ex.conn = c
	}
}

// refusesUpload reports whether an answer with that status looks like one from
// an app that has not read the whole body. It is about to close the connection,
// as far as it is careful, or takes the rest for a request. That the body was
// written proves nothing: systems hold megabytes between the two.
func refusesUpload(r *http.Request, status int) bool {
	return status >= 400 && (r.ContentLength < 0 || r.ContentLength > copyBufferSize)
}

// endConn ends a connection after its last request, which http.Transport may
// have put with the idle ones meanwhile.
func (ex *exchange) endConn() {
	if ex.conn != nil && ex.conn.last.Load() {
		ex.conn.spoil()
	}
}

// gotFirstByte runs before anything else is read. A connection with surplus on
// it is closed at once: http.Transport takes the surplus for the answer, and
// would give the connection, with the true answer to come, to another request.
func (ex *exchange) gotFirstByte() {
	ex.expect.answering.Store(true)
	if ex.conn != nil && ex.conn.surplus(&ex.wrote) {
		ex.surplus.Store(true)
		ex.conn.spoil()
	}
}

// refused reports whether the upstream has answered an expectation with
// something else than 100, upon which http.Transport would still send the body.
func (ex *exchange) refused() bool {
	return ex.expect.asked && ex.expect.answering.Load() && !ex.expect.granted.Load()
}

// mayRepeat reports whether a request that failed with err can be sent on a new
// connection: when the upstream has not seen it, or when it is safe and only
// the connection was not.
func (ex *exchange) mayRepeat(err error) bool {
	switch {
	case ex.once || !ex.reused || ex.Err() != nil:
		return false
	case !ex.wrote.Load():
		return ex.body == nil || !ex.body.touched.Load()
	}
	return errors.Is(err, errSurplus) && ex.body == nil && safe(ex.in.Method)
}

// gotInformational passes a 1xx answer on. HTTP/1.0 clients know none (RFC 9110
// section 15.2).
func (ex *exchange) gotInformational(code int, header textproto.MIMEHeader) error {
	if ex.surplus.Load() {
		return errSurplus
	}
	ex.expect.answering.Store(false)
	ex.early.Lock()
	defer ex.early.Unlock()
	if ex.early.count++; ex.early.count > maxInformational {
		return errInformational
	}
	ex.writeInformational(code, header)
	return nil
}

// sayContinue asks the client for the body before that is read. A server
// would do so by itself, net/http's beside another 1xx that is written at the
// same time.
func (ex *exchange) sayContinue() {
	ex.early.Lock()
	defer ex.early.Unlock()
	ex.writeInformational(http.StatusContinue, nil)
}

// writeInformational is called with early held.
func (ex *exchange) writeInformational(code int, header textproto.MIMEHeader) {
	if ex.early.over || !ex.in.ProtoAtLeast(1, 1) || code == http.StatusContinue && ex.early.said {
		return
	}
	ex.early.said = ex.early.said || code == http.StatusContinue
	h := ex.w.Header()
	final := maps.Clone(h)
	clear(h)
	maps.Copy(h, http.Header(header))
	removeHopByHop(h)
	removeReserved(ex.config, h)
	ex.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, final)
}

// hungUp is called when the upstream has ended the connection. That is all there
// is to wait for, unless an answer has begun.
func (ex *exchange) hungUp() {
	ex.early.Lock()
	defer ex.early.Unlock()
	if !ex.early.over && !ex.expect.answering.Load() && ex.body != nil && ex.wrote.Load() {
		ex.body.hangUp()
	}
}

// returned marks the end of RoundTrip.
func (ex *exchange) returned() {
	if ex.dog != nil {
		ex.dog.headerCame()
	}
	ex.early.Lock()
	ex.early.over = true
	ex.early.Unlock()
}

// handoverTime is how long a read of the client's body that has begun may go on
// once the context of its request has ended.
const handoverTime = 20 * time.Millisecond

// answering is called before the header goes to the client. When the client's
// body has not ended, the connection ends with the answer: what remains of a
// body that nobody reads, or that is malformed, must not be taken for a request.
func (ex *exchange) answering() {
	if ex.body != nil && !ex.body.ended.Load() && ex.in.ProtoMajor == 1 {
		ex.w.Header().Set("Connection", "close")
	}
}

// failure tells what an error of RoundTrip means.
func (ex *exchange) failure(err error) *Error {
	e := &Error{Written: ex.wrote.Load(), Err: err}
	var bodyErr error
	cut := false
	if ex.body != nil {
		if cut = ex.body.wasCut(); !cut && ex.in.Context().Err() != nil {
			ex.body.stop(handoverTime) // a server may cancel before a read that failed returns
		}
		bodyErr = ex.body.failed()
	}
	switch {
	case ex.dog.hasExpired() || errors.Is(ex.in.Context().Err(), context.DeadlineExceeded):
		e.Kind = Timeout
	case cut: // by us, whatever the server makes of it
		e.Kind = NoAnswer
	case bodyErr != nil && !clientLeft(bodyErr):
		e.Kind, e.Err = BadRequest, bodyErr
	case bodyErr != nil || ex.in.Context().Err() != nil: // a server may cancel for both
		e.Kind = Gone
	case dialTimedOut(err):
		e.Kind = Timeout
	case e.Written:
		e.Kind = NoAnswer
	default:
		e.Kind = NotWritten
	}
	return e
}

// cutShort is called when an answer that had begun does not reach the client
// whole, before the panic that closes the client's connection. For a client of
// HTTP/1.0 that has got no length, the end of the connection is that of the
// answer, unless it is reset.
func (ex *exchange) cutShort() {
	if ex.config.OnAbort != nil {
		ex.config.OnAbort(ex.in, ex.aborted())
	}
	if _, sized := ex.w.Header()["Content-Length"]; sized || ex.in.ProtoMajor != 1 || ex.in.ProtoMinor > 0 {
		return
	}
	c, _, err := http.NewResponseController(ex.w).Hijack()
	if err != nil {
		return // the server's matter, if there is one
	}
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = secure.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// aborted tells why an answer that had begun did not reach the client whole.
func (ex *exchange) aborted() *Error {
	e := &Error{Kind: Truncated, Written: true, Err: ex.readErr}
	var bodyErr error
	if ex.body != nil {
		bodyErr = ex.body.failed()
	}
	switch {
	case ex.dog.hasExpired() || errors.Is(ex.in.Context().Err(), context.DeadlineExceeded):
		e.Kind, e.Err = Timeout, errSlow
	case bodyErr != nil && !clientLeft(bodyErr):
		e.Kind, e.Err = BadRequest, bodyErr
	case ex.readErr == nil || ex.in.Context().Err() != nil:
		e.Kind, e.Err = Gone, context.Cause(ex.in.Context())
		if e.Err == nil {
			e.Err = errors.New("the client's connection failed")
		}
	}
	return e
}
