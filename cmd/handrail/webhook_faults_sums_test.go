package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// faultSums are the sums of a campaign.
type faultSums struct {
	mu     sync.Mutex
	failed int
	setups map[string]map[string]int // by setup, then by what was counted
	took   map[string]time.Duration
}

func newFaultSums() *faultSums {
	return &faultSums{setups: map[string]map[string]int{}, took: map[string]time.Duration{}}
}

func (s *faultSums) add(r *faultRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	setup := r.setup.String()
	if s.setups[setup] == nil {
		s.setups[setup] = map[string]int{}
	}
	s.took[setup] += r.now()
	r.counts["runs"]++
	if r.t.Failed() {
		s.failed++
	}
	for what, n := range r.counts {
		s.setups[setup][what] += n
	}
}

// String is two tables as a page of results has them: what there was of each
// setup, and all else that was counted.
func (s *faultSums) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	columns := []string{"runs", "events", "sent", "acknowledged", "effects", "calls"}
	var b strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(append([]string{"store, mode"}, append(columns, "calls not needed", "a run takes")...)...)
	row(slices.Repeat([]string{"---"}, len(columns)+3)...)
	all := map[string]int{}
	line := func(name string, counts map[string]int, took time.Duration) {
		cells := []string{name}
		for _, c := range columns {
			cells = append(cells, fmt.Sprint(counts[c]))
		}
		row(append(cells, fmt.Sprint(counts["calls"]-counts["effects"]), (took / time.Duration(counts["runs"])).Round(10*time.Millisecond).String())...)
	}
	var took time.Duration
	for _, setup := range slices.Sorted(maps.Keys(s.setups)) {
		line(setup, s.setups[setup], s.took[setup])
		took += s.took[setup]
		for what, n := range s.setups[setup] {
			all[what] += n
		}
	}
	line("all", all, took)
	b.WriteString("\n")
	row("what", "times")
	row("---", "---")
	for _, what := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(columns, what) {
			row(what, fmt.Sprint(all[what]))
		}
	}
	fmt.Fprintf(&b, "%d runs failed", s.failed)
	return b.String()
}
