package sidecar

import (
	"io"
	"log/slog"
)

// LogWriter is logWriter, which nothing outside of a Sidecar uses.
type LogWriter = logWriter

// The bounds of a LogWriter.
const (
	LogBuffer = logBuffer
	LogDelay  = logDelay
)

// NewLogWriter is newLogWriter.
func NewLogWriter(out io.Writer) *LogWriter { return newLogWriter(out) }

// NewLogHandler is newLogHandler for the access log.
func NewLogHandler(out *LogWriter, format string, level slog.Leveler) slog.Handler {
	return newLogHandler(out, format, level, slog.LevelWarn)
}
