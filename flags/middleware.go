package flags

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/handrail-go/handrail/internal/httpx"
)

// MiddlewareConfig is what [NewMiddleware] needs.
type MiddlewareConfig struct {
	// Client answers. Required.
	Client *Client

	// TargetingKey says who a request comes from, "" when that is not known;
	// see CookieKey and HeaderKey. A key above MaxTargetingKeyBytes counts as
	// not known. Nil: nobody is known, so flags between 0 and 100 % are off.
	TargetingKey func(*http.Request) string

	// Vary is the request header that TargetingKey reads: "Cookie" for
	// CookieKey. It is added to Vary in answers from behind a gate whose
	// decision depends on the targeting key, so that no cache hands them to
	// somebody for whom the gate is closed. "" means "*": no cache reuses them.
	Vary string

	// Inject sends Handrail-Flags to the next handler.
	Inject bool

	// InPlace gives the next handler the very request that Wrap's handler got,
	// with another context and with Handrail-Flags in its header map. It is for
	// whoever made the request, such as a server. False gives it a copy, with
	// a header map of its own where that differs.
	InPlace bool

	// Gates are asked in their order. The first closed one answers.
	Gates []Gate
}

// Middleware gives each request an Evaluator, keeps gates, and tells the next
// handler in Handrail-Flags what is on. It is safe for concurrent use.
type Middleware struct {
	client       *Client
	targetingKey func(*http.Request) string
	vary         string
	inject       bool
	inPlace      bool
	gates        []gate
	truncated    atomic.Pointer[Set] // the set whose truncation was told last
}

// NewMiddleware returns all problems of cfg at once, each a *ConfigError.
func NewMiddleware(cfg MiddlewareConfig) (*Middleware, error) {
	m := &Middleware{
		client: cfg.Client, targetingKey: cfg.TargetingKey, vary: cfg.Vary, inject: cfg.Inject, inPlace: cfg.InPlace,
	}
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, &ConfigError{Field: "Client", Reason: "is required"})
	}
	switch {
	case cfg.Vary == "":
		m.vary = "*"
	case cfg.Vary != "*" && !validToken(cfg.Vary):
		errs = append(errs, &ConfigError{Field: "Vary", Value: shorten(cfg.Vary), Reason: "is not the name of a header"})
	}
	if m.targetingKey == nil {
		m.targetingKey = func(*http.Request) string { return "" }
	}
	for i, g := range cfg.Gates {
		compiled, problems := compileGate(fmt.Sprintf("Gates[%d]", i), g)
		errs = append(errs, problems...)
		m.gates = append(m.gates, compiled)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// flagged is the context of a request behind the Middleware.
type flagged struct {
	context.Context // the request's, before the Evaluator was added

	evaluator Evaluator
	value     [1]string // backs Handrail-Flags
}

// Value implements context.Context.
func (f *flagged) Value(key any) any {
	if key == (contextKey{}) {
		return &f.evaluator
	}
	return f.Context.Value(key)
}

// flag gives r its Evaluator, in place or in a copy that lies beside it.
func (m *Middleware) flag(r *http.Request, e Evaluator) (*flagged, *http.Request) {
	if m.inPlace {
		f := &flagged{Context: r.Context(), evaluator: e}
		*r = *r.WithContext(f)
		return f, r
	}
	both := &struct {
		flagged
		request http.Request
	}{flagged: flagged{Context: r.Context(), evaluator: e}}
	both.request = *r.WithContext(&both.flagged)
	return &both.flagged, &both.request
}

// Wrap returns next behind the gates. The request that next gets carries an
// Evaluator in its context (FromContext, Enabled) and, with Inject, the header
// Handrail-Flags; a Handrail-Flags that the client sent is gone in any case.
//
// A CORS preflight carries no cookie, so no user is known: a gate whose flag
// buckets lets it through, and decides on the request that follows.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := m.targetingKey(r)
		if len(key) > MaxTargetingKeyBytes {
			key = ""
		}
		e := m.client.evaluator(EvaluationContext{TargetingKey: key})
		if g := m.closedGate(w, r, &e); g != nil {
			httpx.WriteError(w, r, g.status, g.code)
			return
		}
		f, r := m.flag(r, e)
		m.setHeader(f, r)
		next.ServeHTTP(w, r)
	})
}

// closedGate returns the gate that keeps r out, nil when there is none.
func (m *Middleware) closedGate(w http.ResponseWriter, r *http.Request, e *Evaluator) *gate {
	for i := range m.gates {
		g := &m.gates[i]
		if !g.paths.Match(r.URL) {
			continue
		}
		d := e.Evaluate(g.flag)
		if d.dependsOnTargetingKey() {
			addVary(w.Header(), m.vary)
		}
		if !d.On && !(d.ErrorCode == ErrorTargetingKeyMissing && isPreflight(r)) {
			return g
		}
	}
	return nil
}

func addVary(h http.Header, name string) {
	if !slices.Contains(h["Vary"], name) {
		h.Add("Vary", name)
	}
}

// isPreflight: https://fetch.spec.whatwg.org/#cors-preflight-request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}

// setHeader puts our Handrail-Flags in the place of the client's.
func (m *Middleware) setHeader(f *flagged, r *http.Request) {
	if m.inject {
		var stack [1024]byte
		value, dropped := f.evaluator.AppendHeader(stack[:0])
		if dropped > 0 {
			m.tellTruncated(f.evaluator.set, dropped)
		}
		f.value[0] = string(value)
	}
	if m.inPlace && r.Header != nil {
		maps.DeleteFunc(r.Header, func(name string, _ []string) bool { return isHeaderName(name) })
	} else if f.value[0] != "" || hasHeaderName(r.Header) {
		h := make(http.Header, len(r.Header)+1)
		for name, values := range r.Header {
			if !isHeaderName(name) {
				h[name] = values
			}
		}
		r.Header = h
	}
	if f.value[0] != "" {
		r.Header[HeaderName] = f.value[:]
	}
}

func hasHeaderName(h http.Header) bool {
	for name := range h {
		if isHeaderName(name) {
			return true
		}
	}
	return false
}

// isHeaderName reports whether a CGI-like server could take name for
// Handrail-Flags: in any case, and with _ for -.
func isHeaderName(name string) bool {
	if len(name) != len(HeaderName) {
		return false
	}
	for i := range len(name) {
		c, want := name[i], HeaderName[i]
		if c|0x20 != want|0x20 && !(want == '-' && c == '_') {
			return false
		}
	}
	return true
}

// tellTruncated raises one event per set: each request would find the same.
func (m *Middleware) tellTruncated(set *Set, dropped int) {
	if !m.client.heeded() || m.truncated.Swap(set) == set {
		return
	}
	m.client.emit(Event{Kind: EventHeaderTruncated, Version: set.version, Flags: set.Len(), Dropped: dropped})
}
