package ratelimit

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
)

// Middleware applies policies to requests. It is safe for concurrent use and
// holds no goroutine.
type Middleware struct {
	policies []policy
	limiter  Limiter
	fallback *Memory
	mirror   bool // fallback follows limiter
	resolver *clientip.Resolver
	keys     *keyMaker
	onEvent  func(Event)
}

// New returns a Middleware, or every problem of cfg as *ConfigError, joined.
// The Limiter and the Fallback stay the caller's.
func New(cfg Config) (*Middleware, error) {
	var p problems
	m := &Middleware{
		policies: compilePolicies(cfg, &p),
		resolver: newResolver(cfg, &p),
		keys:     newKeyMaker(cfg.KeySecret),
		limiter:  cfg.Limiter,
		fallback: cfg.Fallback,
		onEvent:  cfg.OnEvent,
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	memory, ok := m.limiter.(*Memory)
	switch {
	case ok:
		m.fallback = memory
	case m.fallback == nil:
		var err error
		if m.fallback, err = NewMemory(MemoryConfig{Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	if m.limiter == nil {
		m.limiter = m.fallback
	}
	m.mirror = m.limiter != Limiter(m.fallback)
	return m, nil
}

// Wrap returns next behind the policies. A request reaches next when none of
// the policies that match it refuses.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.admit(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// admit reserves a place under every policy that matches r. When one refuses,
// it gives the others' places back and answers.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request) bool {
	var room [4]reservation
	list, worst := m.reserveAll(r, room[:0])
	if worst != Allowed {
		m.releaseAll(r.Context(), list)
	}
	if m.onEvent != nil {
		for i := range list {
			m.onEvent(list[i].event())
		}
	}
	switch worst {
	case Allowed:
		return true
	case Denied:
		answerDenied(w, r, list)
	default:
		answerUnavailable(w, r)
	}
	return false
}

// reserveAll asks every matching policy, so that the answer knows the longest
// wait. worst is Allowed, Denied, Unavailable or Canceled.
func (m *Middleware) reserveAll(r *http.Request, list []reservation) (_ []reservation, worst Outcome) {
	var id clientip.Identity
	identified := false
	worst = Allowed
	for i := range m.policies {
		p := &m.policies[i]
		if !p.matches(r) {
			continue
		}
		if !identified {
			id, identified = m.identity(r), true
		}
		if p.allow.Contains(id.Client) {
			list = append(list, reservation{policy: p, outcome: Exempt})
			continue
		}
		res := m.reserve(r.Context(), p, m.keys.key(p, r, id))
		list = append(list, res)
		switch res.outcome {
		case Canceled:
			return list, Canceled
		case Denied:
			worst = Denied
		case Unavailable:
			if worst == Allowed {
				worst = Unavailable
			}
		}
	}
	return list, worst
}

func (p *policy) matches(r *http.Request) bool {
	if len(p.methods) > 0 && !p.hasMethod(r.Method) && !p.overridden(r.Header) {
		return false
	}
	return p.paths == nil || p.paths.Match(r.URL)
}

// hasMethod compares without regard to letter case, as frameworks do that
// upper-case the method of a request.
func (p *policy) hasMethod(method string) bool {
	return slices.ContainsFunc(p.methods, func(m string) bool { return strings.EqualFold(m, method) })
}

// overridden reports whether a header by which frameworks let a request change
// its method names one of p's.
func (p *policy) overridden(h http.Header) bool {
	for _, name := range [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		for _, value := range h[name] {
			for method := range strings.SplitSeq(value, ",") {
				if p.hasMethod(strings.TrimSpace(method)) {
					return true
				}
			}
		}
	}
	return false
}

func (m *Middleware) identity(r *http.Request) clientip.Identity {
	if id, ok := clientip.FromContext(r.Context()); ok {
		return id
	}
	return m.resolver.Resolve(r)
}

// reservation is what one policy decided on one request.
type reservation struct {
	policy   *policy
	key      string
	outcome  Outcome
	decision Decision // of the limiter, or of the fallback when local
	mirrored Decision // of the fallback, following the limiter
	local    bool
	cause    error
}

func (m *Middleware) reserve(ctx context.Context, p *policy, key string) reservation {
	res := reservation{policy: p, key: key, outcome: Allowed}
	d, err := m.limiter.Allow(ctx, key, p.limit)
	switch {
	case err == nil:
		if m.mirror && p.onError == Local {
			res.mirrored = m.fallback.Mirror(key, p.limit, d)
		}
	case ctx.Err() != nil:
		// The client is gone. The store may have counted the request; it did not
		// fail, and a request that may be uncounted never reaches the handler.
		res.outcome, res.cause = Canceled, context.Cause(ctx)
		return res
	default:
		m.storeFailed(p, err)
		switch p.onError {
		case Pass:
			return res
		case Deny:
			if !p.shadow {
				res.outcome = Unavailable
			}
			return res
		}
		res.local = true
		d = m.fallback.allow(key, p.limit)
	}
	res.decision = d
	switch {
	case d.Allowed:
	case p.shadow:
		res.outcome = ShadowDenied
	default:
		res.outcome = Denied
	}
	return res
}

// releaseAll gives back what was reserved for a request that is refused. It
// runs to its end although the client may be gone.
func (m *Middleware) releaseAll(ctx context.Context, list []reservation) {
	ctx = context.WithoutCancel(ctx)
	for i := range list {
		res := &list[i]
		if res.outcome != Allowed {
			continue
		}
		res.outcome = Released
		if !res.decision.Allowed {
			continue // passed uncounted while the store failed
		}
		if res.local {
			m.fallback.refund(res.key, res.decision)
			continue
		}
		m.fallback.refund(res.key, res.mirrored)
		if err := m.limiter.Refund(ctx, res.key, res.policy.limit, res.decision); err != nil {
			m.storeFailed(res.policy, err)
		}
	}
}

func (m *Middleware) storeFailed(p *policy, err error) {
	if m.onEvent != nil {
		m.onEvent(Event{Policy: p.name, Outcome: StoreError, Cause: err})
	}
}

func (res *reservation) event() Event {
	return Event{
		Policy:     res.policy.name,
		Outcome:    res.outcome,
		RetryAfter: res.decision.RetryAfter,
		Local:      res.local,
		Cause:      res.cause,
	}
}
