package flags_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func TestNewNeedsASourceThatCanBeRead(t *testing.T) {
	_, err := flags.New(t.Context(), flags.Config{})
	var config *flags.ConfigError
	if !errors.As(err, &config) || config.Field != "Source" {
		t.Errorf("no source: %v", err)
	}
	_, err = flags.New(t.Context(), flags.Config{Source: flags.File(filepath.Join(t.TempDir(), "none.yaml"))})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	_, err = flags.New(t.Context(), flags.Config{Source: flags.File(t.TempDir())})
	if err == nil {
		t.Error("a directory: no error")
	}
	_, err = flags.New(t.Context(), flags.Config{Source: flags.Static("flags.yaml", []byte("a: {on: 1}"))})
	var definition *flags.DefinitionError
	if !errors.As(err, &definition) || definition.Line != 1 || definition.Column != 5 {
		t.Errorf("bad definitions: %v", err)
	}
}

func TestReloadKeepsTheLastGoodDefinitions(t *testing.T) {
	s := newSource("{a: {rolloutPercentage: 100}, b: {rolloutPercentage: 100}}")
	var events []flags.Event
	c := s.client(t, flags.Config{OnEvent: func(e flags.Event) { events = append(events, e) }})
	first := c.Set()
	gone := errors.New("gone")

	steps := []struct {
		name    string
		deliver func()
		wantErr error // nil: none; errAny: some
		same    bool  // the first set still answers
	}{
		{"known content", func() { s.deliver(t, s.first) }, nil, true},
		{"syntax error", func() { s.deliver(t, "{a: {rolloutPercentage: 100}") }, errAny, true},
		{"the same again", func() { s.deliver(t, "{a: {rolloutPercentage: 100}") }, errAny, true},
		{"empty", func() { s.deliver(t, "") }, errAny, true},
		{"one flag of two is wrong", func() { s.deliver(t, "{a: {rolloutPercentage: 0}, b: {rolloutPercentage: 101}}") }, errAny, true},
		{"every flag removed", func() { s.deliver(t, "flags: {}") }, flags.ErrAllRemoved, true},
		{"unreachable", func() { s.fail(t, gone) }, gone, true},
		{"still unreachable", func() { s.fail(t, gone) }, gone, true},
		{"known content again", func() { s.deliver(t, s.first) }, nil, false},
		{"new content", func() {
			s.deliver(t, "{a: {rolloutPercentage: 0}, c: {rolloutPercentage: 0}, d: {rolloutPercentage: 0}}")
		}, nil, false},
	}
	for _, step := range steps {
		step.deliver()
		switch err := c.Err(); {
		case step.wantErr == nil && err != nil, step.wantErr != nil && err == nil:
			t.Errorf("%s: Err is %v", step.name, err)
		case step.wantErr != nil && !errors.Is(step.wantErr, errAny) && !errors.Is(err, step.wantErr):
			t.Errorf("%s: Err is %v", step.name, err)
		}
		if step.same && c.Set().Version() != first.Version() {
			t.Errorf("%s: other definitions answer", step.name)
		}
	}
	if c.Enabled("a", "") || c.Set().Len() != 3 {
		t.Error("the new definitions do not answer")
	}

	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %d +%d ~%d -%d %t", e.Kind, e.Flags, e.Added, e.Changed, e.Removed, e.Err != nil))
	}
	want := []string{
		"loaded 2 +2 ~0 -0 false",
		"rejected 2 +0 ~0 -0 true", // syntax error
		"rejected 2 +0 ~0 -0 true", // empty
		"rejected 2 +0 ~0 -0 true", // one flag of two
		"rejected 2 +0 ~0 -0 true", // every flag removed
		"unreachable 2 +0 ~0 -0 true",
		"loaded 2 +0 ~0 -0 false",
		"loaded 3 +2 ~1 -1 false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

var errAny = errors.New("any")

func TestRunRefusesToRunTwice(t *testing.T) {
	s := newSource("a: {rolloutPercentage: 1}")
	c := s.client(t, flags.Config{})
	s.deliver(t, "a: {rolloutPercentage: 2}") // the first Run is at work
	if err := c.Run(t.Context()); !errors.Is(err, flags.ErrRunning) {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	c := client(t, "a: {rolloutPercentage: 1}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := c.Run(ctx); err != nil {
			t.Errorf("got %v", err)
		}
	}
}

// Each version holds both flags or neither at 100 %, so that a mixture shows.
func TestReloadUnderLoadShowsNoMixture(t *testing.T) {
	versions := []string{
		"{a: {rolloutPercentage: 0, description: off}, b: {rolloutPercentage: 0, description: off}}",
		"{a: {rolloutPercentage: 100, description: on}, b: {rolloutPercentage: 100, description: on}}",
	}
	s := newSource(versions[0])
	c := s.client(t, flags.Config{OnEvent: func(flags.Event) {}, OnEvaluation: func(flags.Decision) {}})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := c.For("alice")
				if e.Enabled("a") != e.Enabled("b") {
					t.Error("one evaluator, two versions")
				}
				if all := c.EvaluateAll("alice"); len(all) != 2 || all[0].On != all[1].On {
					t.Errorf("mixed: %+v", all)
				}
				if d := c.Evaluate("a", "alice"); d.ErrorCode != "" {
					t.Errorf("a is gone: %+v", d)
				}
				_ = c.Err()
			}
		})
	}
	for i := range 500 {
		switch i % 5 {
		case 3:
			s.deliver(t, "{a: {rolloutPercentage: 1")
		case 4:
			s.fail(t, errAny)
		default:
			s.deliver(t, versions[i%2])
		}
	}
	close(stop)
	readers.Wait()
}
