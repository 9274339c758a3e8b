package flags_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// tortured is how many flags are in each version of a file. They stand in braces,
// so that no part of a file is a good one.
const tortured = 200

// generation is a file whose flags all carry the number n.
func generation(n int) string {
	var b strings.Builder
	b.WriteString("{\n")
	for i := range tortured {
		fmt.Fprintf(&b, "  flag-%03d: {rolloutPercentage: %d, metadata: {n: %d}},\n", i, n%101, n)
	}
	b.WriteString("}\n")
	return b.String()
}

// stands reports whether the decisions are those of one generation, and all of
// them; it returns its number.
func stands(all []flags.Decision) (int64, error) {
	if len(all) != tortured {
		return 0, fmt.Errorf("%d flags, want %d", len(all), tortured)
	}
	n, ok := all[0].Metadata["n"].(int64)
	for _, d := range all {
		if d.Metadata["n"] != n || !ok || d.ErrorCode != "" {
			return 0, fmt.Errorf("a mixture: %+v beside %+v", d, all[0])
		}
	}
	return n, nil
}

// torment evaluates all flags without a pause until ctx ends.
func torment(ctx context.Context, t *testing.T, c *flags.Client, evaluations *atomic.Int64) {
	var buffer []flags.Decision
	for ctx.Err() == nil {
		buffer = c.For("alice").AppendAll(buffer[:0])
		if _, err := stands(buffer); err != nil {
			t.Error(err)
			return
		}
		evaluations.Add(1)
	}
}

// plainFile and configMap are the two shapes in which a file is given. Each
// returns how a new generation is put in place, whole.
func plainFile(t *testing.T, dir string) (path string, put func(text string)) {
	path = filepath.Join(dir, "flags.yaml")
	return path, func(text string) {
		write(t, path+".new", text)
		must(t, os.Rename(path+".new", path))
	}
}

func configMap(t *testing.T, dir string) (path string, put func(text string)) {
	path = filepath.Join(dir, "flags.yaml")
	count := 0
	return path, func(text string) {
		count++
		if target, err := os.Readlink(path); err != nil || target != "..data/flags.yaml" { // mistreated
			_ = os.Remove(path)
			must(t, os.Symlink("..data/flags.yaml", path))
		}
		old, _ := os.Readlink(filepath.Join(dir, "..data"))
		next := fmt.Sprintf("..%d", count)
		must(t, os.Mkdir(filepath.Join(dir, next), 0o700))
		write(t, filepath.Join(dir, next, "flags.yaml"), text)
		must(t, os.Symlink(next, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		if old != "" {
			must(t, os.RemoveAll(filepath.Join(dir, old)))
		}
	}
}

// mistreat does something bad to the file.
func mistreat(path, text string) {
	switch rand.IntN(6) {
	case 0: // in place, perhaps longer than what was there
		_ = os.WriteFile(path, []byte(text), 0o600)
	case 1:
		_ = os.WriteFile(path, []byte(text[:rand.IntN(len(text)-2)]), 0o600)
	case 2:
		_ = os.Truncate(path, int64(rand.IntN(len(text)-2)))
	case 3:
		_ = os.Truncate(path, 0)
	case 4:
		_ = os.Remove(path)
	case 5: // a mistake in the middle
		_ = os.WriteFile(path, []byte(strings.Replace(text, "metadata", "mettadata", 1)), 0o600)
	}
}

// Ten changes a second, most of them bad, while goroutines evaluate all flags
// without a pause: each evaluation is of one generation, whole. For a few seconds,
// or as long as HANDRAIL_FAULTS_FLAGS says, as "5m".
func TestFileTortureUnderLoad(t *testing.T) {
	for name, shape := range map[string]func(*testing.T, string) (string, func(string)){"a file": plainFile, "a ConfigMap": configMap} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, put := shape(t, t.TempDir())
			put(generation(0))
			events := make(chan flags.Event, 1000)
			c, err := flags.New(t.Context(), flags.Config{
				Source: flags.File(path), Snapshot: filepath.Join(t.TempDir(), "snapshot"), OnObeyed: func(time.Duration) {},
				OnEvent: func(ev flags.Event) {
					select {
					case events <- ev:
					default:
						t.Error("nobody listens")
					}
				},
			})
			must(t, err)
			run(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			var evaluations atomic.Int64
			var evaluators sync.WaitGroup
			for range 2 {
				evaluators.Go(func() { torment(ctx, t, c, &evaluations) })
			}
			defer evaluators.Wait()
			defer cancel()
			changes := torture(t, c, path, put, events)
			t.Logf("%d changes, %d evaluations of %d flags", changes, evaluations.Load(), tortured)
		})
	}
}

// torture returns how many changes it made.
func torture(t *testing.T, c *flags.Client, path string, put func(string), events <-chan flags.Event) int {
	t.Helper()
	end := time.Now().Add(tortureFor(t))
	n := 0
	for {
		for range 10 {
			n++
			mistreat(path, generation(n))
			time.Sleep(100 * time.Millisecond)
		}
		// A mistake that stays is told with its place.
		n++
		put(strings.Replace(generation(n), "flag-007: {roll", "flag-007: {Roll", 1))
		awaitEvent(t, events, "the mistake", func(ev flags.Event) bool {
			d, ok := errors.AsType[*flags.DefinitionError](ev.Err)
			return ev.Kind == flags.EventRejected && ok && d.File == path && d.Line == 9 && d.Column == 14
		})
		if _, err := stands(c.EvaluateAll("alice")); err != nil {
			t.Error(err)
		}
		// And what is whole again counts.
		n++
		put(generation(n))
		awaitEvent(t, events, "the last generation", func(ev flags.Event) bool {
			return ev.Kind == flags.EventLoaded && ev.Version == flags.VersionOf([]byte(generation(n)))
		})
		if got, err := stands(c.EvaluateAll("alice")); err != nil || got != int64(n) || c.Err() != nil {
			t.Errorf("generation %d, want %d; %v, Err %v", got, n, err, c.Err())
		}
		if time.Now().After(end) || t.Failed() {
			return n
		}
	}
}

func tortureFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("HANDRAIL_FAULTS_FLAGS")
	if text == "" {
		return time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

func awaitEvent(t *testing.T, events <-chan flags.Event, what string, is func(flags.Event) bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case ev := <-events:
			if is(ev) {
				return
			}
		case <-deadline:
			t.Fatalf("%s was not told", what)
		}
	}
}
