package sidecar

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"
)

// A logHandler writes records through a logWriter, and has the writer flush
// behind those of a level, and above. Records of JSON that hold nothing but
// short plain values, as an access log's do, it encodes itself, at a fraction
// of what slog.JSONHandler takes and to the same bytes; it leaves all others to
// that handler.
type logHandler struct {
	next  slog.Handler // writes any record, with the same attributes and groups
	out   *logWriter
	flush slog.Level
	plain bool   // JSON, no group is open, and fixed holds every attribute
	fixed []byte // the attributes of WithAttrs, each with a comma before it
}

// newLogHandler returns a handler for format "json" or "text", of records from
// level on. Those from flush on go out at once.
func newLogHandler(out *logWriter, format string, level slog.Leveler, flush slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return &logHandler{out: out, flush: flush, next: slog.NewTextHandler(out, options)}
	}
	return &logHandler{out: out, flush: flush, next: slog.NewJSONHandler(out, options), plain: true}
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var stack [512]byte
	line, ok := h.appendRecord(stack[:0], &r)
	if ok {
		_, _ = h.out.Write(line)
	} else if err := h.next.Handle(ctx, r); err != nil {
		return err
	}
	if r.Level >= h.flush {
		return h.out.Flush()
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	with.fixed = slices.Clone(h.fixed)
	for i := range attrs {
		if with.plain {
			with.fixed, with.plain = appendAttr(with.fixed, &attrs[i])
		}
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	with.plain = h.plain && name == ""
	return &with
}

// appendRecord appends the line of r; it is not ok when r is none of those that
// are encoded here.
func (h *logHandler) appendRecord(b []byte, r *slog.Record) (line []byte, ok bool) {
	if !h.plain || !isPlain(r.Message) {
		return b, false
	}
	b = append(b, '{')
	if !r.Time.IsZero() {
		b = append(b, `"time":`...)
		if b, ok = appendTime(b, r.Time); !ok {
			return b, false
		}
		b = append(b, ',')
	}
	b = append(append(b, `"level":"`...), r.Level.String()...)
	b = append(append(b, `","msg":"`...), r.Message...)
	b = append(append(b, '"'), h.fixed...)
	ok = true
	r.Attrs(func(a slog.Attr) bool {
		b, ok = appendAttr(b, &a)
		return ok
	})
	return append(b, "}\n"...), ok
}

func appendAttr(b []byte, a *slog.Attr) (attr []byte, ok bool) {
	if a.Key == "" || !isPlain(a.Key) {
		return b, false
	}
	b = append(append(append(b, `,"`...), a.Key...), `":`...)
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); isPlain(s) {
			return append(append(append(b, '"'), s...), '"'), true
		}
	case slog.KindInt64:
		return strconv.AppendInt(b, a.Value.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(b, a.Value.Uint64(), 10), true
	case slog.KindDuration:
		return strconv.AppendInt(b, int64(a.Value.Duration()), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, a.Value.Bool()), true
	case slog.KindFloat64:
		// Others have an exponent in JSON, or no form at all.
		if f := a.Value.Float64(); f == 0 || math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21 {
			return strconv.AppendFloat(b, f, 'f', -1, 64), true
		}
	case slog.KindTime:
		return appendTime(b, a.Value.Time())
	}
	return b, false
}

func appendTime(b []byte, t time.Time) (quoted []byte, ok bool) {
	if year := t.Year(); year < 0 || year > 9999 {
		return b, false
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), true
}

// isPlain reports whether s is a JSON string as it stands.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
