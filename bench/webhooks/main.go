// Command webhooks measures on one Linux machine, in one run, what it costs to
// have webhooks delivered through the sidecar: by each of its stores, beside
// plain proxying by the same sidecar, and beside a handler as people write it
// themselves. README.md says how, and what the numbers mean.
//
//	go run ./bench/webhooks
//	go run ./bench/webhooks -rounds 1 -duration 1s -stores memory,sqlite
//
// Everything that it starts listens on loopback and ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

func main() { measure.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var err error
	if len(args) == 2 && args[0] == appCommand {
		err = listenApp(ctx, args[1])
	} else {
		var o options
		o, err = parseOptions(args, stderr)
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		if err != nil {
			fmt.Fprintln(stderr, "webhooks:", err)
			return 64
		}
		err = runBench(ctx, o, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "webhooks:", err)
		return 1
	}
	return 0
}

// Bounds of the options, so that no run takes a day.
const (
	maxRounds   = 50
	minDuration = 100 * time.Millisecond
	maxDuration = time.Minute
	maxConns    = 512
)

// options are the command line.
type options struct {
	Rounds      int
	Duration    time.Duration // of each measurement
	Warmup      time.Duration // before each measurement
	Connections []int
	Copies      int // at once, of an event that is being handled
	stores      []string
	out         string // folder of the results
	data        string // folder of the stores' files
	handrail    string // program; "" builds it
	record      bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var connections, stores string
	fs := flag.NewFlagSet("webhooks", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.Rounds, "rounds", 5, "how often each store is measured")
	fs.DurationVar(&o.Duration, "duration", 3*time.Second, "of each measurement")
	fs.DurationVar(&o.Warmup, "warmup", time.Second, "load before each measurement")
	fs.StringVar(&connections, "connections", "1,8,64", "`list` of numbers of connections")
	fs.IntVar(&o.Copies, "copies", 200, "copies at once of an event that is being handled")
	fs.StringVar(&stores, "stores", "", "`list` of what to measure (default all): "+strings.Join(names(allSubjects()), ","))
	fs.StringVar(&o.out, "out", "", "`folder` of the results (default bench/out)")
	fs.StringVar(&o.data, "data", "", "`folder` on the disk that the stores write to (default the one for temporary files)")
	fs.StringVar(&o.handrail, "handrail", "", "`program` to measure (default: the sidecar is built)")
	fs.BoolVar(&o.record, "record", false, "put the result into bench/webhooks/README.md")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	if stores != "" {
		o.stores = strings.Split(stores, ",")
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
	if o.Duration < minDuration || o.Duration > maxDuration {
		errs = append(errs, fmt.Errorf("-duration must be from %v to %v", minDuration, maxDuration))
	}
	if o.Warmup < 0 || o.Warmup > maxDuration {
		errs = append(errs, fmt.Errorf("-warmup must be up to %v", maxDuration))
	}
	if o.Copies < 2 || o.Copies > maxConns {
		errs = append(errs, fmt.Errorf("-copies must be from 2 to %d", maxConns))
	}
	for _, name := range o.stores {
		if known := names(allSubjects()); !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("-stores: %q is none of %s", name, strings.Join(known, ", ")))
		}
	}
	return errors.Join(errs...)
}
