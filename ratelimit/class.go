package ratelimit

import "strings"

// maxClasses bounds the classes of a shard.
const maxClasses = 32 // fits entry.class

// class holds the keys of one policy in a shard. Every key is in exactly one of
// open and blocked.
type class struct {
	name    string    // what its keys begin with, up to their last colon
	open    []*entry  // not known to be blocked; a clock hand goes round
	blocked blockHeap // blocked as of its last decision; the first to end on top
	hand    int
}

func (c *class) size() int { return len(c.open) + len(c.blocked) }

// intern returns the position in s.classes of the class of key. An empty class
// makes room for a new one; when there is none, the first takes the key.
func (s *shard) intern(key string) uint8 {
	name := key[:strings.LastIndexByte(key, ':')+1]
	free := 0
	for i, c := range s.classes {
		if c.name == name {
			return uint8(i)
		}
		if i > 0 && c.size() == 0 {
			free = i
		}
	}
	switch {
	case free > 0:
		s.classes[free].name = strings.Clone(name)
	case len(s.classes) < maxClasses:
		free = len(s.classes)
		s.classes = append(s.classes, &class{name: strings.Clone(name)})
	}
	return uint8(free)
}

// largest is the class that holds the most keys, c when it is one of several.
func (s *shard) largest(c *class) *class {
	for _, other := range s.classes {
		if other.size() > c.size() {
			c = other
		}
	}
	return c
}

// tidy does a bounded part of what time has brought: in c, to which a key comes,
// and in one other class after the other, so that nothing is left waiting where
// none comes.
func (s *shard) tidy(c *class, now int64) {
	s.unblock(c, now)
	s.sweep(c, now)
	s.turn = (s.turn + 1) % len(s.classes)
	if other := s.classes[s.turn]; other != c {
		s.unblock(other, now)
		s.sweep(other, now)
	}
}

// unblock reopens two keys of c that have ceased to be blocked.
func (s *shard) unblock(c *class, now int64) {
	for range 2 {
		if len(c.blocked) == 0 || c.blocked[0].until > now {
			return
		}
		c.reopen(c.blocked[0])
	}
}

// sweep moves the hand of c by two and drops what has expired there.
func (s *shard) sweep(c *class, now int64) {
	for range 2 {
		if len(c.open) == 0 {
			return
		}
		e := c.under()
		if e.expired(now) {
			s.drop(e)
			continue
		}
		c.hand++
	}
}

// victim is the key to drive out of c: an open one that was not admitted since
// the hand last came by, else the blocked one that ends first. There must be a
// key.
func (c *class) victim() *entry {
	if len(c.open) == 0 {
		return c.blocked[0]
	}
	for {
		e := c.under()
		if !e.recent {
			return e
		}
		e.recent = false
		c.hand++
	}
}

// under is the open entry under the hand. There must be one.
func (c *class) under() *entry {
	if c.hand >= len(c.open) {
		c.hand = 0
	}
	return c.open[c.hand]
}

// block files e under blocked, until its block ends.
func (c *class) block(e *entry, end int64) {
	c.detach(e)
	e.until, e.blocked = end, true
	c.blocked.push(e)
}

// reopen moves e from blocked to open.
func (c *class) reopen(e *entry) {
	c.detach(e)
	e.blocked = false
	c.add(e)
}

// add files e, which is nowhere, under open.
func (c *class) add(e *entry) {
	e.index = len(c.open)
	c.open = append(c.open, e)
}

// detach takes e out of blocked or open.
func (c *class) detach(e *entry) {
	if e.blocked {
		c.blocked.remove(e.index)
		return
	}
	last := len(c.open) - 1
	moved := c.open[last]
	c.open[e.index] = moved
	moved.index = e.index
	c.open[last] = nil
	c.open = c.open[:last]
}
