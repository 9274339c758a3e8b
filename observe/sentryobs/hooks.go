package sentryobs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"

	"github.com/getsentry/sentry-go"
	"github.com/handrail-go/handrail/observe"
)

// OnStart fits observe.Config.OnStart. It starts a transaction when the caller
// asks for one through sentry-trace, or says nothing and the sampling rate
// chooses the request. Spans that the handler starts from the context belong
// to it.
func (r *Reporter) OnStart(req *http.Request, route string) context.Context {
	ctx := req.Context()
	switch {
	case r.client == nil:
		return ctx // counted by OnRequest
	case r.ignore.Match(req.URL):
		return context.WithValue(ctx, ignoredKey{}, true)
	case r.cfg.DisableTraces:
		return ctx
	}
	rate := r.cfg.TracesSampleRate
	parent := req.Header.Get(sentry.SentryTraceHeader)
	if p, ok := sentry.ParseTraceParentContext([]byte(parent)); !ok {
		parent = ""
	} else if p.Sampled == sentry.SampledTrue {
		rate = 1
	} else if p.Sampled == sentry.SampledFalse {
		rate = 0
	}
	if rand.Float64() >= rate { //nolint:gosec // which requests are sampled is no secret
		r.drop(DroppedUnsampled)
		return ctx
	}
	return r.start(ctx, req, route, parent, rate)
}

type ignoredKey struct{}

func (r *Reporter) start(ctx context.Context, req *http.Request, route, parent string, rate float64) context.Context {
	source := sentry.SourceRoute
	if route == observe.Unmatched {
		source = sentry.SourceCustom
	}
	hub := sentry.NewHub(r.client, sentry.NewScope())
	span := sentry.StartTransaction(sentry.SetHubOnContext(ctx, hub), methodName(req.Method)+" "+route,
		sentry.WithOpName("http.server"),
		sentry.WithTransactionSource(source),
		sentry.WithSpanOrigin(sentry.SpanOriginStdLib),
		sentry.WithSpanSampled(sentry.SampledTrue),
		sentry.ContinueFromTrace(parent),
	)
	// The decision was made above; Sentry extrapolates from the rate that is
	// written here.
	dsc := sentry.DynamicSamplingContextFromTransaction(span)
	dsc.Entries["sample_rate"] = strconv.FormatFloat(rate, 'f', -1, 64)
	span.SetDynamicSamplingContext(dsc)
	span.SetTag("request_id", observe.RequestID(ctx))
	return span.Context()
}

// OnRequest fits observe.Config.OnRequest. It ends the transaction and
// reports the statuses of Config.ErrorStatuses. What became of a request that
// the client left is nobody's error; panics are reported by OnPanic.
func (r *Reporter) OnRequest(ev observe.RequestEvent) {
	if r.client == nil {
		r.drop(DroppedDevelopment)
		return
	}
	if ignored, _ := ev.Context.Value(ignoredKey{}).(bool); ignored {
		r.drop(DroppedIgnored)
		return
	}
	span := sentry.TransactionFromContext(ev.Context)
	switch {
	case ev.Outcome == observe.Aborted:
		if span != nil || r.isError(ev.Status) {
			r.drop(DroppedClientGone)
		}
		return
	case ev.Status == http.StatusNotFound && !r.isError(ev.Status):
		if span != nil {
			r.drop(DroppedNotFound)
		}
		return
	}
	if span != nil {
		span.Status = sentry.HTTPtoSpanStatus(ev.Status)
		span.SetData("http.request.method", ev.Method)
		span.SetData("http.response.status_code", ev.Status)
		span.Finish()
	}
	if ev.Outcome != observe.Panicked && r.isError(ev.Status) {
		r.serverError(ev, span)
	}
}

func (r *Reporter) isError(status int) bool { return slices.Contains(r.cfg.ErrorStatuses, status) }

func (r *Reporter) serverError(ev observe.RequestEvent, span *sentry.Span) {
	e := sentry.NewEvent()
	e.Level = sentry.LevelError
	e.Message = strconv.Itoa(ev.Status) + " " + ev.Method + " " + ev.Route
	e.Fingerprint = []string{"http_status", strconv.Itoa(ev.Status), ev.Method, ev.Route}
	e.Tags = map[string]string{"status": strconv.Itoa(ev.Status)}
	r.send(e, ev.Method, ev.Route, ev.RequestID, span)
}

// OnPanic fits observe.Config.OnPanic.
func (r *Reporter) OnPanic(ev observe.PanicEvent) {
	if r.client == nil {
		r.drop(DroppedDevelopment)
		return
	}
	e := sentry.NewEvent()
	e.Level = sentry.LevelFatal
	e.Exception = []sentry.Exception{{
		Type:       fmt.Sprintf("%T", ev.Value),
		Value:      fmt.Sprint(ev.Value),
		Stacktrace: sentry.NewStacktrace(),
		Mechanism:  &sentry.Mechanism{Type: "panic"},
	}}
	e.Exception[0].Mechanism.SetUnhandled()
	r.send(e, ev.Method, ev.Route, ev.RequestID, sentry.TransactionFromContext(ev.Context))
}

func (r *Reporter) send(e *sentry.Event, method, route, requestID string, span *sentry.Span) {
	e.Transaction = method + " " + route
	if e.Tags == nil {
		e.Tags = make(map[string]string, 3)
	}
	e.Tags["method"], e.Tags["route"], e.Tags["request_id"] = method, route, requestID
	scope := sentry.NewScope()
	if span != nil {
		scope.SetSpan(span)
	}
	r.client.CaptureEvent(e, nil, scope)
}

// methodName bounds the method as observe does.
func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return observe.OtherMethod
}
