package flags_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

// errDown is what a source says that cannot be reached.
var errDown = errors.New("connection refused")

// downable is a source that can be reached or not. It delivers as Source asks:
// what is there at first, and what a test delivers.
type downable struct {
	*source
	name string
	down bool
}

func (s *downable) Load(ctx context.Context) (flags.Document, error) {
	if s.down {
		return flags.Document{Name: s.name}, errDown
	}
	doc, err := s.source.Load(ctx)
	doc.Name = s.name
	return doc, err
}

// events collects kinds of events, and the last of each.
type events struct {
	mu    sync.Mutex
	kinds []string
	last  map[flags.EventKind]flags.Event
}

func (e *events) add(ev flags.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kinds = append(e.kinds, string(ev.Kind))
	if e.last == nil {
		e.last = map[flags.EventKind]flags.Event{}
	}
	e.last[ev.Kind] = ev
}

func (e *events) want(t *testing.T, kinds ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if diff := cmp.Diff(kinds, e.kinds); diff != "" {
		t.Errorf("events: %s", diff)
	}
	e.kinds = nil
}

// keepSnapshot runs a client of flags.yaml until it has kept definitions at path.
func keepSnapshot(t *testing.T, path, definitions string) {
	t.Helper()
	s := &downable{source: newSource(definitions), name: "flags.yaml"}
	c, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: path, OnEvent: func(ev flags.Event) {
		if ev.Kind != flags.EventLoaded {
			t.Errorf("%+v", ev)
		}
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, c.Run(ctx)) // what is left over is written at the end
}

func TestASnapshotAnswersWhileTheSourceIsDownAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.snapshot")
	keepSnapshot(t, path, version(1))
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &downable{source: newSource(""), name: "flags.yaml", down: true}
		var got events
		c, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: path, OnEvent: got.add})
		must(t, err)
		if n := versionOf(t, c.Set()); n != 1 || !c.Ready() || !errors.Is(c.Err(), errDown) {
			t.Errorf("version %d, ready %t, Err %v", n, c.Ready(), c.Err())
		}
		got.want(t, "snapshot")
		if ev := got.last[flags.EventSnapshot]; ev.Flags != 3 || ev.Version != c.Set().Version() || !errors.Is(ev.Err, errDown) || ev.Source != "flags.yaml" {
			t.Errorf("%+v", ev)
		}
		run(t, c)
		s.fail(t, errDown) // the same as at the start
		got.want(t)
		s.deliver(t, version(1)) // the source holds what answers already
		got.want(t, "loaded")
		if c.Err() != nil {
			t.Error(c.Err())
		}
		s.deliver(t, version(2))
		synctest.Wait()
		got.want(t, "loaded")
		doc := readSnapshot(t, path)
		if string(doc.Data) != version(2) || doc.Name != "flags.yaml" {
			t.Errorf("kept %+v", doc)
		}
		s.deliver(t, "a: {") // not a good one
		synctest.Wait()
		if doc := readSnapshot(t, path); string(doc.Data) != version(2) {
			t.Errorf("kept %s", doc.Data)
		}
	})
}

func readSnapshot(t *testing.T, path string) flags.Document {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	doc, err := flags.DecodeSnapshot(data)
	must(t, err)
	return doc
}

// A start with definitions that hold an error is one without definitions.
func TestASnapshotAnswersWhileTheSourceHoldsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.snapshot")
	keepSnapshot(t, path, version(1))
	c, err := flags.New(t.Context(), flags.Config{Source: &downable{source: newSource("a: {on: 1}"), name: "flags.yaml"}, Snapshot: path})
	must(t, err)
	var definition *flags.DefinitionError
	if versionOf(t, c.Set()) != 1 || !errors.As(c.Err(), &definition) {
		t.Errorf("Err %v", c.Err())
	}
}

// A server that answers with nothing after a bad deploy, while pods restart, must
// not turn every flag off and take the way back away.
func TestASnapshotOutlastsASourceWithoutFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot")
	keepSnapshot(t, path, "on: {rolloutPercentage: 100}")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &downable{source: newSource("flags: {}"), name: "flags.yaml"}
	c, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: path})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Enabled("on", "") || !errors.Is(c.Err(), flags.ErrAllRemoved) {
		t.Errorf("on is %t, Err %v", c.Enabled("on", ""), c.Err())
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Errorf("the snapshot is now %s", after)
	}
	first, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: filepath.Join(t.TempDir(), "none")})
	if err != nil || first.Err() != nil || !first.Ready() {
		t.Errorf("a first start without flags: %v", err)
	}
}

