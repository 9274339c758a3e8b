package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-go/handrail/bench/measure"
)

// A sample is one measurement.
type sample struct {
	Round       int     `json:"round"`
	Subject     string  `json:"subject"`
	Question    string  `json:"question"`
	Connections int     `json:"connections"`
	Load        load    `json:"load"`
	CPU         float64 `json:"cpu_micros"` // of the server for each request
	RSS         int64   `json:"rss"`
	Elsewhere   float64 `json:"elsewhere_percent"` // of the machine's time, beside server and wrk
}

func (s sample) rate() float64 { return float64(s.Load.Requests) / float64(s.Load.Micros) * 1e6 }

// result is what is kept of a run.
type result struct {
	measure.Setting
	Rounds   int      `json:"rounds"`
	Subjects []string `json:"subjects"`
	Samples  []sample `json:"samples"`

	connections []int
}

func newResult(ctx context.Context, b *bench, subjects []subject) *result {
	r := &result{
		Setting: measure.NewSetting(ctx, "go run ./bench/ofrep", map[string][]string{"wrk": {"-v"}}),
		Rounds:  b.Rounds, connections: b.Connections,
	}
	for _, s := range subjects {
		r.Subjects = append(r.Subjects, s.Name)
	}
	return r
}

// of are the samples of a subject by round.
func (r *result) of(subject, question string, conns int) map[int]sample {
	out := map[int]sample{}
	for _, s := range r.Samples {
		if s.Subject == subject && s.Question == question && s.Connections == conns {
			out[s.Round] = s
		}
	}
	return out
}

// spread is that of a value over some rounds.
func spread(samples map[int]sample, value func(sample) float64) measure.Spread {
	var values []float64
	for _, s := range samples {
		values = append(values, value(s))
	}
	return measure.SpreadOf(values)
}

// ratios are by how much the first subject has more of a value than another, by
// round.
func ratios(first, other map[int]sample, value func(sample) float64) measure.Spread {
	var values []float64
	for round, s := range other {
		if f, ok := first[round]; ok && value(s) > 0 {
			values = append(values, value(f)/value(s))
		}
	}
	return measure.SpreadOf(values)
}

func cpu(s sample) float64 { return s.CPU }

// markdown is the result for people.
func (r *result) markdown() string {
	var b strings.Builder
	r.Write(&b)
	var elsewhere []float64
	for _, s := range r.Samples {
		elsewhere = append(elsewhere, s.Elsewhere)
	}
	fmt.Fprintf(&b, "%d rounds. Median, and in parentheses the extremes. Of the machine's time, %s %% went elsewhere: not to the server, nor to wrk.\n",
		r.Rounds, measure.SpreadOf(elsewhere).Text("%.0f"))
	for _, q := range questions() {
		fmt.Fprintf(&b, "\n### %s\n\n", strings.ToUpper(q.Name[:1])+q.Name[1:])
		measure.Head(&b, "connections", "server", "answers/s", "p50 µs", "p99 µs", "CPU µs", "handrail's answers/s to it", "its CPU to handrail's", "MiB")
		for _, conns := range r.connections {
			first := r.of(r.Subjects[0], q.Name, conns)
			for _, name := range r.Subjects {
				these := r.of(name, q.Name, conns)
				if len(these) == 0 {
					continue
				}
				faster, costlier := "", ""
				if name != r.Subjects[0] {
					faster = ratios(first, these, sample.rate).Text("%.2f")
					costlier = ratios(these, first, cpu).Text("%.2f")
				}
				measure.Row(&b, fmt.Sprint(conns), name,
					spread(these, sample.rate).Text("%.0f"),
					spread(these, func(s sample) float64 { return float64(s.Load.P50) }).Text("%.0f"),
					spread(these, func(s sample) float64 { return float64(s.Load.P99) }).Text("%.0f"),
					spread(these, cpu).Text("%.1f"), faster, costlier,
					spread(these, func(s sample) float64 { return measure.MiB(s.RSS) }).Text("%.0f"))
			}
		}
	}
	return b.String()
}
