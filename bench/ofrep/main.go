// Command ofrep measures on one Linux machine, in one run, what it costs to
// evaluate flags by the OpenFeature Remote Evaluation Protocol: by the sidecar,
// on both of its listeners, by GO Feature Flag's relay proxy, and by flagd's own
// library. README.md says how, and what the numbers mean.
//
//	go run ./bench/ofrep
//	go run ./bench/ofrep -rounds 1 -duration 1s
//
// Everything that it starts listens on loopback and ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

func main() { measure.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "ofrep:", err)
		return 64
	}
	if err := runBench(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "ofrep:", err)
		return 1
	}
	return 0
}

// Bounds of the options, so that no run takes a day.
const (
	maxRounds   = 50
	minDuration = time.Second // which is how wrk counts
	maxDuration = time.Minute
	maxConns    = 512
)

// options are the command line.
type options struct {
	Rounds      int
	Duration    time.Duration // of each measurement
	Connections []int
	out         string // folder of the results
	handrail    string // program; "" builds it
	relay       string // programs; "" leaves them out
	flagdcore   string
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var connections string
	fs := flag.NewFlagSet("ofrep", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each server is measured")
	fs.DurationVar(&o.Duration, "duration", 3*time.Second, "of each measurement, in whole seconds")
	fs.StringVar(&connections, "connections", "1,32", "`list` of numbers of connections")
	fs.StringVar(&o.out, "out", "", "`folder` of the results (default bench/out)")
	fs.StringVar(&o.handrail, "handrail", "", "`program` of the sidecar (default: it is built)")
	fs.StringVar(&o.relay, "relayproxy", "", "`program` of GO Feature Flag (default: looked up, left out when missing)")
	fs.StringVar(&o.flagdcore, "flagdcore", "", "`program` made of bench/ofrep/flagdcore (default: looked up, left out when missing)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	var err error
	if fs.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected %q", fs.Arg(0)))
	}
	if o.Connections, err = measure.Connections(connections, maxConns); err != nil {
		errs = append(errs, err)
	}
	if o.Rounds < 1 || o.Rounds > maxRounds {
		errs = append(errs, fmt.Errorf("-rounds must be from 1 to %d", maxRounds))
	}
	if o.Duration < minDuration || o.Duration > maxDuration || o.Duration%time.Second != 0 {
		errs = append(errs, fmt.Errorf("-duration must be whole seconds from %v to %v", minDuration, maxDuration))
	}
	return o, errors.Join(errs...)
}
