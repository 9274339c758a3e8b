package sidecar

import (
	"context"
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
	route *webhook.Middleware
	next  http.Handler
}

// couriers run for the configuration in force.
type couriers struct {
	mu      sync.Mutex
	ctx     context.Context    // of all; nil until begin
	stop    context.CancelFunc // of those in force
	current []courier
	ended   bool
	running sync.WaitGroup
	active  atomic.Int64
}

// use puts the couriers of a configuration in the place of those before, which
// end the attempts that they are at.
func (c *couriers) use(next []courier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.current = next; c.ctx != nil {
		c.restart()
	}
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
	var ctx context.Context
	ctx, c.stop = context.WithCancel(c.ctx) // ended by the next restart, or with its parent
	for _, one := range c.current {
		c.active.Add(1)
		c.running.Go(func() {
			defer c.active.Add(-1)
			_ = one.route.Deliver(ctx, one.next) // tells its troubles itself
		})
	}
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
		app.ServeHTTP(w, r.WithContext(ctx))
	})
}

// backlogInterval is how often inboxes are asked what is in them.
const backlogInterval = 15 * time.Second

// watchInboxes keeps what is told of inboxes up to date, until ctx ends.
func (s *Sidecar) watchInboxes(ctx context.Context) {
	ticker := time.NewTicker(backlogInterval)
	defer ticker.Stop()
	stranded := map[string]bool{}
	for {
		if list, err := s.stores.deliveries.backlog(ctx); err == nil {
			s.inboxes.Store(&list)
			s.tellStranded(list, stranded)
		} else if ctx.Err() == nil {
			s.log.Warn("webhooks: it is not known what waits for the app", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellStranded warns of messages that no route brings to the app, once each time
// that they begin to.
func (s *Sidecar) tellStranded(list []webhook.Backlog, told map[string]bool) {
	delivered := map[string]bool{}
	for _, w := range s.current.Load().loaded.Webhooks {
		delivered[w.Name] = w.Mode == modeInbox
	}
	now := map[string]bool{}
	for _, b := range list {
		if b.Waiting == 0 || delivered[b.Route] {
			continue
		}
		now[b.Route] = true
		if !told[b.Route] {
			s.log.Warn("webhooks: messages wait in the inbox of a route that has mode inbox no longer: they are delivered once it has",
				"route", b.Route, "waiting", b.Waiting)
		}
	}
	clear(told)
	for route := range now {
		told[route] = true
	}
	if len(now) > 0 {
		s.monitor.Warn("inbox", "messages wait for a route that does not have mode inbox")
	} else {
		s.monitor.Clear("inbox")
	}
}

// readInboxes is asked with every scrape.
func (s *Sidecar) readInboxes() (out []prom.Inbox) {
	list := s.inboxes.Load()
	if list == nil {
		return nil
	}
	for _, b := range *list {
		out = append(out, prom.Inbox(b))
	}
	return out
}

// backlog is what all open stores keep, by route.
func (d *deliveries) backlog(ctx context.Context) (out []webhook.Backlog, err error) {
	for _, s := range d.inSQL() {
		list, err := s.Backlog(ctx)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			i := slices.IndexFunc(out, func(o webhook.Backlog) bool { return o.Route == b.Route })
			if i < 0 {
				out = append(out, b)
				continue
			}
			out[i].Waiting += b.Waiting
			out[i].Dead += b.Dead
			out[i].Oldest = max(out[i].Oldest, b.Oldest)
		}
	}
	return out, nil
}
