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

	m   *Middleware
	ev  RequestEvent
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
		return x.ev.RequestID
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
		x := m.begin(w, r)
		x.ev.Context = x
		r = r.WithContext(x)
		if m.onStart != nil {
			if ctx := m.onStart(r, x.ev.Route); ctx != x.ev.Context {
				x.ev.Context = ctx
				r = r.WithContext(ctx)
			}
		}
		returned := false
		defer func() { x.end(r, returned, recover()) }()
		next.ServeHTTP(&x.Recorder, r)
		returned = true
	})
}

func (m *Middleware) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Context: r.Context(), m: m}
	x.Recorder.Reset(w)
	id, ok := clientip.FromContext(x.Context)
	if !ok {
		id = m.clients.Resolve(r)
	}
	x.ev = RequestEvent{
		Method:  method(r.Method),
		Route:   Unmatched,
		Path:    path(r.URL),
		Start:   time.Now(),
		Client:  id.Client,
		TraceID: traceID(r.Header["Traceparent"]),
	}
	if pattern, ok := m.routes.Find(r.URL); ok {
		x.ev.Route = pattern
	}
	x.ev.RequestID = requestID(r.Header["X-Request-Id"], id.PeerTrusted)
	x.ids = [2]string{x.ev.RequestID, x.ev.RequestID}
	r.Header["X-Request-Id"] = x.ids[0:1:1]
	w.Header()["X-Request-Id"] = x.ids[1:2:2]
	return x
}

// end settles what became of the request. It runs deferred: v is what was
// recovered, and the frames that panicked are still on the stack.
func (x *exchange) end(r *http.Request, returned bool, v any) {
	cut := false
	switch {
	case returned:
		x.ev.Outcome = x.outcome(r)
	case v == nil || v == http.ErrAbortHandler: //nolint:errorlint // as net/http compares; nil: runtime.Goexit
		x.ev.Outcome, cut = Aborted, v != nil
	default:
		x.ev.Outcome, cut = Panicked, x.Wrote()
		x.panicked(r, v)
	}
	x.ev.Status, x.ev.Bytes = x.Status(), x.Bytes()
	if x.ev.Status == 0 && x.ev.Outcome == Completed {
		x.ev.Status = http.StatusOK // what net/http sends for a silent handler
	}
	if r.Method == http.MethodHead {
		x.ev.Bytes = 0 // net/http swallows what is written
	}
	x.ev.Duration = time.Since(x.ev.Start)
	x.logRequest()
	if x.m.onRequest != nil {
		x.m.onRequest(x.ev)
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// outcome judges a handler that returned.
func (x *exchange) outcome(r *http.Request) Outcome {
	if x.Hijacked() {
		return Hijacked
	}
	announced := int64(-1)
	if v := x.Header()["Content-Length"]; len(v) == 1 && x.Wrote() {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil {
			announced = n
		}
	}
	bodiless := r.Method == http.MethodHead || x.Status() == http.StatusNotModified || x.Status() == http.StatusNoContent
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

func (x *exchange) panicked(r *http.Request, v any) {
	stack := debug.Stack()
	if len(stack) > maxStack {
		stack = stack[:maxStack]
	}
	x.logPanic(v, stack)
	if x.m.onPanic != nil {
		x.m.onPanic(PanicEvent{
			Context: x.ev.Context, Method: x.ev.Method, Route: x.ev.Route,
			RequestID: x.ev.RequestID, Value: v, Stack: stack,
		})
	}
	if !x.Wrote() {
		httpx.WriteError(&x.Recorder, r, http.StatusInternalServerError, "internal")
	}
}
