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
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// perStage is what starting and stopping take, beside the load.
const perStage = 3 * time.Second

// probeTime is for a look at the disk before the measurements of a round at so
// many connections.
const probeTime = 300 * time.Millisecond

// A bench is one run of everything.
type bench struct {
	options
	dir      string // temporary, below data
	byHand   string // program
	app      *measure.Process
	appAddr  string
	mint     *mint
	progress io.Writer
	skipped  map[string]string // subject → why it was not measured
}

// runBench measures every subject in turn, round after round.
func runBench(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("needs Linux: CPU and memory are read from /proc")
	}
	root, err := measure.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	if o.out == "" {
		o.out = filepath.Join(root, "bench", "out")
	}
	if o.data == "" {
		o.data = os.TempDir()
	}
	b := &bench{options: o, progress: progress, skipped: map[string]string{}}
	if b.mint, err = newMint(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(o.data, "handrail-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	subjects := choose(o.stores)
	if err := b.build(ctx, root, subjects); err != nil {
		return err
	}
	if err := b.startApp(ctx); err != nil {
		return err
	}
	defer b.app.Stop()

	each := 2*(o.Warmup+o.Duration) + perStage
	storms := o.Warmup + o.Duration + time.Second
	planned := time.Duration(len(subjects)*o.Rounds) * (time.Duration(len(o.Connections))*each + storms)
	fmt.Fprintf(progress, "%d stores, %d rounds: about %s\n", len(subjects), o.Rounds, planned.Round(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, 3*planned+5*time.Minute, errors.New("it took far longer than planned"))
	defer cancel()

	r := newResult(ctx, b, subjects)
	if err := b.rounds(ctx, subjects, r); err != nil {
		return err
	}
	r.Finish()
	return r.write(root, o, stdout)
}

// build makes the programs that are needed and not given.
func (b *bench) build(ctx context.Context, root string, subjects []subject) error {
	var errs []error
	byHandAsked := slices.ContainsFunc(subjects, func(s subject) bool { return s.byHand })
	if b.handrail == "" {
		b.handrail = filepath.Join(b.dir, "handrail")
		errs = append(errs, measure.Build(ctx, root, "./cmd/handrail", b.handrail))
	}
	if byHandAsked {
		b.byHand = filepath.Join(b.dir, "byhand")
		errs = append(errs, measure.Build(ctx, root, "./bench/webhooks/byhand/main.go", b.byHand))
	}
	return errors.Join(errs...)
}

func (b *bench) startApp(ctx context.Context) (err error) {
	ready := func(ctx context.Context, addr string) error {
		_, err := callsOf(ctx, addr)
		return err
	}
	b.app, b.appAddr, err = measure.StartSelf(ctx, "app", b.dir, ready, appCommand)
	return err
}

// rounds lets each subject have its turn in each round. Each round begins with
// another one. A subject that cannot be started is left out from then on.
func (b *bench) rounds(ctx context.Context, subjects []subject, r *result) error {
	for round := range b.Rounds {
		for _, conns := range b.Connections {
			d, err := probeDisk(b.dir, probeTime)
			if err != nil {
				return err
			}
			d.Round, d.Connections = round+1, conns
			r.Disk = append(r.Disk, d)
			for i := range subjects {
				sub := subjects[(i+round)%len(subjects)]
				if b.skipped[sub.Name] != "" {
					continue
				}
				samples, err := b.measureAll(ctx, sub, round+1, conns)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if e, ok := errors.AsType[*startError](err); ok {
					b.skipped[sub.Name] = strings.ReplaceAll(e.Error(), "\n", "; ")
					fmt.Fprintf(b.progress, "%s is not measured: %v\n", sub.Name, e)
					continue
				}
				if err != nil {
					return err
				}
				r.Samples = append(r.Samples, samples...)
			}
		}
	}
	return nil
}
