package main

import (
	"fmt"

	"github.com/handrail-go/handrail/bench/measure"
)

// A goal is what the sidecar shall reach, measured in one run.
type goal struct {
	what  string
	of    func(all samples, conns int) measure.Spread
	limit float64
	least bool // limit is the least, not the most
	conns int  // 0: at every number of connections
	form  string
}

func goals() []goal {
	against := func(peer, reference string, m metric) func(samples, int) measure.Spread {
		return func(all samples, conns int) measure.Spread { return all.ratio(peer, reference, conns, m) }
	}
	plain := func(peer string, m metric) func(samples, int) measure.Spread {
		return func(all samples, conns int) measure.Spread { return all.spread(peer, conns, m) }
	}
	more := func(all samples, conns int) measure.Spread {
		return all.paired(limit, bare, conns, allocs, func(a, b float64) float64 { return a - b })
	}
	return []goal{
		{what: "requests/s: " + bare + " ÷ " + nginx, of: against(bare, nginx, perSecond), limit: 0.95, least: true, form: "%.2f"},
		{what: "CPU: " + bare + " ÷ " + nginx, of: against(bare, nginx, cpu), limit: 1.35, form: "%.2f"},
		{what: "CPU without Redis: " + safe + " ÷ " + bare, of: against(safe, bare, cpu), limit: 1.35, form: "%.2f"},
		{what: "requests/s: " + bare + " ÷ " + caddy, of: against(bare, caddy, perSecond), limit: 2, least: true, form: "%.2f"},
		{what: "requests/s: " + bare + " ÷ " + tuned, of: against(bare, tuned, perSecond), limit: 1.5, least: true, form: "%.2f"},
		{what: "requests/s: " + denied + " ÷ " + deny, of: against(denied, deny, perSecond), limit: 0.9, least: true, form: "%.2f"},
		{what: "allocations a request: " + bare, of: plain(bare, allocs), limit: 30, form: "%.1f"},
		{what: "allocations a request: " + limit + " − " + bare, of: more, limit: 5, form: "%.1f"},
		{what: "idle MiB: " + bare, of: plain(bare, idle), limit: 20, form: "%.1f"},
		{what: "idle MiB: " + safe, of: plain(safe, idle), limit: 20, form: "%.1f"},
		{what: "peak MiB: " + bare, of: plain(bare, peak), limit: 60, conns: 128, form: "%.1f"},
		{what: "peak MiB: " + safe, of: plain(safe, peak), limit: 60, conns: 128, form: "%.1f"},
	}
}

// verdict is the goal's value at so many connections, and whether it is
// reached; "" where it was not measured.
func (g goal) verdict(all samples, conns int) string {
	if g.conns != 0 && g.conns != conns {
		return ""
	}
	s := g.of(all, conns)
	if s.Count == 0 {
		return ""
	}
	word := "no"
	if g.least && s.Median >= g.limit || !g.least && s.Median <= g.limit {
		word = "yes"
	}
	return word + ": " + s.Text(g.form)
}

func (g goal) bound() string {
	if g.least {
		return fmt.Sprintf("≥ %g", g.limit)
	}
	return fmt.Sprintf("≤ %g", g.limit)
}
