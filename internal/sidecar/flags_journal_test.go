package sidecar_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

const (
	fifty  = "flags: {a: {rolloutPercentage: 50}}\n"
	off    = "flags: {a: {rolloutPercentage: 50, enabled: false}}\n" // what turnOff makes of it
	ninety = "flags: {a: {rolloutPercentage: 90}}\n"

	turnOff = `{"enabled": false}`
)

// A flakySource keeps definitions, and may be away.
type flakySource struct {
	mu      sync.Mutex
	data    string
	away    bool
	write   func(data string) error // under mu; nil: it is kept
	changed chan struct{}           // Watch looks
}

// newFlakySource has fifty.
func newFlakySource() *flakySource {
	return &flakySource{data: fifty, changed: make(chan struct{}, 1)}
}

func (s *flakySource) Load(context.Context) (flags.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := flags.Document{Name: "there"}
	if s.away {
		return doc, errors.New("connection refused")
	}
	doc.Data = []byte(s.data)
	return doc, nil
}

func (s *flakySource) Watch(ctx context.Context, update func(flags.Document, error)) error {
	for {
		select {
		case <-s.changed:
			update(s.Load(ctx))
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *flakySource) Write(_ context.Context, _ string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.write != nil {
		return s.write(string(data))
	}
	s.data = string(data)
	return nil
}

// becomes has it hold data, or be away, which whoever watches notices or not.
func (s *flakySource) becomes(data string, away, noticed bool) {
	s.mu.Lock()
	s.data, s.away = data, away
	s.mu.Unlock()
	if noticed {
		s.changed <- struct{}{}
	}
	synctest.Wait()
}

// office is that of a sidecar which begins now, in a bubble, and what ends it.
func office(t *testing.T, dir string, s *flakySource) (o *sidecar.FlagOffice, end func()) {
	t.Helper()
	var client *flags.Client
	client, err := flags.New(t.Context(), flags.Config{
		Source: s, Snapshot: filepath.Join(dir, "snapshot"), AllowUnready: true,
		OnEvent: func(e flags.Event) {
			if e.Kind == flags.EventLoaded && o != nil {
				o.Loaded()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o = sidecar.NewFlagOffice(slog.New(slog.DiscardHandler), dir, client, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { o.Follow(ctx) })
	wg.Go(func() { _ = client.Run(ctx) })
	synctest.Wait()
	return o, func() {
		cancel()
		wg.Wait()
	}
}

// told is what the log in dir tells, the oldest first, such as "change ann".
func told(t *testing.T, dir string) (lines []string) {
	t.Helper()
	entries, err := flagaudit.New(dir, 0).Read(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		line := e.What
		if e.Of != 0 && e.Of != 1 {
			t.Errorf("%+v is about another line", e)
		}
		if e.Actor != "" {
			line += " " + e.Actor
		}
		lines = append(lines, line)
	}
	return lines
}

// What became of a change whose answer was lost is told as soon as the source can
// be read, whoever reads it first.
func TestTheAuditLogTellsWhatBecameOfAChange(t *testing.T) {
	lost := func(s *flakySource, applied bool) func(string) error {
		return func(data string) error {
			if applied {
				s.data = data
			}
			s.away = true
			return errors.New("i/o timeout")
		}
	}
	unknown := []string{"change ann", "unknown ann"}
	for _, tt := range []struct {
		rule    string
		applied bool
		found   string // in the source afterwards
		want    []string
	}{
		{"made", true, off, []string{"change ann", "unknown ann", "made ann"}},
		{"not made", false, fifty, []string{"change ann", "unknown ann", "not_made ann"}},
		{"changed by others", true, ninety, []string{"change ann", "unknown ann", "seen"}},
	} {
		for how, back := range map[string]func(*testing.T, *sidecar.FlagOffice, *flakySource){
			"noticed": func(_ *testing.T, _ *sidecar.FlagOffice, s *flakySource) {
				s.becomes("", true, true)
				s.becomes(tt.found, false, true)
			},
			"after a minute": func(_ *testing.T, _ *sidecar.FlagOffice, s *flakySource) {
				s.becomes(tt.found, false, false)
				time.Sleep(61 * time.Second)
				synctest.Wait()
				if tt.found != fifty {
					s.becomes(tt.found, false, true)
				}
			},
			"by the next change": func(t *testing.T, o *sidecar.FlagOffice, s *flakySource) {
				t.Helper()
				s.mu.Lock()
				s.write = nil
				s.mu.Unlock()
				s.becomes(tt.found, false, false)
				if status, answer := o.Patch("a", `{"owner": "x"}`); status != 200 {
					t.Errorf("%d %s", status, answer)
				}
			},
		} {
			t.Run(tt.rule+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir, s := t.TempDir(), newFlakySource()
					o, end := office(t, dir, s)
					defer end()
					s.write = lost(s, tt.applied)
					if status, answer := o.Patch("a", turnOff); status != 503 || !strings.Contains(answer, "outcome_unknown") {
						t.Fatalf("%d %s", status, answer)
					}
					synctest.Wait()
					if got := told(t, dir); !slices.Equal(got, unknown) {
						t.Errorf("at first %q", got)
					}
					back(t, o, s)
					want := tt.want
					if how == "by the next change" {
						want = append(slices.Clone(want), "change ann")
					}
					if got := told(t, dir); !slices.Equal(got, want) {
						t.Errorf("%q, not %q", got, want)
					}
				})
			})
		}
		t.Run(tt.rule+", by the next start", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, s := t.TempDir(), newFlakySource()
				o, end := office(t, dir, s)
				s.write = lost(s, tt.applied)
				_, _ = o.Patch("a", turnOff)
				end()
				_, end = office(t, dir, s) // from the snapshot
				if got := told(t, dir); !slices.Equal(got, unknown) {
					t.Errorf("while nobody can know %q", got)
				}
				s.becomes(tt.found, false, true)
				end()
				if got := told(t, dir); !slices.Equal(got, tt.want) {
					t.Errorf("%q, not %q", got, tt.want)
				}
			})
		})
	}
}

