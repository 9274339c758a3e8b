package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// A view is what had been used up to one moment.
type view struct {
	at      time.Time
	peer    measure.Usage
	redis   measure.Usage
	app     measure.Usage
	busy    time.Duration // of the whole machine
	cores   int
	mallocs float64 // of a sidecar; 0 for others
}

func (b *bench) look(ctx context.Context, s *stage) (view, error) {
	v := view{cores: s.place.Cores}
	var err error
	if s.peer.sidecar {
		if v.mallocs, err = s.metric(ctx, "go_memstats_mallocs_total"); err != nil {
			return v, err
		}
	}
	if v.peer, err = measure.UsageOf(s.proc.PID()); err != nil {
		return v, fmt.Errorf("the peer is gone: %w: %s", err, measure.LastLines(s.proc.Log))
	}
	if s.redis != nil {
		if v.redis, err = measure.UsageOf(s.redis.PID()); err != nil {
			return v, err
		}
	}
	if v.app, err = measure.UsageOf(b.app.PID()); err != nil {
		return v, err
	}
	v.busy, err = measure.MachineBusy()
	v.at = time.Now()
	return v, err
}

func newSample(l load, before, after view) sample {
	each := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / float64(l.Requests) }
	peer, redis, app := after.peer.CPU-before.peer.CPU, after.redis.CPU-before.redis.CPU, after.app.CPU-before.app.CPU
	s := sample{
		Requests:  l.Requests,
		PerSecond: float64(l.Requests) / (float64(l.Micros) / 1e6),
		P50:       float64(l.P50) / 1e3, P99: float64(l.P99) / 1e3,
		CPU: each(peer), RedisCPU: each(redis), AppCPU: each(app), ClientCPU: each(l.client),
		Peak: measure.MiB(after.peer.Peak),
	}
	elsewhere := after.busy - before.busy - peer - redis - app - l.client
	s.Elsewhere = max(0, float64(elsewhere)/float64(after.at.Sub(before.at))/float64(before.cores))
	if after.mallocs > 0 {
		s.Allocations = (after.mallocs - before.mallocs) / float64(l.Requests)
	}
	return s
}

// safeguarded shows that the app behind a checked peer is told what the
// safeguards found out, and that behind another sidecar of the table there are
// no flags.
func (s *stage) safeguarded(ctx context.Context) error {
	if !s.peer.sidecar || s.peer.added || s.peer.status != http.StatusOK {
		return nil
	}
	status, echo, err := get(ctx, "tcp", s.place.Listen, echoPath)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("echo: status %d: %w", status, err)
	}
	for _, header := range []string{"Handrail-Flags", "X-Request-Id", "X-Forwarded-For"} {
		sent := strings.Contains(strings.ToLower(echo), "\n"+strings.ToLower(header)+":")
		if wanted := s.peer.checked || header != "Handrail-Flags"; sent != wanted {
			return fmt.Errorf("%s is sent to the app: %v, want %v", header, sent, wanted)
		}
	}
	return nil
}

// counted shows that every request of the load was limited, measured and
// logged.
func (s *stage) counted(ctx context.Context, l load) error {
	for _, series := range []string{
		`handrail_ratelimit_decisions_total{outcome="allowed",policy="api"}`,
		`http_requests_total{method="GET",route="/api/{resource}",status="200"}`,
	} {
		n, err := s.metric(ctx, series)
		if err != nil {
			return err
		}
		if int64(n) < l.Requests {
			return fmt.Errorf("%s is %.0f after %d requests", series, n, l.Requests)
		}
	}
	lines, err := countLines(s.proc.Log)
	if err == nil && lines < l.Requests {
		err = fmt.Errorf("the log has %d lines after %d requests", lines, l.Requests)
	}
	return err
}

func countLines(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var lines int64
	part := make([]byte, 1<<20)
	for {
		n, err := f.Read(part)
		lines += int64(bytes.Count(part[:n], []byte("\n")))
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}

// metric is one value of a sidecar's /metrics.
func (s *stage) metric(ctx context.Context, series string) (float64, error) {
	_, text, err := get(ctx, "unix", s.place.Admin, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no %s in /metrics", series)
}
