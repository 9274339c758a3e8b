package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// Warm-up before each measurement, and what starting and stopping take beside.
const (
	warmup     = time.Second
	perSubject = 2 * time.Second
)

// A question is what is asked for.
type question struct {
	Name  string
	path  string
	known bool // by a client that knows the answer
}

func questions() []question {
	return []question{{"all five flags", "", false}, {"all five, known: 304", "", true}, {"one flag", "/b", false}}
}

// A bench is one run of everything.
type bench struct {
	options
	dir      string // temporary
	wrk      *generator
	progress io.Writer
}

// runBench measures every subject in turn, round after round.
func runBench(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("needs Linux: CPU is read from /proc")
	}
	root, err := measure.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	b := &bench{options: o, progress: progress}
	if b.dir, err = os.MkdirTemp("", "handrail-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.wrk, err = newGenerator(b.dir); err != nil {
		return err
	}
	if err := b.programs(ctx, root); err != nil {
		return err
	}
	subjects := b.subjects()
	planned := time.Duration(o.Rounds*len(subjects)) * (perSubject + time.Duration(len(o.Connections)*len(questions()))*(warmup+o.Duration))
	fmt.Fprintf(progress, "%d servers, %d rounds: about %s\n", len(subjects), o.Rounds, planned.Round(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, 2*planned+5*time.Minute, errors.New("it took far longer than planned"))
	defer cancel()

	r := newResult(ctx, b, subjects)
	for round := range o.Rounds {
		for i := range subjects {
			sub := subjects[(i+round)%len(subjects)]
			if err := b.measureAll(ctx, sub, round+1, r); err != nil {
				return err
			}
		}
	}
	r.Finish()
	if o.out == "" {
		o.out = filepath.Join(root, "bench", "out")
	}
	return r.Keep(o.out, "ofrep-", r, r.markdown(), stdout)
}

// programs builds the sidecar unless it is given, and looks up what it is
// measured beside.
func (b *bench) programs(ctx context.Context, root string) error {
	for _, peer := range []struct {
		program *string
		name    string
	}{{&b.relay, "relayproxy"}, {&b.flagdcore, "flagdcore"}} {
		if *peer.program == "" {
			path, err := measure.Find(peer.name)
			if err != nil {
				fmt.Fprintf(b.progress, "%s is missing and left out; bench/ofrep/README.md says how it is made\n", peer.name)
				continue
			}
			*peer.program = path
		}
		path, err := filepath.Abs(*peer.program)
		if err != nil {
			return err
		}
		*peer.program = path
	}
	if b.handrail != "" {
		return nil
	}
	b.handrail = filepath.Join(b.dir, "handrail")
	return measure.Build(ctx, root, "./cmd/handrail", b.handrail)
}

// measureAll starts a subject and asks it every question.
func (b *bench) measureAll(ctx context.Context, sub subject, round int, r *result) error {
	s, err := b.start(ctx, sub)
	if err != nil {
		return err
	}
	defer s.Stop()
	all, etag, err := ask(ctx, s.addr, "", http.StatusOK)
	if err != nil {
		return err
	}
	if n := strings.Count(all, `"value":`); n != 5 {
		return fmt.Errorf("%s answers %d flags: %s", sub.Name, n, all)
	}
	for _, q := range questions() {
		known := ""
		if q.known {
			if known = etag; known == "" {
				continue // it has no 304
			}
		}
		for _, conns := range b.Connections {
			sample, err := b.measure(ctx, s, q, known, conns)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", sub.Name, q.Name, err)
			}
			sample.Subject, sample.Round = sub.Name, round
			r.Samples = append(r.Samples, sample)
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, s *server, q question, known string, conns int) (sample, error) {
	if _, err := b.wrk.run(ctx, s.addr, q.path, known, conns, warmup); err != nil {
		return sample{}, err
	}
	before, busy, err := usage(s)
	if err != nil {
		return sample{}, err
	}
	l, err := b.wrk.run(ctx, s.addr, q.path, known, conns, b.Duration)
	if err != nil {
		return sample{}, err
	}
	after, busyAfter, err := usage(s)
	if err != nil {
		return sample{}, err
	}
	used := after.CPU - before.CPU
	all := time.Duration(l.Micros) * time.Microsecond * time.Duration(runtime.NumCPU())
	return sample{
		Question: q.Name, Connections: conns, Load: l, RSS: after.RSS,
		CPU:       float64(used.Microseconds()) / float64(l.Requests),
		Elsewhere: max(0, 100*(busyAfter-busy-used-l.client).Seconds()/all.Seconds()),
	}, nil
}

// usage is what a server has used so far, and the whole machine.
func usage(s *server) (measure.Usage, time.Duration, error) {
	u, err := measure.UsageOf(s.PID())
	if err != nil {
		return u, 0, err
	}
	busy, err := measure.MachineBusy()
	return u, busy, err
}
