package sidecar

import (
	"context"

	"github.com/handrail-go/handrail/flags"
)

// A flagSource is a Source that can be told at once what was written to it, so
// that a change is in force without waiting for the next look.
type flagSource struct {
	flags.Source
	turn   chan struct{} // of one slot: one update at a time, and what follows
	update func(flags.Document, error)
	pushed bool // since the Source told something
}

func newFlagSource(s flags.Source) *flagSource {
	return &flagSource{Source: s, turn: make(chan struct{}, 1)}
}

// writer is nil where definitions cannot be changed.
func (f *flagSource) writer() flags.Writer {
	w, _ := f.Source.(flags.Writer)
	return w
}

// Watch implements flags.Source.
func (f *flagSource) Watch(ctx context.Context, update func(flags.Document, error)) error {
	f.use(update)
	defer f.use(nil)
	return f.Source.Watch(ctx, func(doc flags.Document, err error) {
		f.turn <- struct{}{}
		defer func() { <-f.turn }()
		if f.pushed {
			// What the Source tells may be older than what was written meanwhile.
			f.pushed = false
			doc, err = f.Load(ctx)
		}
		update(doc, err)
	})
}

func (f *flagSource) use(update func(flags.Document, error)) {
	f.turn <- struct{}{}
	f.update = update
	<-f.turn
}

// push hands over what was written, if somebody watches.
func (f *flagSource) push(doc flags.Document) {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	if f.update != nil {
		f.pushed = true
		f.update(doc, nil)
	}
}
