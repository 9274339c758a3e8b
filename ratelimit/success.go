package ratelimit

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// OutcomeHeader is the response header by which a handler says what came of a
// request under a policy that counts failures: success or failure. The client
// does not see it.
const OutcomeHeader = "Handrail-Outcome"

// What a handler said came of a request.
const (
	unsaid int32 = iota
	saidSuccess
	saidFailure // final
)

// A report is what the handler of a request says came of it.
type report struct {
	said  atomic.Int32
	outer *report // of a Middleware around this one; may be nil
}

type reportKey struct{}

func (r *report) say(success bool) {
	if r.outer != nil {
		r.outer.say(success)
	}
	if !success {
		r.said.Store(saidFailure)
		return
	}
	r.said.CompareAndSwap(unsaid, saidSuccess)
}

// sayHeader takes what the values of OutcomeHeader say. What is neither success
// nor failure counts as failure.
func (r *report) sayHeader(values []string) {
	for _, v := range values {
		r.say(strings.EqualFold(strings.TrimSpace(v), "success"))
	}
}

// ReportSuccess says that the request of ctx succeeded, so that policies that
// count failures give its place back when it ends. It is safe for concurrent
// use, and does nothing where no such policy counts the request.
func ReportSuccess(ctx context.Context) { say(ctx, true) }

// ReportFailure says that the request of ctx failed, whatever the status of its
// answer, and whatever else is said. It is like ReportSuccess otherwise.
func ReportFailure(ctx context.Context) { say(ctx, false) }

// ReportHeader says what the values of the header Handrail-Outcome say, for a
// proxy whose upstream answers by it.
func ReportHeader(ctx context.Context, h http.Header) {
	if values := h[OutcomeHeader]; len(values) > 0 {
		if r, ok := ctx.Value(reportKey{}).(*report); ok {
			r.sayHeader(values)
		}
	}
}

func say(ctx context.Context, success bool) {
	if r, ok := ctx.Value(reportKey{}).(*report); ok {
		r.say(success)
	}
}

// serve runs next, and gives back the places of a success.
func (m *Middleware) serve(next http.Handler, w http.ResponseWriter, r *http.Request, list []reservation, left time.Duration) {
	counts := false
	for i := range list {
		counts = counts || list[i].countsFailures()
	}
	if !counts {
		next.ServeHTTP(w, r)
		return
	}
	rep := new(report)
	rep.outer, _ = r.Context().Value(reportKey{}).(*report)
	ctx := context.WithValue(r.Context(), reportKey{}, rep)
	ow := &outcomeWriter{Recorder: httpx.NewRecorder(w), report: rep}
	next.ServeHTTP(ow, r.WithContext(ctx))
	// A handler that panics never comes here.
	if ctx.Err() != nil {
		return
	}
	status := ow.Status()
	if status == 0 {
		ow.settle() // the server answers 200
		status = http.StatusOK
	}
	succeeded := list[:0]
	for i := range list {
		if res := &list[i]; res.countsFailures() && res.policy.succeeded(rep.said.Load(), status) {
			succeeded = append(succeeded, *res)
		}
	}
	m.release(ctx, succeeded, Refunded, left)
}

func (res *reservation) countsFailures() bool {
	return res.policy.success != nil && res.outcome == Allowed
}

func (p *policy) succeeded(said int32, status int) bool {
	switch {
	case said == saidFailure || status >= http.StatusInternalServerError:
		return false
	case said == saidSuccess:
		return true
	}
	return slices.Contains(p.success, status)
}

// outcomeWriter takes OutcomeHeader out of the answer.
type outcomeWriter struct {
	*httpx.Recorder
	report *report
}

func (w *outcomeWriter) settle() {
	h := w.Header()
	if values := h[OutcomeHeader]; len(values) > 0 {
		w.report.sayHeader(values)
		delete(h, OutcomeHeader)
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *outcomeWriter) WriteHeader(status int) {
	w.settle()
	w.Recorder.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *outcomeWriter) Write(p []byte) (int, error) {
	w.settle()
	return w.Recorder.Write(p)
}

// FlushError implements what http.ResponseController asks for.
func (w *outcomeWriter) FlushError() error {
	w.settle()
	return w.Recorder.FlushError()
}

// Flush implements http.Flusher.
func (w *outcomeWriter) Flush() { _ = w.FlushError() }
