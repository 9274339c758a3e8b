package observe

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"unicode"
)

// here is what records name as their source when the handler asks for it.
func here() uintptr {
	var pcs [1]uintptr
	runtime.Callers(1, pcs[:])
	return pcs[0]
}

// logRequest writes the access log's record. Everything in it that a client
// chose is bounded and in printable ASCII: the id by its pattern, the path by
// its encoding, the method by a fixed list.
//
// The record is made here and not by the Logger, which would read the clock and
// walk the stack for each.
func (m *Middleware) logRequest(ev *RequestEvent) {
	out := m.access
	if out == nil || !out.Enabled(ev.Context, slog.LevelInfo) {
		return
	}
	r := slog.NewRecord(ev.Start.Add(ev.Duration), slog.LevelInfo, "request", m.source)
	var array [10]slog.Attr
	attrs := append(array[:0],
		slog.String("method", ev.Method),
		slog.String("route", ev.Route),
		slog.String("path", ev.Path),
		slog.Int("status", ev.Status),
		slog.Int64("bytes", ev.Bytes),
		slog.Float64("duration_ms", float64(ev.Duration.Microseconds())/1000),
		slog.String("outcome", string(ev.Outcome)),
		slog.String("request_id", ev.RequestID),
	)
	if ev.Client.IsValid() {
		attrs = append(attrs, slog.String("client", ev.Client.String()))
	}
	if ev.TraceID != "" {
		attrs = append(attrs, slog.String("trace_id", ev.TraceID))
	}
	r.AddAttrs(attrs...)
	_ = out.Handle(ev.Context, r) // as a Logger does
}

func (m *Middleware) logPanic(ev *RequestEvent, v any, stack []byte) {
	if m.log == nil {
		return
	}
	text := fmt.Sprint(v)
	if len(text) > maxPanicText {
		text = text[:maxPanicText]
	}
	text = strings.Map(printable, text) // it may quote what a client sent
	m.log.LogAttrs(ev.Context, slog.LevelError, "panic",
		slog.String("panic", text),
		slog.String("method", ev.Method),
		slog.String("route", ev.Route),
		slog.String("path", ev.Path),
		slog.String("request_id", ev.RequestID),
		slog.String("stack", string(stack)),
	)
}

// printable is r, or U+FFFD for what could steer a terminal or turn a line
// around.
func printable(r rune) rune {
	if unicode.IsPrint(r) || r == '\n' || r == '\t' {
		return r
	}
	return unicode.ReplacementChar
}
