package main

import (
	"cmp"
	"slices"

	"github.com/handrail-go/handrail/bench/measure"
)

// A metric is one column of the result.
type metric struct {
	name   string
	format string
	value  func(sample) float64
	some   bool // of some peers; 0 for all others
}

var (
	perSecond = metric{"requests/s", "%.0f", func(s sample) float64 { return s.PerSecond }, false}
	p50       = metric{"p50 ms", "%.2f", func(s sample) float64 { return s.P50 }, false}
	p99       = metric{"p99 ms", "%.2f", func(s sample) float64 { return s.P99 }, false}
	cpu       = metric{"CPU µs", "%.1f", func(s sample) float64 { return s.CPU }, false}
	peak      = metric{"peak MiB", "%.1f", func(s sample) float64 { return s.Peak }, false}
	idle      = metric{"idle MiB", "%.1f", func(s sample) float64 { return s.Idle }, false}
	allocs    = metric{"allocations", "%.1f", func(s sample) float64 { return s.Allocations }, true}
	redisCPU  = metric{"Redis µs", "%.1f", func(s sample) float64 { return s.RedisCPU }, true}
	appCPU    = metric{"app µs", "%.1f", func(s sample) float64 { return s.AppCPU }, false}
	clientCPU = metric{"wrk µs", "%.1f", func(s sample) float64 { return s.ClientCPU }, false}
	elsewhere = metric{"elsewhere %", "%.0f", func(s sample) float64 { return 100 * s.Elsewhere }, false}
)

// samples are the measurements that count.
type samples []sample

func (all samples) of(peer string, conns int) samples {
	var out samples
	for _, s := range all {
		if s.Peer == peer && s.Connections == conns && s.Failure == "" {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b sample) int { return cmp.Compare(a.Round, b.Round) })
	return out
}

func (all samples) spread(peer string, conns int, m metric) measure.Spread {
	var values []float64
	for _, s := range all.of(peer, conns) {
		values = append(values, m.value(s))
	}
	return measure.SpreadOf(values)
}

// ratio is of the two peers' values in each round in which both count. What
// slows the whole machine for a while slows both, and drops out.
func (all samples) ratio(peer, reference string, conns int, m metric) measure.Spread {
	return all.paired(peer, reference, conns, m, func(a, b float64) float64 { return a / b })
}

func (all samples) paired(peer, reference string, conns int, m metric, f func(a, b float64) float64) measure.Spread {
	var values []float64
	others := all.of(reference, conns)
	for _, s := range all.of(peer, conns) {
		i := slices.IndexFunc(others, func(o sample) bool { return o.Round == s.Round })
		if i >= 0 && m.value(others[i]) > 0 {
			values = append(values, f(m.value(s), m.value(others[i])))
		}
	}
	return measure.SpreadOf(values)
}
