package flags_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

// dated is a source that also says when its definitions were written.
type dated struct {
	*source
	written chan time.Time
}

func (s *dated) Watch(ctx context.Context, update func(flags.Document, error)) error {
	return s.source.Watch(ctx, func(doc flags.Document, err error) {
		doc.Written = <-s.written
		update(doc, err)
	})
}

func (s *dated) deliverWritten(t *testing.T, data string, ago time.Duration) {
	t.Helper()
	go func() { s.written <- time.Now().Add(-ago) }()
	s.deliver(t, data)
}

func TestAChangeTellsItsDelayAndItsLastDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dated{newSource(version(0)), make(chan time.Time)}
		var got events
		var obeyed []time.Duration
		c, err := flags.New(t.Context(), flags.Config{
			Source: s, OnEvent: got.add, OnObeyed: func(d time.Duration) { obeyed = append(obeyed, d) },
		})
		must(t, err)
		run(t, c)
		const unknown = -1
		for i, step := range []struct {
			rule          string
			ago           time.Duration // when it was written
			late          time.Duration // when the last decision by the old ones is made
			delay, obeyed time.Duration
		}{
			{"no decision later", 300 * time.Millisecond, 0, 300 * time.Millisecond, 300 * time.Millisecond},
			{"a request under way", 300 * time.Millisecond, 2 * time.Second, 300 * time.Millisecond, 2300 * time.Millisecond},
			{"a clock that is ahead", -time.Hour, 0, 1, 1},
			{"a clock that is ahead, and a request", -time.Hour, time.Second, 1, 1 + time.Second},
			{"a file from the attic", 1000 * time.Hour, time.Second, 0, unknown},
			{"a decision too late to be looked for", 300 * time.Millisecond, 4 * time.Minute, 300 * time.Millisecond, 300 * time.Millisecond},
		} {
			time.Sleep(5 * time.Minute)
			obeyed = nil
			old := c.For("alice")
			old.Enabled("a") // before the change: does not count
			s.deliverWritten(t, version(i+1), step.ago)
			if d := got.last[flags.EventLoaded].Delay; d != step.delay {
				t.Errorf("%s: delay %v, want %v", step.rule, d, step.delay)
			}
			if step.late > 0 {
				time.Sleep(step.late / 2)
				old.Enabled("a")
				time.Sleep(step.late / 2)
				old.Evaluate("b")
			}
			c.Enabled("a", "alice") // by the new ones: does not count
			time.Sleep(time.Minute + time.Second)
			c.Enabled("a", "alice")
			synctest.Wait()
			var want []time.Duration
			if step.obeyed != unknown {
				want = []time.Duration{step.obeyed}
			}
			if diff := cmp.Diff(want, obeyed); diff != "" {
				t.Errorf("%s: obeyed %s", step.rule, diff)
			}
		}
	})
}

func TestAFileTellsWhenItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write(t, path, version(1))
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	must(t, os.Chtimes(path, then, then))
	doc, err := flags.File(path).Load(t.Context())
	if err != nil || !doc.Written.Equal(then) {
		t.Errorf("written %v, %v, want %v", doc.Written, err, then)
	}
}

func TestAskingForTheLastDecisionCostsNoAllocation(t *testing.T) {
	s := newSource(version(1))
	c := s.client(t, flags.Config{OnObeyed: func(time.Duration) {}})
	e := c.For("alice")
	for _, which := range []string{"new", "replaced"} {
		if n := testing.AllocsPerRun(100, func() { e.Enabled("a") }); n != 0 {
			t.Errorf("%s: %v allocations", which, n)
		}
		s.deliver(t, version(2))
	}
}
