package ratelimit

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
)

// decisionBudget bounds what all decisions on one request, and the refunds that it
// waits for, may take together. A Limiter bounds each of them by itself.
const decisionBudget = 90 * time.Millisecond

// Middleware applies policies to requests. It is safe for concurrent use. Places
// that are given back in a store that is slow, or fails, are in the hands of
// goroutines, 256 at most, for about a minute: Close waits for them.
type Middleware struct {
	policies []policy
	store    *Cached // nil when fallback is the store
	fallback *Memory
	watch    *Watch
	refunds  *refunds
	resolver *clientip.Resolver
	keys     *keyMaker
	onEvent  func(Event)
}

// New returns a Middleware, or every problem of cfg as *ConfigError, joined.
// The Limiter, the Fallback and the Watch stay the caller's.
func New(cfg Config) (*Middleware, error) {
	var p problems
	m := &Middleware{
		policies: compilePolicies(cfg, &p),
		resolver: newResolver(cfg, &p),
		fallback: cfg.Fallback,
		watch:    cfg.Watch,
		refunds:  newRefunds(),
		onEvent:  cfg.OnEvent,
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if m.onEvent == nil {
		m.onEvent = func(Event) {}
	}
	var err error
	if m.watch == nil {
		if m.watch, err = NewWatch(WatchConfig{Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	names := make([]string, len(m.policies))
	for i := range m.policies {
		names[i] = m.policies[i].name
	}
	m.watch.keep(names)
	m.keys = newKeyMaker(cfg.KeySecret, m.watch)
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
		var room [4]reservation
		var id clientip.Identity
		list, worst, left := m.judge(r, &id, room[:0])
		if worst != Allowed {
			m.release(r.Context(), list, Released, left)
		}
		m.tell(id.Client, list)
		switch worst {
		case Allowed:
			m.serve(next, w, r, list, left)
		case Denied:
			answerDenied(w, r, list)
		case DenyListed:
			answerDenyListed(w, r)
		default:
			answerUnavailable(w, r)
		}
	})
}

// judge asks every policy that matches r, so that the answer knows the longest
// wait. worst is Allowed, or what r is refused for: DenyListed, Denied,
// Unavailable or Canceled. id is set when a policy matches. left is what is left
// of the time that r may lose here.
//
// Bodies are read last: what is refused by then, or blocked, costs no memory.
func (m *Middleware) judge(r *http.Request, id *clientip.Identity, list []reservation) (_ []reservation, worst Outcome, left time.Duration) {
	left = decisionBudget
	list, worst = m.match(r, id, list)
	if worst != Allowed || len(list) == 0 {
		return list, worst, left
	}
	if m.recall(list) {
		return list, Denied, left
	}
	list, worst, left = m.reserveAll(r, list, left)
	if worst == Allowed && m.readBody(r, id, list) {
		list, worst, left = m.reserveAll(r, list, left)
	}
	return list, worst, left
}

// reserveAll asks the policies whose subject is known.
func (m *Middleware) reserveAll(r *http.Request, list []reservation, budget time.Duration) (_ []reservation, worst Outcome, left time.Duration) {
	ctx, left := r.Context(), budget
	if m.store != nil {
		start := time.Now()
		defer func() { left = budget - time.Since(start) }()
		if len(list) > 1 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, start.Add(budget))
			defer cancel()
		}
	}
	worst = Allowed
	for i := range list {
		res := &list[i]
		if res.outcome == Skipped && res.key != "" {
			m.reserve(ctx, r, res)
		}
		switch res.outcome {
		case Canceled:
			return list[:i+1], Canceled, left
		case Denied:
			worst = Denied
		case Unavailable:
			if worst == Allowed {
				worst = Unavailable
			}
		}
	}
	return list, worst, left
}

// match appends a reservation for every policy that matches r. It is settled when
// the client is on one of the policy's lists, else Skipped until the policy is
// asked.
func (m *Middleware) match(r *http.Request, id *clientip.Identity, list []reservation) (_ []reservation, worst Outcome) {
	worst = Allowed
	for i := range m.policies {
		p := &m.policies[i]
		if !p.matches(r) {
			continue
		}
		if len(list) == 0 {
			*id = m.identity(r)
		}
		res := reservation{policy: p, outcome: Skipped}
		switch {
		case p.deny.Contains(id.Client) && p.shadow:
			res.outcome = ShadowDenied
		case p.deny.Contains(id.Client):
			res.outcome, worst = DenyListed, DenyListed
		case p.allow.Contains(id.Client):
			res.outcome = Exempt
		case !p.readsBody:
			res.subject = m.keys.key(p, r, *id)
		}
		list = append(list, res)
	}
	return list, worst
}

// readBody reads the subjects that are in the body, and reports whether there
// are any.
func (m *Middleware) readBody(r *http.Request, id *clientip.Identity, list []reservation) (any bool) {
	for i := range list {
		res := &list[i]
		if res.outcome == Skipped && res.key == "" {
			res.subject = m.keys.key(res.policy, r, *id)
			any = true
		}
	}
	return any
}

// recall refuses a request under several policies when it is known that one of
// them refuses: nothing is reserved under the others, only to be given back. It
// does so only as long as nothing of what is known is due, so
// that all of them are asked in time, and the answer knows the longest wait.
func (m *Middleware) recall(list []reservation) bool {
	if len(list) < 2 {
		return false
	}
	refused := false
	for i := range list {
		res := &list[i]
		if res.key == "" || res.policy.cost != nil { // on a list, in a body; it may have to wait longer
			continue
		}
		var wait time.Duration
		var due bool
		if m.store == nil {
			wait = m.fallback.wait(res.key, res.policy.limit)
		} else if wait, due = m.store.recall(res.key, res.policy.limit); due {
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
// upper-case the method of a request. What answers GET answers HEAD.
func (p *policy) hasMethod(method string) bool {
	return slices.ContainsFunc(p.methods, func(m string) bool {
		return strings.EqualFold(m, method) || m == http.MethodGet && strings.EqualFold(method, http.MethodHead)
	})
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

// tell passes on what became of every policy, and what Watch sees in it.
func (m *Middleware) tell(client netip.Addr, list []reservation) {
	for i := range list {
		res := &list[i]
		p := res.policy
		m.onEvent(res.event(res.outcome))
		if res.key == "" {
			continue // on a list
		}
		if p.ipOnly && m.watch.subject(p.name, res.key) {
			m.onEvent(Event{Policy: p.name, Outcome: Dominant})
		}
		if res.account != 0 && res.outcome != Skipped {
			m.watch.attempt(p.name, client, res.account, p.limit.Window)
		}
		if res.outcome == Denied {
			shown := client
			if !p.hasIP {
				shown = netip.Addr{}
			}
			m.watch.refused(p.name, res.key, shown, res.decision.RetryAfter)
		}
	}
}
