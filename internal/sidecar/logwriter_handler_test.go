package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func TestLogHandlerIsASlogHandler(t *testing.T) {
	var buf bytes.Buffer
	var w *sidecar.LogWriter
	slogtest.Run(t, func(*testing.T) slog.Handler {
		buf.Reset()
		w = sidecar.NewLogWriter(&buf)
		return sidecar.NewLogHandler(w, "json", slog.LevelInfo)
	}, func(t *testing.T) map[string]any {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		var m map[string]any
		if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
			t.Errorf("%v: %s", err, buf.Bytes())
		}
		return m
	})
}

// both logs the same to a logHandler and to slog's own and compares the bytes.
func both(t *testing.T, format string, log func(slog.Handler)) {
	t.Helper()
	var got, want bytes.Buffer
	w := sidecar.NewLogWriter(&got)
	log(sidecar.NewLogHandler(w, format, slog.LevelInfo))
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if format == "text" {
		log(slog.NewTextHandler(&want, options))
	} else {
		log(slog.NewJSONHandler(&want, options))
	}
	if got.String() != want.String() {
		t.Errorf("%s:\n got %q\nwant %q", format, got.String(), want.String())
	}
}

func record(at time.Time, level slog.Level, message string, attrs ...slog.Attr) slog.Record {
	r := slog.NewRecord(at, level, message, 0)
	r.AddAttrs(attrs...)
	return r
}

func TestLogHandlerWritesTheBytesOfSlog(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 5, 3, 120_000_000, time.FixedZone("", 3600))
	values := []slog.Attr{
		slog.String("s", "plain ~"), slog.String("empty", ""), slog.String("quote", `a"b\c`), slog.String("control", "a\nb\x7f"),
		slog.String("utf8", "é\u2028"), slog.String("bad", "\xff"), slog.String("html", "<a&b>"), slog.String(`k"ey`, "v"),
		slog.Int("i", -7), slog.Int64("min", math.MinInt64), slog.Uint64("u", math.MaxUint64), slog.Bool("b", true),
		slog.Duration("d", 1500*time.Millisecond), slog.Time("t", at), slog.Time("zero", time.Time{}), slog.Time("far", at.AddDate(9000, 0, 0)),
		slog.Float64("f", 1.234), slog.Float64("f0", 0), slog.Float64("minus", math.Copysign(0, -1)), slog.Float64("small", 1e-7), slog.Float64("edge", 1e-6),
		slog.Float64("large", 1e21), slog.Float64("below", 1e20), slog.Float64("nan", math.NaN()), slog.Float64("inf", math.Inf(-1)),
		slog.Any("err", errors.New("text")), slog.Any("nil", nil), slog.Any("struct", struct{ A int }{1}), slog.Any("level", slog.LevelWarn),
		slog.Group("g", slog.Int("a", 1)), slog.Group("", slog.Int("a", 1)), slog.Group("none"), {}, slog.String("", "no key"),
	}
	for _, format := range []string{"json", "text"} {
		for _, a := range values {
			both(t, format, func(h slog.Handler) {
				ctx := t.Context()
				log := func(h slog.Handler, r slog.Record) {
					if err := h.Handle(ctx, r); err != nil {
						t.Error(err)
					}
				}
				log(h, record(at, slog.LevelInfo, "request", slog.Int("status", 200), a, slog.Int("bytes", 1)))
				log(h, record(time.Time{}, slog.LevelError, `mess"age`, a))
				log(h.WithAttrs([]slog.Attr{slog.String("service", "shop"), a}), record(at, slog.LevelInfo+1, "request", a))
				log(h.WithAttrs([]slog.Attr{a}).WithAttrs([]slog.Attr{slog.Int("b", 2)}), record(at, slog.LevelInfo, "m"))
				log(h.WithGroup("").WithAttrs(nil), record(at.AddDate(9000, 0, 0), slog.LevelInfo, "m", a))
				log(h.WithGroup("g").WithAttrs([]slog.Attr{a}), record(at, slog.LevelInfo, "m", a))
			})
		}
	}
}

