package observe

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

// logRequest writes the access log's record. Everything in it that a client
// chose is bounded and in printable ASCII: the id by its pattern, the path by
// its encoding, the method by a fixed list.
func (x *exchange) logRequest() {
	log := x.m.log
	if log == nil || !log.Enabled(x.ev.Context, slog.LevelInfo) {
		return
	}
	ev := &x.ev
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
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
	log.LogAttrs(ev.Context, slog.LevelInfo, "request", attrs...)
}

func (x *exchange) logPanic(v any, stack []byte) {
	if x.m.log == nil {
		return
	}
	text := fmt.Sprint(v)
	if len(text) > maxPanicText {
		text = text[:maxPanicText]
	}
	text = strings.Map(printable, text) // it may quote what a client sent
	x.m.log.LogAttrs(x.ev.Context, slog.LevelError, "panic",
		slog.String("panic", text),
		slog.String("method", x.ev.Method),
		slog.String("route", x.ev.Route),
		slog.String("path", x.ev.Path),
		slog.String("request_id", x.ev.RequestID),
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
