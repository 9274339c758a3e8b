package prom

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// flagMetrics is what is counted about flags.
type flagMetrics struct {
	evaluations *family[flagKey, prometheus.Counter]
	changes     *prometheus.HistogramVec // until
	limit       int                      // of series
}

type flagKey struct{ flag, variant, reason string }

func (m *Metrics) registerFlags(limit int, counter func(name, help string, labels ...string) *prometheus.CounterVec) {
	evaluations := counter("handrail_flag_evaluations_total",
		"Evaluations of feature flags.", "flag", "variant", "reason")
	m.flags.evaluations = newFamily(limit,
		func(k flagKey) prometheus.Counter {
			return evaluations.WithLabelValues(labels(k.flag, k.variant, k.reason)...)
		},
		flagKey{Overflow, Overflow, Overflow},
		func(k flagKey) flagKey { k.flag = Overflow; return k })

	m.flags.changes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "handrail_flag_change_seconds",
		Help:    "Time from the writing of new flag definitions until they were taken, and until the last decision by the old ones.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"until"})
	m.registry.MustRegister(m.flags.changes)
	m.flags.limit = limit
}

// FlagEvaluation counts one evaluation of a flag.
func (m *Metrics) FlagEvaluation(flag, variant, reason string) {
	m.FlagCounter(flag, variant, reason).Inc()
}

// FlagCounter returns what FlagEvaluation counts with, for whoever counts often.
func (m *Metrics) FlagCounter(flag, variant, reason string) prometheus.Counter {
	return m.flags.evaluations.get(flagKey{flag, variant, reason})
}

// FlagsTaken observes how long new definitions took from being written to being
// the ones that answer, in handrail_flag_change_seconds{until="taken"}.
func (m *Metrics) FlagsTaken(d time.Duration) { m.flagChange("taken", d) }

// FlagsObeyed observes how long new definitions took from being written to the
// last decision by the ones before, which requests under way still make, in
// handrail_flag_change_seconds{until="last_decision"}.
func (m *Metrics) FlagsObeyed(d time.Duration) { m.flagChange("last_decision", d) }

func (m *Metrics) flagChange(until string, d time.Duration) {
	// Two clocks may have measured it, of which one is behind.
	m.flags.changes.WithLabelValues(until).Observe(max(d, 0).Seconds())
}

// Flags is what is known of the definitions that answer now.
type Flags struct {
	Loaded   int       // how many there are
	LoadedAt time.Time // when they were taken; zero: never
	Stale    bool      // the source's newest could not be read or taken
	// Expiries are those of the flags that were given an end, the earliest
	// first.
	Expiries []FlagExpiry
}

// FlagExpiry is when a flag expires.
type FlagExpiry struct {
	Flag, Owner string
	At          time.Time
}

// flagsCollector asks when it is scraped.
type flagsCollector struct {
	read                                   func() Flags
	limit                                  int
	loaded, loadedAt, stale, expired, ends *prometheus.Desc
}

// CollectFlags has every scrape ask read for
//
//	handrail_flags_loaded
//	handrail_flags_last_load_timestamp_seconds
//	handrail_flags_stale
//	handrail_flags_expired
//	handrail_flag_expiry_timestamp_seconds{flag,owner}
//
// The last one is there for flags with an end only. Of more than MaxSeries,
// those that end first have a series, and all others one, which tells the
// earliest of them. Read must be safe for concurrent use and return at once.
func (m *Metrics) CollectFlags(read func() Flags) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	m.registry.MustRegister(&flagsCollector{
		read: read, limit: m.flags.limit,
		loaded:   desc("handrail_flags_loaded", "Flags whose definitions are in use."),
		loadedAt: desc("handrail_flags_last_load_timestamp_seconds", "When the definitions in use were taken."),
		stale:    desc("handrail_flags_stale", "Whether the source's newest definitions could not be read or taken (1) or are in use (0)."),
		expired:  desc("handrail_flags_expired", "Flags whose last day has ended."),
		ends:     desc("handrail_flag_expiry_timestamp_seconds", "When a flag's last day ends.", "flag", "owner"),
	})
}

// Describe implements prometheus.Collector.
func (c *flagsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.loaded, c.loadedAt, c.stale, c.expired, c.ends} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *flagsCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, values ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, values...)
	}
	now, f := time.Now(), c.read()
	gauge(c.loaded, float64(f.Loaded))
	if !f.LoadedAt.IsZero() {
		gauge(c.loadedAt, unixSeconds(f.LoadedAt))
	}
	stale := 0.0
	if f.Stale {
		stale = 1
	}
	gauge(c.stale, stale)
	expired := 0
	for _, e := range f.Expiries {
		if !now.Before(e.At) {
			expired++
		}
	}
	gauge(c.expired, float64(expired))
	for key, at := range c.series(f.Expiries) {
		gauge(c.ends, unixSeconds(at), key[:]...)
	}
}

// series are the ends by flag and owner, as many as may be told. Shortened,
// names may be those of several flags: the first counts, which ends first.
func (c *flagsCollector) series(list []FlagExpiry) map[[2]string]time.Time {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b FlagExpiry) int { return a.At.Compare(b.At) })
	out := make(map[[2]string]time.Time, min(len(list), c.limit+1))
	for _, e := range list {
		key := [2]string(labels(e.Flag, e.Owner))
		if _, known := out[key]; !known && len(out) >= c.limit {
			key = [2]string{Overflow, Overflow}
		}
		if _, known := out[key]; !known {
			out[key] = e.At
		}
	}
	return out
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
