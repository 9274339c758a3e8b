package flags

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
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
	// With Inject, it also takes the place of Handrail-Flags in the Vary of
	// answers.
	Vary string

	// Anonymous gives visitors without a targeting key a random one in a
	// cookie. Nil: they have none.
	Anonymous *AnonymousCookie

	// Inject sends Handrail-Flags to the next handler.
	Inject bool

	// Settled says that the next handler calls SettleHeader before it writes
	// the header of an answer. False: Wrap's handler does so, with a
	// ResponseWriter of its own where there may be something to settle.
	Settled bool

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
	vary         []string
	anonymous    *anonymous // nil: nobody gets a key
	inject       bool
	inPlace      bool
	settled      bool
	gates        []gate
	truncated    atomic.Pointer[Set]     // the set whose truncation was told last
	hashing      atomic.Pointer[hashing] // of the set that answered last
}

// hashing is whether some flag of a set picks its users by hash.
type hashing struct {
	set *Set
	yes bool
}

// NewMiddleware returns all problems of cfg at once, each a *ConfigError.
func NewMiddleware(cfg MiddlewareConfig) (*Middleware, error) {
	m := &Middleware{
		client: cfg.Client, targetingKey: cfg.TargetingKey, vary: []string{cfg.Vary},
		inject: cfg.Inject, inPlace: cfg.InPlace, settled: cfg.Settled,
	}
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, &ConfigError{Field: "Client", Reason: "is required"})
	}
	switch {
	case cfg.Vary == "":
		m.vary = []string{varyByAll}
	case cfg.Vary != varyByAll && !validToken(cfg.Vary):
		errs = append(errs, &ConfigError{Field: "Vary", Value: shorten(cfg.Vary), Reason: "is not the name of a header"})
	}
	if m.targetingKey == nil {
		m.targetingKey = func(*http.Request) string { return "" }
	}
	var problems []error
	m.anonymous, problems = compileAnonymous(cfg.Anonymous)
	errs = append(errs, problems...)
	if m.anonymous != nil && m.vary[0] != varyByAll && !strings.EqualFold(m.vary[0], "Cookie") {
		m.vary = append(m.vary, "Cookie")
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
	m         *Middleware
	fresh     *freshCookie // what the answer sets; nil: nothing
	varies    bool         // the answer says already that it varies
}

type flaggedKey struct{}

// Value implements context.Context.
func (f *flagged) Value(key any) any {
	switch key.(type) {
	case contextKey:
		return &f.evaluator
	case flaggedKey:
		return f
	}
	return f.Context.Value(key)
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
		e := m.client.evaluator(EvaluationContext{})
		var fresh *freshCookie
		if key == "" && m.anonymous != nil {
			key, fresh = m.anonymousKey(r, e.set)
		}
		e.context.TargetingKey = key
		g, varies := m.closedGate(w, r, &e)
		if g != nil {
			if fresh != nil {
				fresh.give(w.Header())
			}
			httpx.WriteError(w, r, g.status, g.code)
			return
		}
		f, s, r := m.flag(r, flagged{evaluator: e, m: m, fresh: fresh, varies: varies})
		m.setHeader(f, r)
		if s != nil {
			s.serve(next, w, r, f)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// flag makes f the context of r, in place or in a copy that lies beside it, as
// does the settler, nil where nothing is to be settled here.
func (m *Middleware) flag(r *http.Request, f flagged) (*flagged, *settler, *http.Request) {
	f.Context = r.Context()
	settles := !m.settled && (m.inject || f.fresh != nil)
	switch {
	case m.inPlace && settles:
		both := &struct {
			flagged
			settler settler
		}{flagged: f}
		*r = *r.WithContext(&both.flagged)
		return &both.flagged, &both.settler, r
	case m.inPlace:
		alone := new(flagged)
		*alone = f
		*r = *r.WithContext(alone)
		return alone, nil, r
	case settles:
		all := &struct {
			flagged
			request http.Request
			settler settler
		}{flagged: f}
		all.request = *r.WithContext(&all.flagged)
		return &all.flagged, &all.settler, &all.request
	}
	both := &struct {
		flagged
		request http.Request
	}{flagged: f}
	both.request = *r.WithContext(&both.flagged)
	return &both.flagged, nil, &both.request
}

// anonymousKey is the key of a visitor who has no other, "" for none, with its
// cookie where the visitor does not have it yet.
func (m *Middleware) anonymousKey(r *http.Request, set *Set) (string, *freshCookie) {
	key, replace := m.anonymous.keyOf(r)
	if !replace || isPreflight(r) || !keepsCookie(r.Header) || !m.picksByHash(set) {
		return key, nil
	}
	fresh := m.anonymous.issue(r)
	return fresh.key, fresh
}

// picksByHash is that of set, worked out once for each.
func (m *Middleware) picksByHash(set *Set) bool {
	known := m.hashing.Load()
	if known == nil || known.set != set {
		known = &hashing{set: set, yes: set.picksByHash()}
		m.hashing.Store(known)
	}
	return known.yes
}

// closedGate returns the gate that keeps r out, nil when there is none, and
// whether the answer varies with the targeting key.
func (m *Middleware) closedGate(w http.ResponseWriter, r *http.Request, e *Evaluator) (closed *gate, varies bool) {
	for i := range m.gates {
		g := &m.gates[i]
		if !g.paths.Match(r.URL) {
			continue
		}
		d := e.Evaluate(g.flag)
		if d.dependsOnTargetingKey() {
			addVary(w.Header(), m.vary)
			varies = true
		}
		if !d.On && !(d.ErrorCode == ErrorTargetingKeyMissing && isPreflight(r)) {
			return g, varies
		}
	}
	return nil, varies
}

// isPreflight: https://fetch.spec.whatwg.org/#cors-preflight-request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}

// setHeader puts our Handrail-Flags in the place of the client's, and a fresh
// cookie beside the client's.
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
	} else if f.value[0] != "" || f.fresh != nil || hasHeaderName(r.Header) {
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
	if f.fresh != nil {
		f.fresh.forward(r.Header)
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
