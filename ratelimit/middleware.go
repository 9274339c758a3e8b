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
	store    *Cached // nil when fallback is the store
	fallback *Memory
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
		fallback: cfg.Fallback,
		onEvent:  cfg.OnEvent,
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var err error
	switch limiter := cfg.Limiter.(type) {
	case nil:
	case *Memory:
		m.fallback = limiter
		return m, nil
	case *Cached:
		m.store = limiter
	default:
		if m.store, err = NewCached(CachedConfig{Limiter: limiter, Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	if m.fallback == nil {
		m.fallback, err = NewMemory(MemoryConfig{Now: cfg.Now})
	}
	return m, err
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
	list = m.matching(r, list)
	if m.recall(list) {
		return list, Denied
	}
	worst = Allowed
	for i := range list {
		res := &list[i]
		if res.outcome == Exempt {
			continue
		}
		m.reserve(r.Context(), res)
		switch res.outcome {
		case Canceled:
			return list[:i+1], Canceled
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

// matching appends a reservation for every policy that matches r. It is Exempt,
// or Skipped until the policy is asked.
func (m *Middleware) matching(r *http.Request, list []reservation) []reservation {
	var id clientip.Identity
	for i := range m.policies {
		p := &m.policies[i]
		if !p.matches(r) {
			continue
		}
		if len(list) == 0 {
			id = m.identity(r)
		}
		if p.allow.Contains(id.Client) {
			list = append(list, reservation{policy: p, outcome: Exempt})
			continue
		}
		list = append(list, reservation{policy: p, key: m.keys.key(p, r, id), outcome: Skipped})
	}
	return list
}

// recall refuses a request under several policies when it is known that one of
// them refuses: nothing is reserved under the others, only to be given back. It
// does so only as long as nothing of what is known is due, so that all of them
// are asked in time, and the answer knows the longest wait.
func (m *Middleware) recall(list []reservation) bool {
	if m.store == nil || len(list) < 2 {
		return false
	}
	refused := false
	for i := range list {
		res := &list[i]
		if res.outcome == Exempt {
			continue
		}
		wait, due := m.store.recall(res.key, res.policy.limit)
		if due {
			return false
		}
		if wait > 0 {
			res.refuse(Decision{RetryAfter: wait})
			refused = refused || res.outcome == Denied
		}
	}
	return refused
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

// refuse settles res by a decision that is not an admission.
func (res *reservation) refuse(d Decision) {
	res.decision, res.outcome = d, Denied
	if res.policy.shadow {
		res.outcome = ShadowDenied
	}
}

// reserve asks the policy of res.
func (m *Middleware) reserve(ctx context.Context, res *reservation) {
	p := res.policy
	*res = reservation{policy: p, key: res.key, outcome: Allowed}
	var d Decision
	if m.store == nil {
		d = m.fallback.allow(res.key, p.limit, 1)
	} else {
		var remembered bool
		var err error
		d, remembered, err = m.store.allow(ctx, res.key, p.limit, 1)
		switch {
		case err == nil:
			// What is remembered was mirrored when the store told it.
			if p.onError == Local && !remembered {
				res.mirrored = m.fallback.Mirror(res.key, p.limit, d)
			}
		case ctx.Err() != nil:
			// The client is gone. The store may have counted the request; it did not
			// fail, and a request that may be uncounted never reaches the handler.
			res.outcome, res.cause = Canceled, context.Cause(ctx)
			return
		default:
			m.storeFailed(p, err)
			if p.onError != Local {
				if p.onError == Deny && !p.shadow {
					res.outcome = Unavailable
				}
				return
			}
			res.local = true
			d = m.fallback.allow(res.key, p.limit, 1)
		}
	}
	res.decision = d
	if !d.Allowed {
		res.refuse(d)
	}
}

// releaseAll gives back what was reserved for a request that is refused. It
// runs to its end although the client may be gone.
func (m *Middleware) releaseAll(ctx context.Context, list []reservation) {
	for i := range list {
		res := &list[i]
		if res.outcome != Allowed {
			continue
		}
		res.outcome = Released
		switch {
		case !res.decision.Allowed: // passed uncounted while the store failed
		case res.local || m.store == nil:
			m.fallback.refund(res.key, res.decision)
		default:
			m.fallback.refund(res.key, res.mirrored)
			err := m.store.Refund(context.WithoutCancel(ctx), res.key, res.policy.limit, res.decision)
			if err != nil {
				m.storeFailed(res.policy, err)
			}
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
