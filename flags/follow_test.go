package flags_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/flags"
)

func TestAnUnreadyClientBecomesReadyForGood(t *testing.T) {
	s := &downable{source: newSource(""), name: "flags.yaml", down: true}
	var got events
	var told []flags.ErrorCode
	c, err := flags.New(t.Context(), flags.Config{
		Source: s, AllowUnready: true, OnEvent: got.add,
		OnEvaluation: func(d flags.Decision) { told = append(told, d.ErrorCode) },
	})
	must(t, err)
	got.want(t, "unreachable")
	notReady := func() {
		t.Helper()
		d := c.Evaluate("a", "alice")
		if c.Ready() || d.On || d.ErrorCode != flags.ErrorProviderNotReady || d.Reason != flags.ReasonError {
			t.Errorf("ready %t, %+v", c.Ready(), d)
		}
		if c.Set().Evaluate("a", "alice").ErrorCode != flags.ErrorProviderNotReady || c.Enabled("a", "alice") {
			t.Error("other ways to ask give another answer")
		}
		if all := c.EvaluateAll("alice"); len(all) != 0 || c.Set().Len() != 0 || c.Set().Version() != "" {
			t.Errorf("%+v", all)
		}
	}
	notReady()
	if len(told) != 2 || told[0] != flags.ErrorProviderNotReady || told[1] != flags.ErrorProviderNotReady {
		t.Errorf("told of %v", told)
	}
	run(t, c)
	s.fail(t, errDown)
	notReady()
	s.deliver(t, "a: {on: 1}")
	notReady()
	got.want(t, "rejected")
	s.deliver(t, version(1))
	got.want(t, "loaded")
	ready := func() {
		t.Helper()
		if !c.Ready() || !c.Enabled("a", "alice") || c.Evaluate("none", "").ErrorCode != flags.ErrorFlagNotFound {
			t.Error("not ready")
		}
	}
	ready()
	if ev := got.last[flags.EventLoaded]; ev.Added != 3 || ev.Delay != 0 {
		t.Errorf("%+v", ev)
	}
	s.fail(t, errDown)
	ready()
}

// No flag at all is a definition like any other, to who had none before.
func TestAnUnreadyClientTakesDefinitionsWithoutFlags(t *testing.T) {
	s := &downable{source: newSource(""), name: "flags.yaml", down: true}
	c, err := flags.New(t.Context(), flags.Config{Source: s, AllowUnready: true})
	must(t, err)
	run(t, c)
	s.deliver(t, "flags: {}")
	if !c.Ready() || c.Err() != nil {
		t.Errorf("ready %t, Err %v", c.Ready(), c.Err())
	}
}

func TestReloadTakesWhatWasWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "flags.yaml")
		write(t, path, version(1))
		c := fileClient(t, path)
		time.Sleep(settled)
		write(t, path, version(2))
		must(t, c.Reload(t.Context(), flags.VersionOf([]byte(version(2)))))
		if n := versionOf(t, c.Set()); n != 2 {
			t.Fatalf("version %d", n)
		}
		// The way back is seen, though the watch never saw the change.
		write(t, path, version(1))
		time.Sleep(2 * settled)
		if n := versionOf(t, c.Set()); n != 1 || c.Err() != nil {
			t.Errorf("version %d, Err %v", n, c.Err())
		}
		// Another version than was written is left to the watch.
		write(t, path, version(3)[:60])
		if err := c.Reload(t.Context(), flags.VersionOf([]byte(version(3)))); !errors.Is(err, flags.ErrConflict) || c.Err() != nil {
			t.Errorf("half a file: %v, Err %v", err, c.Err())
		}
		must(t, os.Remove(path))
		if err := c.Reload(t.Context(), flags.VersionOf([]byte(version(3)))); !errors.Is(err, os.ErrNotExist) || c.Err() != nil {
			t.Errorf("no file: %v, Err %v", err, c.Err())
		}
		bad := "a: {on: 1}"
		write(t, path, bad)
		var definition *flags.DefinitionError
		if err := c.Reload(t.Context(), flags.VersionOf([]byte(bad))); !errors.As(err, &definition) || versionOf(t, c.Set()) != 1 {
			t.Errorf("bad definitions: %v", err)
		}
	})
}

func TestReloadsAndAWatchEndAtTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "flags.yaml")
		write(t, path, version(0))
		c := fileClient(t, path)
		for n := 1; n <= 50; n++ {
			write(t, path+".new", version(n))
			must(t, os.Rename(path+".new", path))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { must(t, c.Reload(t.Context(), flags.VersionOf([]byte(version(n))))) })
			}
			wg.Wait()
			if got := versionOf(t, c.Set()); got != n {
				t.Fatalf("version %d, want %d", got, n)
			}
			time.Sleep(time.Duration(n%13) * 100 * time.Millisecond)
			if got := versionOf(t, c.Set()); got != n {
				t.Fatalf("version %d after a while, want %d", got, n)
			}
		}
	})
}

func TestReloadNeedsNoRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write(t, path, version(1))
	c, err := flags.New(context.Background(), flags.Config{Source: flags.File(path)})
	must(t, err)
	write(t, path, version(2))
	must(t, c.Reload(t.Context(), flags.VersionOf([]byte(version(2)))))
	if n := versionOf(t, c.Set()); n != 2 {
		t.Errorf("version %d", n)
	}
}

// lagging is a Source whose first Watch delivers what the test says after it was
// ended, as one does that was under way with it. Later ones find nothing.
type lagging struct {
	data     atomic.Pointer[string]
	watching chan struct{} // a Watch has begun
	late     chan update
	again    error // what later ones deliver; nil: nothing
}

func (s *lagging) Load(context.Context) (flags.Document, error) {
	return flags.Document{Name: "flags.yaml", Data: []byte(*s.data.Load())}, nil
}

func (s *lagging) Watch(ctx context.Context, tell func(flags.Document, error)) error {
	select {
	case s.watching <- struct{}{}:
	default:
	}
	if s.late == nil {
		if s.again != nil {
			tell(flags.Document{Name: "flags.yaml"}, s.again)
		}
		<-ctx.Done()
		return nil
	}
	<-ctx.Done()
	for u := range s.late {
		tell(flags.Document{Name: "flags.yaml", Data: []byte(u.data)}, u.err)
		close(u.done)
	}
	s.late = nil
	return nil
}

// A kill switch that Reload said is in force stays so, whatever a Watch read
// before it was written.
func TestWhatAWatchReadBeforeAReloadIsNotTaken(t *testing.T) {
	for rule, again := range map[string]error{
		"the source can be read afterwards":    nil,
		"the source cannot be read afterwards": errDown,
	} {
		t.Run(rule, func(t *testing.T) {
			s := &lagging{watching: make(chan struct{}, 1), late: make(chan update), again: again}
			set := func(text string) { s.data.Store(&text) }
			set(version(1))
			var got events
			snapshot := filepath.Join(t.TempDir(), "snapshot")
			c, err := flags.New(t.Context(), flags.Config{Source: s, OnEvent: got.add, Snapshot: snapshot})
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- c.Run(ctx) }()
			<-s.watching
			set(version(3))
			must(t, c.Reload(t.Context(), flags.VersionOf([]byte(version(3)))))
			for _, u := range []update{{data: version(2)}, {err: errors.New("reset")}, {data: version(1)}} {
				u.done = make(chan struct{})
				s.late <- u
				<-u.done
				if n := versionOf(t, c.Set()); n != 3 || c.Err() != nil {
					t.Errorf("version %d, Err %v", n, c.Err())
				}
			}
			close(s.late)
			<-s.watching // Run goes on
			cancel()
			must(t, <-ended)
			if n := versionOf(t, c.Set()); n != 3 {
				t.Errorf("version %d in the end", n)
			}
			data, err := os.ReadFile(snapshot)
			must(t, err)
			if doc, err := flags.DecodeSnapshot(data); err != nil || string(doc.Data) != version(3) {
				t.Errorf("the snapshot holds %q, %v", doc.Data, err)
			}
		})
	}
}