// A change was made, and a crash came before the snapshot of it: the snapshot does
// not show that it was not.
func TestASnapshotDoesNotTakeBackAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, s := t.TempDir(), newFlakySource()
		_, end := office(t, dir, s)
		end() // which keeps the snapshot
		before, after := flags.VersionOf([]byte(fifty)), flags.VersionOf([]byte(off))
		if _, err := flagaudit.New(dir, 0).Append(t.Context(), flagaudit.Entry{
			What: flagaudit.Change, Actor: "ann", ConfigurationBefore: before, ConfigurationAfter: after,
		}); err != nil {
			t.Fatal(err)
		}
		s.becomes(off, true, false)
		_, end = office(t, dir, s)
		defer end()
		time.Sleep(2 * time.Minute)
		s.becomes(off, false, true)
		if got := told(t, dir); !slices.Equal(got, []string{"change ann"}) {
			t.Errorf("%q", got)
		}
	})
}

// A change that was made is not found as somebody else's, nor the way back to
// what is in force still.
func TestAChangeThatIsNotInForceYetIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, s := t.TempDir(), newFlakySource()
		o, end := office(t, dir, s)
		defer end()
		s.write = func(data string) error {
			s.data, s.away = data, true // it cannot be loaded
			return nil
		}
		if status, answer := o.Patch("a", turnOff); status != 200 || !strings.Contains(answer, `"in_force": false`) {
			t.Errorf("%d %s", status, answer)
		}
		o.Loaded()
		synctest.Wait()
		s.becomes(off, false, true)
		if got := told(t, dir); !slices.Equal(got, []string{"change ann"}) {
			t.Errorf("%q", got)
		}
	})
}

// Another process that was stopped while it wrote holds up neither changes, for
// longer than they wait, nor the end; and what could not be recorded is recorded
// within a minute of its being gone.
func TestAnAuditLogThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, s := t.TempDir(), newFlakySource()
		o, end := office(t, dir, s)
		other, err := os.OpenFile(filepath.Join(dir, flagaudit.Name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		s.becomes(ninety, false, true)
		if status, answer := o.Patch("a", turnOff); status != 503 {
			t.Errorf("%d %s", status, answer)
		}
		if got := told(t, dir); len(got) != 0 {
			t.Errorf("%q", got)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := told(t, dir); !slices.Equal(got, []string{"seen"}) {
			t.Errorf("%q", got)
		}
		other, err = os.Open(filepath.Join(dir, flagaudit.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		s.becomes(fifty, false, true)
		ends := time.Now()
		end()
		if took := time.Since(ends); took > time.Second {
			t.Errorf("it ends after %v", took)
		}
	})
}
