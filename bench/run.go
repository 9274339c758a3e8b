package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// perRun is what starting, looking and stopping take, beside the load.
const perRun = 300 * time.Millisecond

// A bench is one run of everything.
type bench struct {
	options
	dir      string // temporary
	programs map[string]string
	app      *measure.Process
	appAddr  string
	wrk      *generator
	progress io.Writer
	skipped  map[string]string // peer → why it was not measured
}

// runBench measures every peer in turn, round after round.
func runBench(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("needs Linux: CPU and memory are read from /proc")
	}
	peers, err := choose(o)
	if err != nil {
		return err
	}
	root, err := measure.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	if o.out == "" {
		o.out = filepath.Join(root, "bench", "out")
	}
	dir, err := os.MkdirTemp("", "handrail-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, dir: dir, programs: map[string]string{}, progress: progress, skipped: map[string]string{}}
	if b.wrk, err = newGenerator(dir, o.Threads); err != nil {
		return err
	}
	if err := b.build(ctx, root, peers); err != nil {
		return err
	}
	peers = b.present(peers)

	planned := time.Duration(len(peers)*len(o.Connections)*o.Rounds) * (o.Duration + o.Warmup + o.Settle + perRun)
	fmt.Fprintf(progress, "%d peers, %d rounds: about %s\n", len(peers), o.Rounds, planned.Round(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, 3*planned+5*time.Minute, errors.New("it took far longer than planned"))
	defer cancel()

	if err := b.startApp(ctx); err != nil {
		return err
	}
	defer b.app.Stop()
	r := newResult(ctx, b, peers)
	if err := b.rounds(ctx, peers, r); err != nil {
		return err
	}
	if o.profile {
		b.profiles(ctx, peers)
	}
	r.Finish()
	return r.write(o.out, stdout)
}

// build makes the sidecar as a release is made, if one of the peers is one.
func (b *bench) build(ctx context.Context, root string, peers []peer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.programs[selfProgram] = self
	if !slices.ContainsFunc(peers, func(p peer) bool { return p.sidecar }) {
		return nil
	}
	b.programs[handrailProgram] = filepath.Join(b.dir, handrailProgram)
	return measure.Build(ctx, root, "./cmd/handrail", b.programs[handrailProgram])
}

// present drops the peers whose programs are not installed, and tells.
func (b *bench) present(peers []peer) []peer {
	_, redisErr := measure.Find("redis-server")
	var out []peer
	for _, p := range peers {
		if b.programs[p.program] == "" {
			path, err := measure.Find(p.program)
			if err != nil {
				b.skip(p, errors.New("not installed"))
				continue
			}
			b.programs[p.program] = path
		}
		if p.redis && redisErr != nil {
			b.skip(p, errors.New("redis-server is not installed"))
			continue
		}
		out = append(out, p)
	}
	return out
}

func (b *bench) skip(p peer, why error) {
	if _, told := b.skipped[p.Name]; !told {
		b.skipped[p.Name] = why.Error()
		fmt.Fprintf(b.progress, "%s is not measured: %v\n", p.Name, why)
	}
}

func (b *bench) startApp(ctx context.Context) (err error) {
	ready := func(ctx context.Context, addr string) error { return probe(ctx, addr, peer{status: 200}) }
	b.app, b.appAddr, err = measure.StartSelf(ctx, "app", b.dir, ready, serveCommand, "app")
	return err
}

// rounds lets each peer have its turn in each round. Each round begins with
// another peer, so that none is always the first or always follows the same.
// A peer that cannot be started is left out from then on.
func (b *bench) rounds(ctx context.Context, peers []peer, r *result) error {
	for round := range b.Rounds {
		for _, conns := range b.Connections {
			for i := range peers {
				p := peers[(i+round)%len(peers)]
				if b.skipped[p.Name] != "" {
					continue
				}
				s, err := b.measure(ctx, p, conns)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if e, ok := errors.AsType[*startError](err); ok {
					b.skip(p, e)
					continue
				}
				s.Round, s.Peer, s.Connections = round+1, p.Name, conns
				if err != nil {
					s.Failure = err.Error()
				}
				r.Samples = append(r.Samples, s)
				fmt.Fprintln(b.progress, s)
			}
		}
	}
	return nil
}
