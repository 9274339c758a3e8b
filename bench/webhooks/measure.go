package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"
)

// What is sent in a measurement.
const (
	plain  = "plain"  // events, past the webhook
	fresh  = "new"    // events that are new
	copied = "copies" // one event that is done
	flight = "flight" // one event that is being handled
)

// A sample is one measurement. CPU times are microseconds for each request.
type sample struct {
	Subject     string           `json:"subject"`
	Sent        string           `json:"sent"`
	Connections int              `json:"connections"`
	Round       int              `json:"round"`
	Failure     string           `json:"failure,omitempty"` // why it does not count
	Requests    int64            `json:"requests"`
	PerSecond   float64          `json:"requests_per_second"`
	P50         float64          `json:"p50_ms"`
	P99         float64          `json:"p99_ms"`
	First       float64          `json:"first_ms"` // the shortest; of flight, since the first was sent
	Last        float64          `json:"last_ms"`  // the longest
	Answers     map[string]int64 `json:"answers"`
	Calls       int64            `json:"calls"` // of the app
	CPU         float64          `json:"cpu_us"`
	StoreCPU    float64          `json:"store_cpu_us"`
	AppCPU      float64          `json:"app_cpu_us"`
	ClientCPU   float64          `json:"client_cpu_us"`
	Elsewhere   float64          `json:"elsewhere"` // share of the machine that none of these used
	// Waiting is how many events the app had not got when the last was answered,
	// Handled how many it got in a second until it had all.
	Waiting int64   `json:"waiting"`
	Handled float64 `json:"handled_per_second"`
}

func (s *sample) String() string {
	at := fmt.Sprintf("%d: %-14s %3d %-6s", s.Round, s.Subject, s.Connections, s.Sent)
	if s.Failure != "" {
		return at + "  does not count: " + s.Failure
	}
	return fmt.Sprintf("%s %7.0f/s  p50 %6.2f ms  p99 %7.2f ms  %6.1f µs  calls %d  elsewhere %2.0f%%  %s",
		at, s.PerSecond, s.P50, s.P99, s.CPU, s.Calls, 100*s.Elsewhere, kinds(s.Answers))
}

