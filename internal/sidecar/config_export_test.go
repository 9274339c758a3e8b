package sidecar

import (
	"context"
	"io"
	"log/slog"
)

// Expand replaces the references in text as Load does in a file within dir.
func Expand(text, dir string, getenv func(string) string) (string, error) {
	return expander{getenv: getenv, dir: dir}.expand(text)
}

// Close gives back what New took, for a Sidecar that does not Run.
func (s *Sidecar) Close() error { return s.close(context.Background()) }

// WithoutQuote and PrintedLog are what keeps an upstream's bytes from the log.
var WithoutQuote = withoutQuote

// PrintedLog returns the writer of the standard log.
func PrintedLog(log *slog.Logger) io.Writer { return printedLog{log} }

// PercentFor is the pace of garbage collection.
var PercentFor = percentFor

// A DrainListener is drainListener.
type DrainListener = drainListener

// NewDrainListener is newDrainListener.
var NewDrainListener = newDrainListener

// Emptied is closed once Accept has handed out all that waited at Drain.
func (l *drainListener) Emptied() <-chan struct{} { return l.empty }
