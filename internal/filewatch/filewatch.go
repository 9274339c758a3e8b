// Package filewatch tells when the content of one file changed. It polls:
// that works on every file system and for every way of replacing a file
// (rename over it, delete and restore, in-place writes, the symlink swaps of
// Kubernetes ConfigMaps).
package filewatch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DefaultInterval is how often Watch looks at the file.
const DefaultInterval = 500 * time.Millisecond

// ErrUnsettled is what OnChange gets when a file keeps changing in such a way
// that no content can be told to be whole.
var ErrUnsettled = errors.New("keeps changing, and what it holds may not be whole: replace it by a rename")

const (
	// calmLooks in a row must be equal for content to count, and come in one
	// Interval.
	calmLooks = 5
	// patience is how many looks without any content that counts are told.
	patience = 10 * calmLooks
	// habit is how many times in a row a file must have been replaced by another,
	// and never been written in place or been missing, for the next one to be
	// taken for whole.
	habit = 8
)

// Config says what to watch. All but Path have defaults.
type Config struct {
	Path     string
	Interval time.Duration // between two looks; 0 means DefaultInterval
	MaxBytes int64         // of the file; 0 means 8 MiB

	// Initial is the content that the owner already uses; Watch is silent
	// until the file differs from it.
	Initial []byte

	// OnChange gets new content once it stayed the same for an Interval, so that
	// a file which is being written is not taken half. A file that was put in
	// place by a rename needs a fifth of that, and counts too when the next one
	// has taken its place by then, however often that happens. Where the times of
	// a file do not show the rename, that begins when it was replaced eight times.
	//
	// It gets an error, once, when the file cannot be read (deleted, too large,
	// permissions), and one that matches ErrUnsettled after ten Intervals in which
	// no content counted: what is in the file then is not to be used. It gets the
	// content again when there is one, the same as before too.
	OnChange func(data []byte, err error)
}

// Watch polls until ctx is done. Calls of OnChange come from this goroutine,
// one at a time.
func Watch(ctx context.Context, c Config) {
	if c.Interval <= 0 {
		c.Interval = DefaultInterval
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 8 << 20
	}
	w := watcher{Config: c, told: stateOf(c.Initial, nil)}
	w.last = &sight{state: w.told}
	w.calm = calmLooks
	defer func() { w.last.close() }()
	// A timer that begins anew after each look: a ticker would catch up after
	// the process has stood still, and two looks would follow each other at once.
	timer := time.NewTimer(c.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			w.look()
			timer.Reset(w.pause())
		}
	}
}

type watcher struct {
	Config
	told     state  // what OnChange was told, or knew at the start
	last     *sight // the look before this one; closed when it is calm
	calm     int    // looks in a row that were equal to the one before, up to calmLooks
	replaced int    // changes in a row that were another file each, while it was not calm
	restless int    // looks in a row after which no content counted
}

func (w *watcher) pause() time.Duration {
	if w.calm < calmLooks {
		return max(w.Interval/calmLooks, 1)
	}
	return w.Interval
}

// look reads the file each time: neither size nor times are sure to change with
// the content.
func (w *watcher) look() {
	now, before := see(w.Path, w.MaxBytes), w.last
	w.last = now
	w.restless++
	if now.state == before.state {
		w.calm = min(w.calm+1, calmLooks)
		if w.calm == calmLooks || w.whole(now) {
			w.tell(now)
		}
	} else {
		w.calm = 0
		w.changed(before, now)
	}
	before.close()
	if w.calm == calmLooks {
		now.close()
		w.replaced = 0
	}
	if w.restless >= patience {
		w.tell(w.unsettled())
	}
}

// changed is told of two looks that differ.
func (w *watcher) changed(before, now *sight) {
	if !before.replacedBy(now) {
		w.replaced = 0
		return
	}
	w.replaced++
	if w.whole(before) {
		w.tell(before)
	}
}

// whole reports whether a sight that is as it was at the look before needs no
// more looks.
func (w *watcher) whole(s *sight) bool {
	return s.placed || w.replaced >= habit && len(s.data) > 0
}

func (w *watcher) unsettled() *sight {
	err := fmt.Errorf("%s %w", w.Path, ErrUnsettled)
	return &sight{state: stateOf(nil, err), err: err}
}

// tell tells what counts, if that is new.
func (w *watcher) tell(s *sight) {
	w.restless = 0
	if s.state == w.told {
		return
	}
	w.told = s.state
	w.OnChange(s.data, s.err)
}
