package flags

import "slices"

// Subscribe calls fn with every Event from now on, as [Config.OnEvent] is: on
// the goroutine that the Event comes up on, while the next change waits, so fn
// must return soon. [Client.Set] has changed by then.
//
// What comes up after cancel has returned is not told; a call of fn on another
// goroutine may still be under way then. Cancel may be called more than once,
// and by fn.
func (c *Client) Subscribe(fn func(Event)) (cancel func()) {
	s := &subscriber{fn}
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	all := append(slices.Clone(c.subscribed()), s)
	c.subscribers.Store(&all)
	return func() {
		c.subscribing.Lock()
		defer c.subscribing.Unlock()
		rest := slices.DeleteFunc(slices.Clone(c.subscribed()), func(other *subscriber) bool { return other == s })
		c.subscribers.Store(&rest)
	}
}

type subscriber struct{ fn func(Event) }

// subscribed are the subscribers of now. The list is never changed in place.
func (c *Client) subscribed() []*subscriber {
	if all := c.subscribers.Load(); all != nil {
		return *all
	}
	return nil
}

// heeded reports whether anybody wants to know of an Event.
func (c *Client) heeded() bool { return c.onEvent != nil || len(c.subscribed()) > 0 }

// emit tells all who want to know.
func (c *Client) emit(ev Event) {
	if c.onEvent != nil {
		c.onEvent(ev)
	}
	for _, s := range c.subscribed() {
		s.fn(ev)
	}
}
