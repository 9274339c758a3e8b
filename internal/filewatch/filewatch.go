// Package filewatch tells when the content of one file changed. It polls:
// that works on every file system and for every way of replacing a file
// (rename over it, delete and restore, in-place writes, the symlink swaps of
// Kubernetes ConfigMaps).
package filewatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// DefaultInterval is how often Watch looks at the file.
const DefaultInterval = 500 * time.Millisecond

// ErrTooLarge is returned by Read for a file over the limit.
var ErrTooLarge = errors.New("file is too large")

// Read returns the content of a regular file of at most maxBytes.
func Read(path string, maxBytes int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > maxBytes {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrTooLarge, maxBytes)
	}
	return data, nil
}

// Config says what to watch. All but Path have defaults.
type Config struct {
	Path     string
	Interval time.Duration // between two looks; 0 means DefaultInterval
	MaxBytes int64         // of the file; 0 means 8 MiB

	// Initial is the content that the owner already uses; Watch is silent
	// until the file differs from it.
	Initial []byte

	// OnChange gets new content once it was the same in two looks, so that a
	// file which is being written is not taken half. It gets an error, once,
	// when the file cannot be read (deleted, too large, permissions), and the
	// content again when it can be.
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
	w.last = w.told
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
			timer.Reset(c.Interval)
		}
	}
}

// state identifies what one look saw: content by its hash, or an error.
type state struct {
	sum [sha256.Size]byte
	err string
}

func stateOf(data []byte, err error) state {
	if err != nil {
		return state{err: err.Error()}
	}
	return state{sum: sha256.Sum256(data)}
}

type watcher struct {
	Config
	told state // what OnChange was told, or knew at the start
	last state // the look before this one
}

// look reads the file each time: neither size nor times are sure to change with
// the content.
func (w *watcher) look() {
	data, err := Read(w.Path, w.MaxBytes)
	now := stateOf(data, err)
	stable := now == w.last
	w.last = now
	if !stable || now == w.told {
		return
	}
	w.told = now
	w.OnChange(data, err)
}