func TestASnapshotIsRefusedUnlessItIsTheSourcesAndWhole(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	keepSnapshot(t, good, version(1))
	data, err := os.ReadFile(good)
	must(t, err)
	of := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "snapshot")
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	flipped := slices.Clone(data)
	flipped[len(flipped)-3] ^= 1
	newer := flags.EncodeSnapshot(flags.Document{Name: "flags.yaml", Data: []byte("a: {fromTomorrow: 1}")})
	for _, tc := range []struct{ rule, path, want string }{
		{"of another source", of(flags.EncodeSnapshot(flags.Document{Name: "other.yaml", Data: []byte(version(1))})), "is of another source"},
		{"a changed byte", of(flipped), "is damaged"},
		{"cut", of(data[:len(data)-1]), "is damaged"},
		{"longer", of(append(slices.Clone(data), '\n')), "is damaged"},
		{"empty", of(nil), "is damaged"},
		{"zeros, as after a power cut", of(make([]byte, len(data))), "is damaged"},
		{"definitions that this version does not understand", of(newer), "fromTomorrow"},
		{"a folder", t.TempDir(), "not a regular file"},
		{"none", filepath.Join(dir, "none"), ""},
	} {
		s := &downable{source: newSource(""), name: "flags.yaml", down: true}
		_, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: tc.path})
		if !errors.Is(err, errDown) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.rule, err)
		}
		var got events
		c, err := flags.New(t.Context(), flags.Config{Source: s, Snapshot: tc.path, AllowUnready: true, OnEvent: got.add})
		if err != nil || c.Ready() || !errors.Is(c.Err(), errDown) {
			t.Errorf("%s, unready: %v", tc.rule, err)
		}
		if tc.want == "" {
			got.want(t, "unreachable")
			continue
		}
		got.want(t, "snapshot_failed", "unreachable")
		if text := got.last[flags.EventSnapshotFailed].Err.Error(); !strings.Contains(text, tc.want) || !strings.Contains(text, tc.path) {
			t.Errorf("%s: %s", tc.rule, text)
		}
	}
}

func TestASnapshotThatCannotBeWrittenIsToldOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing")
		path := filepath.Join(dir, "flags.snapshot")
		s := newSource(version(1))
		var got events
		c := s.client(t, flags.Config{Snapshot: path, OnEvent: got.add})
		synctest.Wait()
		got.want(t, "loaded", "snapshot_failed")
		if ev := got.last[flags.EventSnapshotFailed]; ev.Source != path || ev.Flags != 3 || ev.Err == nil {
			t.Errorf("%+v", ev)
		}
		s.deliver(t, version(2))
		synctest.Wait()
		got.want(t, "loaded")
		if versionOf(t, c.Set()) != 2 || c.Err() != nil {
			t.Errorf("Err %v", c.Err())
		}
		must(t, os.Mkdir(dir, 0o700))
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if doc := readSnapshot(t, path); string(doc.Data) != version(2) {
			t.Errorf("kept %s", doc.Data)
		}
	})
}

// Processes that share a snapshot, by mistake or while one takes over from
// another, leave one that is whole.
func TestWritersOfOneSnapshotLeaveAWholeOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.snapshot")
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), ".flags.snapshot.new"), []byte("left over"), 0o600))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 5 {
				keepSnapshot(t, path, version(n))
			}
		})
	}
	for range 50 {
		if data, err := os.ReadFile(path); err == nil {
			if _, err := flags.DecodeSnapshot(data); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
	readSnapshot(t, path)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("handrail-flags-snapshot 1 \n"))
	f.Add(flags.EncodeSnapshot(flags.Document{Name: "flags.yaml", Data: []byte("a: {}"), Written: time.Unix(1795188363, 5)}))
	f.Add(flags.EncodeSnapshot(flags.Document{Name: "a\nb\xff", Data: []byte("\n\n")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// As definitions they come back; as a snapshot they are refused, or the
		// very one that would be written.
		back, err := flags.DecodeSnapshot(flags.EncodeSnapshot(flags.Document{Name: string(data), Data: data}))
		if len(data) < 1000 && (err != nil || !bytes.Equal(back.Data, data)) {
			t.Fatalf("%q, %v", back, err)
		}
		doc, err := flags.DecodeSnapshot(data)
		if err == nil {
			if again, err := flags.DecodeSnapshot(flags.EncodeSnapshot(doc)); err != nil || !bytes.Equal(again.Data, doc.Data) || again.Name != doc.Name {
				t.Fatalf("%q, %v", again, err)
			}
		}
	})
}
