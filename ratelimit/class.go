package ratelimit

import "strings"

// maxClasses bounds the classes of a shard.
const maxClasses = 32 // fits entry.class

// class holds the entries of one policy in a shard, by number. Every one is in exactly one of
// open and blocked.
type class struct {
	name    string    // what its keys begin with, up to their last colon
	open    []int32   // not known to be blocked; a clock hand goes round
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
		if len(c.blocked) == 0 || s.entries[c.blocked[0]].until > now {
			return
		}
		s.reopen(int(c.blocked[0]))
	}
}

// sweep moves the hand of c by two and drops what has expired there.
func (s *shard) sweep(c *class, now int64) {
	for range 2 {
		if len(c.open) == 0 {
			return
		}
		n := c.under()
		if s.cell(n).expired(now) {
			s.drop(n)
			continue
		}
		c.hand++
	}
}

// victim is the key to drive out of c: an open one that was not admitted since
// the hand last came by, else the blocked one that ends first. There must be a
// key.
func (s *shard) victim(c *class) int {
	if len(c.open) == 0 {
		return int(c.blocked[0])
	}
	for {
		n := c.under()
		e := &s.entries[n]
		if !e.recent {
			return n
		}
		e.recent = false
		c.hand++
	}
}

// under is the open entry under the hand. There must be one.
func (c *class) under() int {
	if c.hand >= len(c.open) {
		c.hand = 0
	}
	return int(c.open[c.hand])
}

// block files c under blocked, until its block ends.
func (s *shard) block(c cell, end int64) {
	s.detach(c.number)
	c.until, c.blocked = end, true
	s.push(&s.classes[c.class].blocked, c.number)
}

// reopen moves entry n from blocked to open.
func (s *shard) reopen(n int) {
	s.detach(n)
	e := &s.entries[n]
	e.blocked = false
	s.add(s.classes[e.class], n)
}

// add files entry n, which is nowhere, under open.
func (s *shard) add(c *class, n int) {
	s.entries[n].index = uint32(len(c.open))
	c.open = append(c.open, int32(n))
}

// detach takes entry n out of blocked or open.
func (s *shard) detach(n int) {
	e := &s.entries[n]
	c := s.classes[e.class]
	if e.blocked {
		s.pull(&c.blocked, int(e.index))
		return
	}
	last := len(c.open) - 1
	moved := c.open[last]
	c.open[e.index] = moved
	s.entries[moved].index = e.index
	c.open = c.open[:last]
}

// refile tells the class of the entry that is number n from now on.
func (s *shard) refile(n int) {
	e := &s.entries[n]
	c := s.classes[e.class]
	if e.blocked {
		c.blocked[e.index] = int32(n)
	} else {
		c.open[e.index] = int32(n)
	}
}
