package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/bench/measure"
)

// markdown is the result for people.
func (r *result) markdown() string {
	var b strings.Builder
	r.conditions(&b)
	for _, conns := range r.Options.Connections {
		fmt.Fprintf(&b, "\n### %d connections\n\n", conns)
		r.measured(&b, conns)
	}
	if slices.ContainsFunc(r.Samples, func(s sample) bool { return r.sidecars[s.Peer] }) {
		r.ratios(&b)
		r.reached(&b)
	}
	r.notes(&b)
	return b.String()
}

func (r *result) conditions(b *strings.Builder) {
	o := r.Options
	r.Setting.Write(b)
	fmt.Fprintf(b, "Rounds: %d, each measurement %s after %s of warm-up, wrk with %d threads. Numbers are medians, in parentheses the lowest and the highest.\n",
		o.Rounds, o.Duration, o.Warmup, o.Threads)
}

// measured is the table of what was measured at so many connections.
func (r *result) measured(b *strings.Builder, conns int) {
	columns := []metric{perSecond, p50, p99, cpu, idle, peak, allocs, redisCPU, appCPU, clientCPU, elsewhere}
	cells := []string{"peer"}
	for _, m := range columns {
		cells = append(cells, m.name)
	}
	measure.Head(b, cells...)
	for _, name := range r.order {
		if len(r.Samples.of(name, conns)) == 0 {
			continue
		}
		cells := []string{name}
		for _, m := range columns {
			s := r.Samples.spread(name, conns, m)
			if m.some && s.High == 0 {
				s = measure.Spread{}
			}
			cells = append(cells, s.Text(m.format))
		}
		measure.Row(b, cells...)
	}
}

// ratios is the table of each sidecar that answers from the app against the
// peers that do.
func (r *result) ratios(b *strings.Builder) {
	references := slices.DeleteFunc([]string{nginx, caddy, tuned}, func(name string) bool { return !slices.Contains(r.order, name) })
	if len(references) == 0 {
		return
	}
	b.WriteString("\n### Ratios\n\nEach is the median of the ratios of single rounds.\n\n")
	cells := []string{"", ""}
	for _, conns := range r.Options.Connections {
		for _, reference := range references {
			cells = append(cells, fmt.Sprintf("÷ %s, %d", reference, conns))
		}
	}
	measure.Head(b, cells...)
	for _, name := range r.order {
		if !r.sidecars[name] || r.Missing[name] != "" {
			continue
		}
		for _, m := range []metric{perSecond, p50, p99, cpu, peak} {
			cells := []string{name, m.name}
			for _, conns := range r.Options.Connections {
				for _, reference := range references {
					cells = append(cells, r.Samples.ratio(name, reference, conns, m).Text("%.2f"))
				}
			}
			measure.Row(b, cells...)
		}
	}
}

// reached is the table of goals.
func (r *result) reached(b *strings.Builder) {
	b.WriteString("\n### Goals\n\n")
	cells := []string{"goal", "bound"}
	for _, conns := range r.Options.Connections {
		cells = append(cells, fmt.Sprintf("%d connections", conns))
	}
	measure.Head(b, cells...)
	for _, g := range goals() {
		cells, measured := []string{g.what, g.bound()}, false
		for _, conns := range r.Options.Connections {
			v := g.verdict(r.Samples, conns)
			cells, measured = append(cells, v), measured || v != ""
		}
		if measured {
			measure.Row(b, cells...)
		}
	}
}

// quiet is the share of the machine that others may use without being told of.
const quiet = 0.05

func (r *result) notes(b *strings.Builder) {
	b.WriteString("\n### Peers\n\n")
	for _, name := range r.order {
		if r.Missing[name] == "" {
			fmt.Fprintf(b, "- %s: %s\n", name, r.Peers[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		fmt.Fprintf(b, "- not measured: %s: %s\n", name, r.Missing[name])
	}
	disturbed := 0
	for _, s := range r.Samples {
		if s.Elsewhere > quiet {
			disturbed++
		}
		if s.Failure != "" {
			fmt.Fprintf(b, "- does not count: round %d of %s at %d connections: %s\n", s.Round, s.Peer, s.Connections, s.Failure)
		}
	}
	if disturbed > 0 {
		fmt.Fprintf(b, "- during %d of %d measurements something else used more than %.0f%% of the machine\n", disturbed, len(r.Samples), 100*quiet)
	}
}
