package flags_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

type counter struct{ atomic.Int64 }

func (c *counter) Inc() { c.Add(1) }

// counters is what a metrics library is: one counter for each set of labels.
type counters struct {
	mu    sync.Mutex
	all   map[string]*counter
	asked int
}

func (c *counters) of(d flags.Decision) flags.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	name := d.Key + " " + d.Variant + " " + string(d.Reason) + string(d.ErrorCode)
	if c.all == nil {
		c.all = map[string]*counter{}
	}
	if c.all[name] == nil {
		c.all[name] = new(counter)
	}
	return c.all[name]
}

func (c *counters) values() map[string]int64 {
	out := map[string]int64{}
	for name, n := range c.all {
		out[name] = n.Load()
	}
	return out
}

func TestEveryDecisionIsCountedOnce(t *testing.T) {
	var n counters
	s := newSource("{a: {rolloutPercentage: 100}, b: {rolloutPercentage: 50, allowList: [alice]}}")
	c := s.client(t, flags.Config{CounterOf: n.of})
	ask := func() {
		c.Enabled("a", "")
		c.Evaluate("b", "")
		c.For("alice").Enabled("b")
		c.For("").Evaluate("x")
		c.EvaluateAll("")
		c.For("").AppendHeader(nil)
	}
	ask()
	want := map[string]int64{
		"a on STATIC": 3, "b  ERRORTARGETING_KEY_MISSING": 3, "b on TARGETING_MATCH": 1, "x  ERRORFLAG_NOT_FOUND": 1,
	}
	if diff := cmp.Diff(want, n.values()); diff != "" {
		t.Error(diff)
	}
	if n.asked != len(want) {
		t.Errorf("asked for %d counters, want %d", n.asked, len(want))
	}
	s.deliver(t, "{a: {rolloutPercentage: 100}, b: {rolloutPercentage: 50, allowList: [alice]}, c: {rolloutPercentage: 0}}")
	ask()
	want = map[string]int64{
		"a on STATIC": 6, "b  ERRORTARGETING_KEY_MISSING": 6, "b on TARGETING_MATCH": 2, "c off STATIC": 2, "x  ERRORFLAG_NOT_FOUND": 2,
	}
	if diff := cmp.Diff(want, n.values()); diff != "" {
		t.Errorf("after a reload: %s", diff)
	}
}

func TestConcurrentDecisionsAreAllCounted(t *testing.T) {
	var n counters
	s := newSource("a: {rolloutPercentage: 100}")
	c := s.client(t, flags.Config{CounterOf: n.of})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Enabled("a", "")
			}
		})
	}
	wg.Wait()
	if got := n.values()["a on STATIC"]; got != 8000 {
		t.Errorf("%d counted of 8000", got)
	}
}

func BenchmarkCounting(b *testing.B) {
	const definitions = "a: {rolloutPercentage: 25}\nb: {rolloutPercentage: 50}\nc: {rolloutPercentage: 100}\nd: {rolloutPercentage: 0}\ne: {rolloutPercentage: 75}\n"
	var n counters
	for _, bb := range []struct {
		name string
		cfg  flags.Config
	}{
		{"nobody", flags.Config{}},
		{"OnEvaluation", flags.Config{OnEvaluation: func(d flags.Decision) { n.of(d).Inc() }}},
		{"CounterOf", flags.Config{CounterOf: n.of}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			bb.cfg.Source = flags.Static("flags.yaml", []byte(definitions))
			c, err := flags.New(b.Context(), bb.cfg)
			if err != nil {
				b.Fatal(err)
			}
			e, buffer := c.For(userID), make([]byte, 0, flags.MaxHeaderBytes)
			b.ReportAllocs()
			for b.Loop() {
				e.AppendHeader(buffer)
			}
		})
	}
}
