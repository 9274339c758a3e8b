package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// A sample is one measurement of one peer. CPU times are microseconds for each
// request, memory is MiB.
type sample struct {
	Peer        string  `json:"peer"`
	Connections int     `json:"connections"`
	Round       int     `json:"round"`
	Failure     string  `json:"failure,omitempty"` // why it does not count
	Requests    int64   `json:"requests"`
	PerSecond   float64 `json:"requests_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	CPU         float64 `json:"cpu_us"`
	RedisCPU    float64 `json:"redis_cpu_us"`
	AppCPU      float64 `json:"app_cpu_us"`
	ClientCPU   float64 `json:"client_cpu_us"`
	Elsewhere   float64 `json:"elsewhere"` // share of the machine that none of these used
	Idle        float64 `json:"idle_mib"`
	Peak        float64 `json:"peak_mib"`
	Allocations float64 `json:"allocations,omitempty"` // of a request; sidecars only
}

func (s sample) String() string {
	if s.Failure != "" {
		return fmt.Sprintf("%d: %-16s %3d  does not count: %s", s.Round, s.Peer, s.Connections, s.Failure)
	}
	return fmt.Sprintf("%d: %-16s %3d  %7.0f/s  p50 %6.2f ms  p99 %6.2f ms  %5.1f µs  %5.1f MiB  elsewhere %2.0f%%",
		s.Round, s.Peer, s.Connections, s.PerSecond, s.P50, s.P99, s.CPU, s.Peak, 100*s.Elsewhere)
}

// startError is a peer that does not come up.
type startError struct{ cause error }

func (e *startError) Error() string { return "it does not start: " + e.cause.Error() }
func (e *startError) Unwrap() error { return e.cause }

// A stage is one peer that runs for a measurement, alone but for the app.
type stage struct {
	peer  peer
	place place
	proc  *measure.Process
	redis *measure.Process // nil without one
}

// startTries is how often a peer may lose its port to somebody else.
const startTries = 3

func (b *bench) stage(ctx context.Context, p peer) (*stage, error) {
	var err error
	for range startTries {
		var s *stage
		if s, err = b.tryStage(ctx, p); err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &startError{err}
}

func (b *bench) tryStage(ctx context.Context, p peer) (_ *stage, err error) {
	dir, err := os.MkdirTemp(b.dir, p.Name+"-")
	if err != nil {
		return nil, err
	}
	s := &stage{peer: p, place: place{Dir: dir, App: b.appAddr, Cores: runtime.NumCPU()}}
	s.place.Admin = s.place.path("admin.sock")
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if s.place.Listen, err = measure.FreeAddress(ctx); err != nil {
		return nil, err
	}
	if _, s.place.Port, err = net.SplitHostPort(s.place.Listen); err != nil {
		return nil, err
	}
	if p.redis {
		addr, err := measure.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		s.place.Redis = "redis://" + addr
		if s.redis, err = measure.StartRedis(ctx, dir, addr); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
	}
	for name, text := range map[string]string{p.file: p.config, definitions: embedded(definitions)} {
		if name == "" {
			continue
		}
		if text, err = render(text, s.place); err != nil {
			return nil, err
		}
		if err := os.WriteFile(s.place.path(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if s.proc, err = measure.Start(p.Name, dir, b.programs[p.program], p.args(s.place)...); err != nil {
		return nil, err
	}
	return s, s.proc.Await(ctx, func(ctx context.Context) error { return probe(ctx, s.place.Listen, p) })
}

// end stops everything and removes its files.
func (s *stage) end() error {
	for _, p := range []*measure.Process{s.proc, s.redis} {
		if p != nil {
			p.Stop()
		}
	}
	return os.RemoveAll(s.place.Dir)
}

// probe asks for what the load will ask for, and is satisfied by the answer
// that it will be measured with.
func probe(ctx context.Context, addr string, p peer) error {
	status, body, err := get(ctx, "tcp", addr, loadPath)
	switch {
	case err != nil:
		return err
	case status != p.status:
		return fmt.Errorf("answered %d instead of %d", status, p.status)
	case status == http.StatusOK && (len(body) != answerBytes || !strings.HasPrefix(body, `{"data":"`)):
		return fmt.Errorf("answered %d bytes, not the app's", len(body))
	}
	return nil
}

// get asks once on a connection of its own.
func get(ctx context.Context, network, addr, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxDuration+measure.StartTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, string(text), err
}

// measure starts a peer, reads its idle memory, warms it up, and loads it.
func (b *bench) measure(ctx context.Context, p peer, conns int) (out sample, err error) {
	s, err := b.stage(ctx, p)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.safeguarded(ctx); err != nil {
		return out, err
	}
	select {
	case <-ctx.Done():
		return out, ctx.Err()
	case <-time.After(b.Settle):
	}
	idle, err := measure.UsageOf(s.proc.PID())
	if err != nil {
		return out, err
	}
	if b.Warmup > 0 {
		if _, err := b.wrk.run(ctx, s.place.Listen, p.clients, conns, b.Warmup); err != nil {
			return out, fmt.Errorf("warming up: %w", err)
		}
	}
	before, err := b.look(ctx, s)
	if err != nil {
		return out, err
	}
	l, err := b.wrk.run(ctx, s.place.Listen, p.clients, conns, b.Duration)
	if err != nil {
		return out, err
	}
	after, err := b.look(ctx, s)
	if err != nil {
		return out, err
	}
	out = newSample(l, before, after)
	out.Idle = measure.MiB(idle.RSS)
	if err := l.check(p.status); err != nil {
		return out, err
	}
	if p.checked {
		return out, s.counted(ctx, l)
	}
	return out, nil
}
