package sidecar

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/observe/prom"
	"github.com/handrail-go/handrail/webhook"
)

// A courier brings what waits in the inbox of one route to the app.
type courier struct {
	name, kind string // of the route, and of the store
	route      *webhook.Middleware
	next       http.Handler
}

// couriers run for the configuration in force.
type couriers struct {
	mu      sync.Mutex
	ctx     context.Context // of all; nil until begin
	until   context.Context // of those in force
	stop    context.CancelFunc
	current []courier
	of      *assembly // whose they are
	ended   bool
	running sync.WaitGroup
	active  atomic.Int64
}

// use puts the couriers of a configuration in the place of those before, which
// end the attempts that they are at.
func (c *couriers) use(a *assembly) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.current, c.of = slices.Clone(a.couriers), a; c.ctx != nil {
		c.restart()
	}
}

// add has one more go for a configuration, while that is in force.
func (c *couriers) add(a *assembly, one courier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.of != a {
		return
	}
	c.current = append(c.current, one)
	if c.ctx != nil {
		c.start(one)
	}
}

// has reports whether one brings the messages of a route out of a kind of store.
func (c *couriers) has(route, kind string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.current, func(one courier) bool { return one.name == route && one.kind == kind })
}

// begin has the couriers go, until ctx ends.
func (c *couriers) begin(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
	c.restart()
}

// restart is called with mu held.
func (c *couriers) restart() {
	if c.stop != nil {
		c.stop()
	}
	c.until, c.stop = context.WithCancel(c.ctx) // ended by the next restart, or with its parent
	for _, one := range c.current {
		c.start(one)
	}
}

// start is called with mu held.
func (c *couriers) start(one courier) {
	ctx := c.until
	c.active.Add(1)
	c.running.Go(func() {
		defer c.active.Add(-1)
		_ = one.route.Deliver(ctx, one.next) // tells its troubles itself
	})
}

// end has no courier take another message. Those that are at one finish it.
func (c *couriers) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.ended = nil, true
	if c.stop != nil {
		c.stop()
	}
}

// busy reports whether a courier is still at a message.
func (c *couriers) busy() bool { return c.active.Load() > 0 }

// later is the app for messages that were stored: asked as if each had come just
// now from the client that sent it.
func later(in *ingress, app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := &clientip.Context{Context: r.Context(), Identity: in.resolver.Resolve(r)}
		for name := range r.Header {
			// Who is trusted may have changed since.
			if isForwarding(name) && (!ctx.Identity.PeerTrusted || name == in.unconfigured()) {
				delete(r.Header, name)
			}
		}
		app.ServeHTTP(w, r.WithContext(ctx))
	})
}

// backlogInterval is how often inboxes are asked what is in them.
const backlogInterval = 15 * time.Second

// watchInboxes keeps what is told of inboxes up to date, until ctx ends, and has
// what was left in the store of before delivered.
func (s *Sidecar) watchInboxes(ctx context.Context) {
	ticker := time.NewTicker(backlogInterval)
	defer ticker.Stop()
	told := map[string]bool{}
	for {
		if list, err := s.stores.deliveries.backlog(ctx); err == nil {
			s.inboxes.Store(&list)
			s.seeToLeft(ctx, list, told)
		} else if ctx.Err() == nil {
			s.inboxes.Store(nil) // no metric, rather than one that stands still
			s.log.Warn("webhooks: it is not known what waits for the app", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// seeToLeft brings to the app what waits in a store that its route does not use
// any more, and warns of what no route brings there, once each time that it
// begins to be so.
func (s *Sidecar) seeToLeft(ctx context.Context, list []backlog, told map[string]bool) {
	a := s.current.Load()
	stranded := map[string]bool{}
	for _, b := range list {
		w := a.loaded.route(b.Route)
		switch {
		case b.Waiting == 0 || w != nil && w.Mode == modeInbox && s.couriers.has(b.Route, b.kind):
			continue
		case w != nil && w.Mode == modeInbox:
			err := s.bringLeft(ctx, a, w, b)
			if err == nil {
				continue
			}
			s.log.Error("webhooks: what was left in the store of before is not delivered", "route", b.Route, "store", b.kind, "error", err)
		}
		at := b.Route + " " + b.kind
		if stranded[at] = true; !told[at] {
			s.log.Warn("webhooks: messages wait that no route with mode inbox brings to the app: they are delivered once it has that mode",
				"route", b.Route, "store", b.kind, "waiting", b.Waiting)
		}
	}
	clear(told)
	maps.Copy(told, stranded)
	if len(stranded) > 0 {
		s.monitor.Warn("inbox", "messages wait for a route that does not have mode inbox")
	} else {
		s.monitor.Clear("inbox")
	}
}

// bringLeft has a courier go to another store than the route's.
func (s *Sidecar) bringLeft(ctx context.Context, a *assembly, w *WebhookConfig, b backlog) error {
	if s.draining.Load() {
		return nil
	}
	m, err := s.webhook(ctx, w, b.kind)
	if err != nil {
		return err
	}
	s.log.Warn("webhooks: messages that wait in the store of before are delivered out of it", "route", w.Name, "store", b.kind, "waiting", b.Waiting)
	s.couriers.add(a, courier{name: w.Name, kind: b.kind, route: m, next: a.later})
	return nil
}

// readInboxes is asked with every scrape.
func (s *Sidecar) readInboxes() (out []prom.Inbox) {
	list := s.inboxes.Load()
	if list == nil {
		return nil
	}
	for _, b := range *list {
		i := slices.IndexFunc(out, func(o prom.Inbox) bool { return o.Route == b.Route })
		if i < 0 {
			out = append(out, prom.Inbox(b.Backlog))
			continue
		}
		out[i].Waiting += b.Waiting
		out[i].Dead += b.Dead
		out[i].Oldest = max(out[i].Oldest, b.Oldest)
	}
	return out
}

// backlog is what a kind of store keeps for a route.
type backlog struct {
	kind string
	webhook.Backlog
}

// backlog is what all open stores keep.
func (d *deliveries) backlog(ctx context.Context) (out []backlog, err error) {
	for kind, s := range d.inSQL() {
		list, err := s.Backlog(ctx)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			out = append(out, backlog{kind, b})
		}
	}
	return out, nil
}