func FuzzLogHandler(f *testing.F) {
	f.Add("request", "path", "/users/7", 1.25, int64(12), int64(0))
	f.Add("a\"", "\\", "\xff\u2029", 1e-9, int64(-1), int64(1<<61))
	f.Fuzz(func(t *testing.T, message, key, text string, float float64, number, at int64) {
		both(t, "json", func(h slog.Handler) {
			attrs := []slog.Attr{slog.String(key, text), slog.Float64(key, float), slog.Int64("n", number)}
			_ = h.WithAttrs(attrs[:2]).Handle(t.Context(), record(time.Unix(0, at).UTC(), slog.Level(number%16), message, attrs...))
		})
	})
}

// Two attributes are added to one handler twice: neither may see the other's.
func TestHandlersOfOneOriginDoNotShareAttributes(t *testing.T) {
	both(t, "json", func(h slog.Handler) {
		h = h.WithAttrs([]slog.Attr{slog.String("service", "shop")})
		a, b := h.WithAttrs([]slog.Attr{slog.String("n", "a")}), h.WithAttrs([]slog.Attr{slog.String("n", "b")})
		_ = a.Handle(t.Context(), record(time.Time{}, slog.LevelInfo, "m"))
		_ = b.Handle(t.Context(), record(time.Time{}, slog.LevelInfo, "m"))
	})
}

func TestWarningsGoOutAtOnceWithWhatStandsBefore(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		synctest.Test(t, func(t *testing.T) {
			out := new(sink)
			w := sidecar.NewLogWriter(out)
			log := slog.New(sidecar.NewLogHandler(w, format, slog.LevelInfo))
			log.Info("none before")
			log.Info("first")
			log.Debug("below the level")
			if out.calls() != 1 {
				t.Errorf("%s: %q is not held back", format, out.text())
			}
			log.With("k", "v").WithGroup("g").Warn("second")
			if out.calls() != 2 || strings.Count(out.text(), "\n") != 3 {
				t.Errorf("%s: %q", format, out.writes)
			}
			log.Error("third")
			if out.calls() != 3 {
				t.Errorf("%s: %q", format, out.writes)
			}
			_ = w.Close()
		})
	}
}

func accessRecord() slog.Record {
	return record(time.Now(), slog.LevelInfo, "request",
		slog.String("method", "GET"), slog.String("route", "/users/{id}"), slog.String("path", "/users/7"),
		slog.Int("status", 200), slog.Int64("bytes", 1024), slog.Float64("duration_ms", 1.234), slog.String("outcome", "completed"),
		slog.String("request_id", "0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77"), slog.String("client", "192.0.2.7"))
}

func TestAccessLineDoesNotAllocate(t *testing.T) {
	w := sidecar.NewLogWriter(io.Discard)
	h := sidecar.NewLogHandler(w, "json", slog.LevelInfo).WithAttrs([]slog.Attr{slog.String("service", "shop")})
	r := accessRecord()
	if n := testing.AllocsPerRun(1000, func() { _ = h.Handle(context.Background(), r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = w.Close()
}

func BenchmarkAccessLine(b *testing.B) {
	file := func(b *testing.B) io.Writer {
		b.Helper()
		f, err := os.CreateTemp(b.TempDir(), "")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		return f
	}
	r, ctx := accessRecord(), context.Background()
	w := sidecar.NewLogWriter(file(b))
	for _, bb := range []struct {
		name string
		h    slog.Handler
	}{
		{"slog/discard", slog.NewJSONHandler(io.Discard, nil)}, //nolint:sloglint // the lines are what is measured
		{"slog/file", slog.NewJSONHandler(file(b), nil)},
		{"slog/logwriter", slog.NewJSONHandler(w, nil)},
		{"loghandler/discard", sidecar.NewLogHandler(sidecar.NewLogWriter(io.Discard), "json", slog.LevelInfo)},
		{"loghandler/file", sidecar.NewLogHandler(w, "json", slog.LevelInfo)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = bb.h.Handle(ctx, r)
			}
		})
	}
	_ = w.Close()
}
