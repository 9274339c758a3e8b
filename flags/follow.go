package flags

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// begin loads the definitions for the first time, from the snapshot where the
// Source has none.
func (c *Client) begin(ctx context.Context, allowUnready bool) error {
	doc, err := c.source.Load(ctx)
	kind := EventUnreachable
	if err != nil {
		err = fmt.Errorf("flags: load: %w", err)
	} else {
		kind = EventRejected
		var set *Set
		if set, err = c.parse(doc.Name, doc.Data); err == nil && set.Len() == 0 && c.keptFlags(doc.Name) {
			err = fmt.Errorf("%s: %w", doc.Name, ErrAllRemoved)
		}
		if err == nil {
			c.swap(doc, set)
			return nil
		}
	}
	var refused error
	if c.snapshot != nil {
		if refused = c.answerFromSnapshot(doc.Name, err); refused == nil {
			return nil
		}
		if errors.Is(refused, fs.ErrNotExist) {
			refused = nil // as at every first start
		}
	}
	if !allowUnready {
		if refused != nil {
			return errors.Join(err, refused)
		}
		return err
	}
	c.set.Store((&Set{unready: true}).withClock(c.clock))
	if refused != nil {
		c.emit(Event{Kind: EventSnapshotFailed, Source: doc.Name, Err: refused})
	}
	c.fail(kind, doc.Name, err)
	return nil
}

// answerFromSnapshot starts with the definitions of an earlier run, since cause
// keeps those of the Source of that name away.
func (c *Client) answerFromSnapshot(name string, cause error) error {
	doc, set, err := c.kept(name)
	if err != nil {
		return err
	}
	c.answer(doc, set)
	c.failure.Store(&cause)
	c.emit(Event{
		Kind: EventSnapshot, Source: doc.Name, Version: set.version, Flags: set.Len(), Warnings: set.Warnings(), Err: cause,
	})
	return nil
}

// kept are the definitions in the snapshot.
func (c *Client) kept(name string) (Document, *Set, error) {
	doc, err := c.snapshot.read(name)
	if err != nil {
		return doc, nil, err
	}
	set, err := c.parse(doc.Name, doc.Data)
	if err != nil {
		err = fmt.Errorf("flags: snapshot %s: %w", c.snapshot.path, err)
	}
	return doc, set, err
}

// keptFlags reports whether the snapshot has any flags.
func (c *Client) keptFlags(name string) bool {
	if c.snapshot == nil {
		return false
	}
	_, set, err := c.kept(name)
	return err == nil && set.Len() > 0
}

func (c *Client) snapshotFailed(err error) {
	s := c.Set()
	c.emit(Event{Kind: EventSnapshotFailed, Source: c.snapshot.path, Version: s.version, Flags: s.Len(), Err: err})
}

// Reload has the Client answer from definitions of a version that stand in the
// Source by now, as after a [Writer.Write], without waiting for Run to come upon
// them. It returns ErrConflict when others stand there already: those are Run's
// to take. Other errors: why they cannot be read or taken. OnEvent and subscribers
// must not call it.
func (c *Client) Reload(ctx context.Context, version string) error {
	for {
		c.updating.Lock()
		before := c.updates
		c.updating.Unlock()
		doc, err := c.source.Load(ctx)
		if err != nil {
			return fmt.Errorf("flags: load: %w", err)
		}
		if VersionOf(doc.Data) != version {
			return ErrConflict
		}
		if c.reload(doc, before) {
			return c.Err()
		}
	}
}

// reload takes doc, unless something else has been taken since it was read, and
// ends the Watch of now. That one may be about to deliver what it read before doc
// was written, and does not know of doc, so would not tell of a way back either.
func (c *Client) reload(doc Document, before int) bool {
	c.updating.Lock()
	defer c.updating.Unlock()
	if c.updates != before {
		return false
	}
	if end := c.rewatch.Load(); end != nil {
		(*end)()
	}
	c.take(doc, nil)
	return true
}

// update takes what a Watch found, unless that was ended: what it read may be
// older than what has been taken since. The next Watch reads anew.
func (c *Client) update(watching context.Context, doc Document, err error) {
	c.updating.Lock()
	defer c.updating.Unlock()
	if watching.Err() == nil {
		c.take(doc, err)
	}
}

func (c *Client) take(doc Document, err error) {
	c.updates++
	if err != nil {
		c.fail(EventUnreachable, doc.Name, fmt.Errorf("flags: load: %w", err))
		return
	}
	if c.Err() == nil && c.Set().Version() == VersionOf(doc.Data) {
		return
	}
	set, err := c.parse(doc.Name, doc.Data)
	if err == nil && set.Len() == 0 && c.Set().Len() > 0 {
		err = fmt.Errorf("%s: %w", doc.Name, ErrAllRemoved)
	}
	if err != nil {
		c.fail(EventRejected, doc.Name, err)
		return
	}
	c.swap(doc, set)
}

// swap makes set, which the Source holds, the one that answers.
func (c *Client) swap(doc Document, set *Set) {
	old, delay := c.answer(doc, set)
	c.failure.Store(nil)
	if c.snapshot != nil {
		c.snapshot.keep(doc)
	}
	if !c.heeded() {
		return
	}
	added, changed, removed := set.Diff(old)
	c.emit(Event{
		Kind: EventLoaded, Source: doc.Name, Version: set.version, Flags: set.Len(), Warnings: set.Warnings(),
		Added: len(added), Changed: len(changed), Removed: len(removed), Delay: delay,
	})
}

// answer puts set in the place of the one that answers, and returns that one and
// how long the change took.
func (c *Client) answer(doc Document, set *Set) (old *Set, delay time.Duration) {
	set = set.withClock(c.clock)
	var onSet *fate
	if c.obedience != nil {
		onSet = new(fate)
	}
	if c.counterOf != nil || onSet != nil {
		set.count(onSet)
	}
	old = c.set.Swap(set)
	now := time.Now()
	if old != nil && old.version != set.version {
		delay = delayOf(doc.Written, c.takenAt, now)
		if c.onSet != nil {
			c.obedience.replaced(c.onSet, delay, now)
		}
	}
	c.takenAt, c.onSet = now, onSet
	return old, delay
}

// fail records why the Source's newest state is not the one that answers. The
// same failure again, at the next poll, is not worth another event.
func (c *Client) fail(kind EventKind, name string, err error) {
	if last := c.Err(); last != nil && last.Error() == err.Error() {
		return
	}
	c.failure.Store(&err)
	s := c.Set()
	c.emit(Event{Kind: kind, Source: name, Version: s.version, Flags: s.Len(), Err: err})
}
