package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Main is what a main function does: it ends with the code that run returns.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	// Children are told when the thread that started them ends, which must not
	// be before this program does.
	runtime.LockOSThread()
	// SIGPIPE as well: a reader of the output that is gone is no reason to leave
	// servers and files behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends this program at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(code) //nolint:forbidigo // main is where the process may end
}

// Connections reads a list of numbers of connections, as in "1,8,64", each from
// 1 to most. Every one that is not is told at once.
func Connections(list string, most int) ([]int, error) {
	var out []int
	var errs []error
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > most {
			errs = append(errs, fmt.Errorf("-connections: %q is not a number from 1 to %d", part, most))
		}
		out = append(out, n)
	}
	return out, errors.Join(errs...)
}
