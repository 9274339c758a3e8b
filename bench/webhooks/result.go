package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/bench/measure"
)

// A result is all that a run found out, as it is written.
type result struct {
	measure.Setting
	Disk    []disk            `json:"disk"`
	Options options           `json:"options"`
	Missing map[string]string `json:"missing"` // subject → why
	Samples samples           `json:"samples"`

	subjects []subject
}

func newResult(ctx context.Context, b *bench, subjects []subject) *result {
	programs := map[string][]string{"redis-server": {"--version"}}
	if bin, err := postgresPrograms(); err == nil {
		programs[filepath.Join(bin, "postgres")] = []string{"--version"}
	}
	return &result{
		Setting: measure.NewSetting(ctx, "go run ./bench/webhooks", programs),
		Options: b.options, Missing: b.skipped, subjects: subjects,
	}
}

// write keeps the result, puts it into the README when that is asked for, and is
// an error when nothing counts.
func (r *result) write(root string, o options, stdout io.Writer) error {
	page := r.markdown()
	err := r.Keep(o.out, "webhooks-", r, page, stdout)
	if !slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Failure == "" }) {
		return errors.Join(err, errors.New("no measurement counts"))
	}
	if o.record {
		err = errors.Join(err, record(filepath.Join(root, "bench", "webhooks", "README.md"), page))
	}
	return err
}

// The last result stands between these lines of README.md.
const (
	recordBegin = "<!-- result -->\n"
	recordEnd   = "<!-- end of result -->\n"
)

func record(file, page string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), recordBegin)
	_, after, ends := strings.Cut(rest, recordEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for a result", filepath.Base(file))
	}
	return os.WriteFile(file, []byte(before+recordBegin+"\n"+page+"\n"+recordEnd+after), 0o644) //nolint:gosec // a page of the repository
}

// samples are the measurements.
type samples []sample

// A metric is one value of a sample.
type metric struct {
	name   string
	format string
	value  func(sample) float64
	less   bool // plain proxying is subtracted as well, in a column of its own
}

func columns() []metric {
	return []metric{
		{"requests/s", "%.0f", func(s sample) float64 { return s.PerSecond }, false},
		{"p50 ms", "%.2f", func(s sample) float64 { return s.P50 }, true},
		{"p99 ms", "%.2f", func(s sample) float64 { return s.P99 }, true},
		{"CPU µs", "%.0f", func(s sample) float64 { return s.CPU }, true},
		{"store µs", "%.0f", func(s sample) float64 { return s.StoreCPU }, false},
		{"client µs", "%.0f", func(s sample) float64 { return s.ClientCPU }, false},
		{"elsewhere %", "%.0f", func(s sample) float64 { return 100 * s.Elsewhere }, false},
	}
}

// costs is how many of the columns tell of the store.
const costs = 5

func perSecond(s sample) float64 { return s.PerSecond }

// of are those that count.
func (all samples) of(subject, sent string, conns int) samples {
	var out samples
	for _, s := range all {
		if s.Subject == subject && s.Sent == sent && s.Connections == conns && s.Failure == "" {
			out = append(out, s)
		}
	}
	return out
}

func (all samples) spread(value func(sample) float64) measure.Spread {
	var values []float64
	for _, s := range all {
		values = append(values, value(s))
	}
	return measure.SpreadOf(values)
}

// at are the writes of the disk before the measurements at so many connections,
// in the form of samples.
func at(disks []disk, conns int) samples {
	var out samples
	for _, d := range disks {
		if d.Connections == conns {
			out = append(out, sample{Round: d.Round, PerSecond: d.PerSecond, P50: d.P50, P99: d.P99})
		}
	}
	return out
}

// paired is of the values of both in each round in which both count: what slows
// the machine for a while slows both.
func (all samples) paired(others samples, value func(sample) float64, f func(a, b float64) float64) measure.Spread {
	var values []float64
	for _, s := range all {
		i := slices.IndexFunc(others, func(o sample) bool { return o.Round == s.Round })
		if i >= 0 {
			values = append(values, f(value(s), value(others[i])))
		}
	}
	return measure.SpreadOf(values)
}