// measureAll starts the subject anew and makes all measurements at so many
// connections: plain and new events, in turn the one or the other first, and
// then, at the largest number, copies.
func (b *bench) measureAll(ctx context.Context, sub subject, round, conns int) (out []sample, err error) {
	s, err := b.stage(ctx, sub)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	sent := []string{plain, fresh}
	if round%2 == 0 {
		slices.Reverse(sent)
	}
	if conns == slices.Max(b.Connections) {
		sent = append(sent, copied, flight)
	}
	for _, what := range sent {
		one := sample{Subject: sub.Name, Sent: what, Connections: conns, Round: round}
		if what == flight {
			one.Connections = b.Copies
		}
		if err := b.measureOne(ctx, s, &one); err != nil {
			one.Failure = err.Error()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		out = append(out, one)
		fmt.Fprintln(b.progress, &one)
	}
	return out, nil
}

func (b *bench) measureOne(ctx context.Context, s *stage, out *sample) error {
	calls, err := callsOf(ctx, b.appAddr)
	if err != nil {
		return err
	}
	switch out.Sent {
	case copied:
		return b.measureCopies(ctx, s, out, calls)
	case flight:
		return b.measureFlight(ctx, s, out, calls)
	}
	path := webhookPath
	if out.Sent == plain {
		path = plainPath
	}
	src := &source{again: out.Sent == plain}
	if src.events, err = b.mint.events(min(maxEvents, int((b.Warmup+b.Duration).Seconds()*eventsPerSecond))); err != nil {
		return err
	}
	if b.Warmup > 0 {
		l, err := b.drive(ctx, s.addr, path, out.Connections, src, b.Warmup)
		if err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
		calls += int64(len(l.times))
		if err := b.settle(ctx, calls); err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
	}
	before, err := b.look(s)
	if err != nil {
		return err
	}
	l, err := b.drive(ctx, s.addr, path, out.Connections, src, b.Duration)
	if err != nil {
		return err
	}
	out.tell(l)
	got, err := callsOf(ctx, b.appAddr)
	if err != nil {
		return err
	}
	out.Waiting = max(0, calls+out.Requests-got)
	if err := b.settle(ctx, calls+out.Requests); err != nil {
		return err
	}
	after, err := b.look(s)
	if err != nil {
		return err
	}
	out.Handled = float64(out.Requests) / max(l.took, after.at.Sub(l.began)).Seconds()
	out.Calls = out.Requests // as settle has seen
	out.used(before, after)
	return out.allGood()
}

// settleTime bounds how long the app may be behind.
const settleTime = 2 * time.Minute

// settle waits until the app was called so often; more is an error.
func (b *bench) settle(ctx context.Context, calls int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	const pause = 10 * time.Millisecond
	for {
		got, err := callsOf(ctx, b.appAddr)
		switch {
		case err != nil:
			return err
		case got == calls:
			return nil
		case got > calls:
			return fmt.Errorf("the app was called %d times too often", got-calls)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the app was called %d times too few: %w", calls-got, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (s *sample) tell(l *load) {
	s.Requests, s.PerSecond, s.Answers = int64(len(l.times)), l.perSecond(), l.answers
	s.First, s.P50, s.P99, s.Last = l.quantile(0), l.quantile(0.5), l.quantile(0.99), l.quantile(1)
}

func (s *sample) used(before, after view) {
	each := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / float64(s.Requests) }
	peer, store := after.peer.CPU-before.peer.CPU, after.store.CPU-before.store.CPU
	app, client := after.app.CPU-before.app.CPU, after.client-before.client
	s.CPU, s.StoreCPU, s.AppCPU, s.ClientCPU = each(peer), each(store), each(app), each(client)
	elsewhere := after.busy - before.busy - peer - store - app - client
	s.Elsewhere = max(0, float64(elsewhere)/float64(after.at.Sub(before.at))/float64(runtime.NumCPU()))
}

// allGood refuses a load with another answer than 200.
func (s *sample) allGood() error {
	for _, kind := range slices.Sorted(maps.Keys(s.Answers)) {
		if kind[:3] != "200" {
			return fmt.Errorf("answers: %s", kinds(s.Answers))
		}
	}
	return nil
}

// measureCopies sends an event, lets it be handled, and then copies of it.
func (b *bench) measureCopies(ctx context.Context, s *stage, out *sample, calls int64) error {
	events, err := b.mint.events(1)
	if err != nil {
		return err
	}
	if _, err := b.drive(ctx, s.addr, webhookPath, 1, &source{events: events}, b.Duration); err != nil {
		return err
	}
	if err := b.settle(ctx, calls+1); err != nil {
		return err
	}
	src := &source{events: events, again: true}
	if b.Warmup > 0 {
		if _, err := b.drive(ctx, s.addr, webhookPath, out.Connections, src, b.Warmup); err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
	}
	before, err := b.look(s)
	if err != nil {
		return err
	}
	l, err := b.drive(ctx, s.addr, webhookPath, out.Connections, src, b.Duration)
	if err != nil {
		return err
	}
	out.tell(l)
	after, err := b.look(s)
	if err != nil {
		return err
	}
	out.used(before, after)
	got, err := callsOf(ctx, b.appAddr)
	out.Calls = got - calls
	return errors.Join(err, out.allGood())
}

// handling is how long the app takes for the event of measureFlight.
const handling = 300 * time.Millisecond

// measureFlight sends many copies of a new event at once.
func (b *bench) measureFlight(ctx context.Context, s *stage, out *sample, calls int64) error {
	events, err := b.mint.events(1)
	if err != nil {
		return err
	}
	clients, err := b.clients(ctx, s.addr, webhookPath, out.Connections, handling)
	if err != nil {
		return err
	}
	before, err := b.look(s)
	if err != nil {
		hangUp(clients)
		return err
	}
	l, err := together(ctx, clients, answerTime, func(c *client, l *load) error { return c.note(l, &events[0], l.began) })
	if err != nil {
		return err
	}
	out.tell(l)
	if err := b.settle(ctx, calls+1); err != nil {
		return err
	}
	after, err := b.look(s)
	if err != nil {
		return err
	}
	out.used(before, after)
	// What the app is still to be called for, it is called for before the end.
	s.proc.Stop()
	got, err := callsOf(ctx, b.appAddr)
	out.Calls = got - calls
	return err
}
