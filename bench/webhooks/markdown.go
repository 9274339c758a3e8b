package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/bench/measure"
)

// markdown is the result for people.
func (r *result) markdown() string {
	var b strings.Builder
	if n := r.disturbed(); 2*n > len(r.Samples) {
		b.WriteString("**A trial: the machine was not quiet, and these are not its numbers.**\n\n")
	}
	r.Setting.Write(&b)
	var looks samples
	for _, conns := range slices.Compact(slices.Sorted(slices.Values(r.Options.Connections))) {
		looks = append(looks, at(r.Disk, conns)...)
	}
	fmt.Fprintf(&b, "One writer gets %s writes of 4 KiB a second onto the disk (`O_DSYNC`), p50 %s ms.\n",
		looks.spread(perSecond).Text("%.0f"), looks.spread(func(s sample) float64 { return s.P50 }).Text("%.2f"))
	fmt.Fprintf(&b, "Rounds: %d, each measurement %s after %s of warm-up. Numbers are medians, in parentheses the lowest and the highest.\n",
		r.Options.Rounds, r.Options.Duration, r.Options.Warmup)
	for _, conns := range r.Options.Connections {
		fmt.Fprintf(&b, "\n### New events, %d %s\n\n", conns, plural(conns, "connection"))
		r.delivered(&b, conns)
	}
	r.grouped(&b)
	r.inboxes(&b)
	r.copies(&b)
	r.flights(&b)
	r.beside(&b)
	r.notes(&b)
	return b.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// most is the largest number of connections.
func (r *result) most() int { return slices.Max(r.Options.Connections) }

// delivered is the table of plain proxying and of new events.
func (r *result) delivered(b *strings.Builder, conns int) {
	cells := []string{"store"}
	for _, m := range columns() {
		cells = append(cells, m.name)
		if m.less {
			cells = append(cells, "added")
		}
	}
	measure.Head(b, cells...)
	var proxied samples
	for _, sub := range r.subjects {
		if !sub.byHand {
			proxied = append(proxied, r.Samples.of(sub.Name, plain, conns)...)
		}
	}
	r.line(b, "plain proxying", proxied, nil)
	for _, sub := range r.subjects {
		base := r.Samples.of(sub.Name, plain, conns)
		if sub.byHand {
			r.line(b, sub.Name+", plain", base, nil)
		}
		r.line(b, sub.Name, r.Samples.of(sub.Name, fresh, conns), base)
	}
}

func (r *result) line(b *strings.Builder, name string, of, base samples) {
	if len(of) == 0 {
		return
	}
	cells := []string{name}
	for _, m := range columns() {
		cells = append(cells, of.spread(m.value).Text(m.format))
		if m.less {
			cells = append(cells, of.paired(base, m.value, func(a, b float64) float64 { return a - b }).Text("%+"+m.format[1:]))
		}
	}
	measure.Row(b, cells...)
}

// grouped shows how the durable stores share the disk's writes.
func (r *result) grouped(b *strings.Builder) {
	few, many := slices.Min(r.Options.Connections), r.most()
	if few == many || !slices.ContainsFunc(r.subjects, func(s subject) bool { return s.durable > 0 }) {
		return
	}
	b.WriteString("\n### Commits in groups\n\n")
	measure.Head(b, "store", "steps on disk before an answer",
		fmt.Sprintf("steps/s ÷ writes/s of the disk, %d", few), fmt.Sprintf("the same, %d", many), fmt.Sprintf("events/s, %d ÷ %d", many, few))
	for _, sub := range r.subjects {
		if sub.durable == 0 {
			continue
		}
		share := func(conns int) string {
			of := r.Samples.of(sub.Name, fresh, conns)
			return of.paired(at(r.Disk, conns), perSecond, func(events, writes float64) float64 { return events * float64(sub.durable) / writes }).Text("%.2f")
		}
		times := r.Samples.of(sub.Name, fresh, many).paired(r.Samples.of(sub.Name, fresh, few), perSecond, ratio)
		if times.Count > 0 {
			measure.Row(b, sub.Name, strconv.Itoa(sub.durable), share(few), share(many), times.Text("%.1f"))
		}
	}
}

// inboxes shows how far the app was behind the answers.
func (r *result) inboxes(b *strings.Builder) {
	var rows strings.Builder
	for _, sub := range r.subjects {
		for _, conns := range r.Options.Connections {
			if of := r.Samples.of(sub.Name, fresh, conns); sub.inbox() && len(of) > 0 {
				measure.Row(&rows, sub.Name, strconv.Itoa(conns), of.spread(perSecond).Text("%.0f"),
					of.spread(func(s sample) float64 { return float64(s.Waiting) }).Text("%.0f"),
					of.spread(func(s sample) float64 { return s.Handled }).Text("%.0f"))
			}
		}
	}
	if rows.Len() > 0 {
		b.WriteString("\n### Inboxes\n\n")
		measure.Head(b, "store", "connections", "accepted/s", "waiting after the last answer", "handled/s, from the first event to the last call of the app")
		b.WriteString(rows.String())
	}
}

func ratio(a, b float64) float64 { return a / b }

func calls(s sample) float64 { return float64(s.Calls) }

// copies is the storm on an event that is done.
func (r *result) copies(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Copies of one event that is done, %d %s\n\n", r.most(), plural(r.most(), "connection"))
	measure.Head(b, "store", "copies/s", "p50 ms", "p99 ms", "CPU µs", "store µs", "calls of the app")
	for _, sub := range r.subjects {
		of := r.Samples.of(sub.Name, copied, r.most())
		if len(of) == 0 {
			continue
		}
		cells := []string{sub.Name}
		for _, m := range columns()[:costs] {
			cells = append(cells, of.spread(m.value).Text(m.format))
		}
		measure.Row(b, append(cells, of.spread(calls).Text("%.0f"))...)
	}
}

// flights is the storm on an event that is being handled.
func (r *result) flights(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %d copies at once of an event for which the app takes %v\n\n", r.Options.Copies, handling)
	measure.Head(b, "store", "first answer, ms", "all answered, ms", "calls of the app", "answers, all rounds")
	for _, sub := range r.subjects {
		of := r.Samples.of(sub.Name, flight, r.Options.Copies)
		if len(of) == 0 {
			continue
		}
		answers := map[string]int64{}
		for _, s := range of {
			for kind, n := range s.Answers {
				answers[kind] += n
			}
		}
		measure.Row(b, sub.Name,
			of.spread(func(s sample) float64 { return s.First }).Text("%.0f"),
			of.spread(func(s sample) float64 { return s.Last }).Text("%.0f"),
			of.spread(calls).Text("%.0f"), kinds(answers))
	}
}

// beside is the sidecar with PostgreSQL against what is written by hand.
func (r *result) beside(b *strings.Builder) {
	const ours = "postgres"
	var rows strings.Builder
	for _, m := range columns()[:costs] {
		cells := []string{m.name}
		for _, conns := range r.Options.Connections {
			times := r.Samples.of(ours, fresh, conns).paired(r.Samples.of(byHand, fresh, conns), m.value, ratio)
			if times.Count > 0 {
				cells = append(cells, times.Text("%.2f"))
			}
		}
		if len(cells) > 1 {
			measure.Row(&rows, cells...)
		}
	}
	if rows.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s ÷ %s\n\nEach is the median of the ratios of single rounds.\n\n", ours, byHand)
	cells := []string{"new events"}
	for _, conns := range r.Options.Connections {
		cells = append(cells, fmt.Sprintf("%d %s", conns, plural(conns, "connection")))
	}
	measure.Head(b, cells...)
	b.WriteString(rows.String())
}

// quiet is the share of the machine that others may use without being told of.
const quiet = 0.05

// disturbed is during how many measurements they used more.
func (r *result) disturbed() int {
	n := 0
	for _, s := range r.Samples {
		if s.Elsewhere > quiet {
			n++
		}
	}
	return n
}

func (r *result) notes(b *strings.Builder) {
	b.WriteString("\n### Notes\n\n")
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		fmt.Fprintf(b, "- not measured: %s: %s\n", name, r.Missing[name])
	}
	for _, s := range r.Samples {
		if s.Failure != "" {
			fmt.Fprintf(b, "- does not count: round %d of %s at %d connections, %s: %s\n", s.Round, s.Subject, s.Connections, s.Sent, s.Failure)
		}
	}
	fmt.Fprintf(b, "- during %d of %d measurements something else used more than %.0f%% of the machine\n", r.disturbed(), len(r.Samples), 100*quiet)
}
