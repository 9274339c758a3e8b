package observe

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/httpx"
)

// exchange is one request on its way. It is its own context, which saves an
// allocation; it is not reused, as handlers may keep their request.
type exchange struct {
	context.Context // the request's, before anything was added
	httpx.Recorder

	id  string
	ids [2]string // backs the two headers
}

type exchangeKey struct{}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.id
	}
	return ""
}

// Wrap observes the requests that next serves. It sets X-Request-Id on the
// request that next gets, in the header map of the original, and on the
// response. A panic becomes 500 {"error":"internal"} when nothing was sent
// yet; else the connection is cut, through http.ErrAbortHandler, so that the
// client can tell.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev RequestEvent
		x, r := m.exchange(r)
		m.begin(x, &ev, w, r)
		if m.onStart != nil {
			if ctx := m.onStart(r, ev.Route); ctx != ev.Context {
				ev.Context = ctx
				*r = *r.WithContext(ctx)
			}
		}
		returned := false
		defer func() { m.end(x, &ev, r, returned, recover()) }()
		next.ServeHTTP(&x.Recorder, r)
		returned = true
	})
}

// exchange makes the context of r, in place or in a copy that lies beside it.
func (m *Middleware) exchange(r *http.Request) (*exchange, *http.Request) {
	if m.inPlace {
		x := &exchange{Context: r.Context()}
		*r = *r.WithContext(x)
		return x, r
	}
	both := &struct {
		exchange
		request http.Request
	}{exchange: exchange{Context: r.Context()}}
	both.request = *r.WithContext(&both.exchange)
	return &both.exchange, &both.request
}

// begin fills in what of ev is known before the handler runs.
func (m *Middleware) begin(x *exchange, ev *RequestEvent, w http.ResponseWriter, r *http.Request) {
	x.Recorder.Reset(w)
	id, ok := clientip.FromContext(x.Context)
	if !ok {
		id = m.clients.Resolve(r)
	}
	ev.Context = x
	ev.Start = time.Now()
	ev.Method = method(r.Method)
	ev.Path = path(r.URL)
	ev.Client = id.Client
	ev.TraceID = traceID(r.Header["Traceparent"])
	if ev.Route, ok = m.routes.Find(r.URL); !ok {
		ev.Route = Unmatched
	}
	x.id = requestID(r.Header["X-Request-Id"], id.PeerTrusted, ev.Start)
	ev.RequestID = x.id
	x.ids = [2]string{x.id, x.id}
	r.Header["X-Request-Id"] = x.ids[0:1:1]
	w.Header()["X-Request-Id"] = x.ids[1:2:2]
}

// end settles what became of the request. It runs deferred: v is what was
// recovered, and the frames that panicked are still on the stack.
func (m *Middleware) end(x *exchange, ev *RequestEvent, r *http.Request, returned bool, v any) {
	cut := false
	switch {
	case returned:
		ev.Outcome = x.outcome(ev.Method)
	case v == nil || v == http.ErrAbortHandler: //nolint:errorlint // as net/http compares; nil: runtime.Goexit
		ev.Outcome, cut = Aborted, v != nil
	default:
		ev.Outcome, cut = Panicked, x.Wrote()
		m.panicked(x, ev, r, v)
	}
	ev.Status, ev.Bytes = x.Status(), x.Bytes()
	if ev.Status == 0 && ev.Outcome == Completed {
		ev.Status = http.StatusOK // what net/http sends for a silent handler
	}
	if ev.Method == http.MethodHead {
		ev.Bytes = 0 // net/http swallows what is written
	}
	ev.Duration = time.Since(ev.Start)
	m.logRequest(ev)
	if m.onRequest != nil {
		m.onRequest(*ev)
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// outcome judges a handler that returned.
func (x *exchange) outcome(method string) Outcome {
	if x.Hijacked() {
		return Hijacked
	}
	announced := int64(-1)
	if v := x.Header()["Content-Length"]; len(v) == 1 && x.Wrote() {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil {
			announced = n
		}
	}
	bodiless := method == http.MethodHead || x.Status() == http.StatusNotModified || x.Status() == http.StatusNoContent
	switch {
	case announced >= 0 && x.Bytes() < announced && !bodiless:
		return Aborted
	case announced >= 0 && x.Bytes() == announced:
		return Completed // a client that left after the last byte has it all
	case x.Context.Err() == context.Canceled:
		return Aborted
	}
	return Completed
}

// Bounds of what a panic leaves in the log and in PanicEvent, in bytes.
const (
	maxPanicText = 4 << 10
	maxStack     = 16 << 10
)

func (m *Middleware) panicked(x *exchange, ev *RequestEvent, r *http.Request, v any) {
	stack := debug.Stack()
	if len(stack) > maxStack {
		stack = stack[:maxStack]
	}
	m.logPanic(ev, v, stack)
	if m.onPanic != nil {
		m.onPanic(PanicEvent{
			Context: ev.Context, Method: ev.Method, Route: ev.Route,
			RequestID: ev.RequestID, Value: v, Stack: stack,
		})
	}
	if !x.Wrote() {
		httpx.WriteError(&x.Recorder, r, http.StatusInternalServerError, "internal")
	}
}
