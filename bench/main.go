// Command bench measures the sidecar beside other proxies on one Linux machine
// in one run, and prints medians, spreads and ratios. README.md says how, and
// what the numbers mean.
//
//	go run ./bench
//	go run ./bench -rounds 1 -duration 1s -peers nginx,handrail
//
// Everything that it starts listens on loopback and ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

func main() { measure.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == serveCommand {
		return report(stderr, serve(ctx, args[1:]))
	}
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 64
	}
	return report(stderr, runBench(ctx, o, stdout, stderr))
}

func report(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// Bounds of the options, so that no run takes a day.
const (
	maxRounds   = 50
	maxDuration = time.Minute
	maxConns    = 1024
)

// options are the command line.
type options struct {
	Rounds      int
	Duration    time.Duration // of each measurement
	Warmup      time.Duration // before each measurement
	Settle      time.Duration // before idle memory is read
	Connections []int
	Threads     int // of wrk
	only        []string
	added       []peer
	out         string // folder of the results
	profile     bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var connections, only string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each peer is measured")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "of each measurement")
	fs.DurationVar(&o.Warmup, "warmup", 2*time.Second, "load before each measurement")
	fs.DurationVar(&o.Settle, "settle", 500*time.Millisecond, "rest before idle memory is read")
	fs.StringVar(&connections, "connections", "32,128", "`list` of numbers of connections")
	fs.IntVar(&o.Threads, "threads", min(runtime.NumCPU(), 4), "of wrk")
	fs.StringVar(&only, "peers", "", "`list` of peers to measure (default all): "+strings.Join(names(allPeers()), ","))
	fs.Func("add", "a further sidecar, as `NAME=FILE`: configuration as in bench/conf/handrail-bare.yaml; may be repeated", func(s string) error {
		name, file, ok := strings.Cut(s, "=")
		if !ok || name == "" || file == "" {
			return errors.New("must be NAME=FILE")
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		p := sidecarPeer(name, "configured by "+filepath.Base(file), string(text))
		p.added = true
		o.added = append(o.added, p)
		return nil
	})
	fs.StringVar(&o.out, "out", "", "`folder` of the results (default bench/out)")
	fs.BoolVar(&o.profile, "profile", false, "after the rounds, load each sidecar once more and keep its CPU and allocation profiles")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	err := o.check(connections)
	return o, err
}

func (o *options) check(connections string) error {
	var errs []error
	var err error
	if o.Connections, err = measure.Connections(connections, maxConns); err != nil {
		errs = append(errs, err)
	}
	if o.Rounds < 1 || o.Rounds > maxRounds {
		errs = append(errs, fmt.Errorf("-rounds must be from 1 to %d", maxRounds))
	}
	if o.Duration < time.Second || o.Duration > maxDuration || o.Duration%time.Second != 0 {
		errs = append(errs, fmt.Errorf("-duration must be whole seconds, from 1s to %v", maxDuration))
	}
	if o.Warmup < 0 || o.Warmup > maxDuration || o.Warmup%time.Second != 0 {
		errs = append(errs, fmt.Errorf("-warmup must be whole seconds, up to %v", maxDuration))
	}
	if o.Settle < 0 || o.Settle > maxDuration {
		errs = append(errs, fmt.Errorf("-settle must be up to %v", maxDuration))
	}
	if o.Threads < 1 || o.Threads > 64 {
		errs = append(errs, errors.New("-threads must be from 1 to 64"))
	}
	return errors.Join(errs...)
}
