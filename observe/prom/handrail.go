package prom

import "github.com/prometheus/client_golang/prometheus"

func (m *Metrics) registerHandrail(limit int) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(vec)
		return vec
	}
	limits := counter("handrail_ratelimit_decisions_total",
		"Decisions of rate limits.", "policy", "outcome")
	m.limits = newFamily(limit,
		func(k limitKey) prometheus.Counter { return limits.WithLabelValues(labels(k.policy, k.outcome)...) },
		limitKey{Overflow, Overflow},
		func(k limitKey) limitKey { k.policy = Overflow; return k })

	m.registerWebhooks(limit, counter)
	m.registerFlags(limit, counter)

	checks := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "handrail_health_check_up",
		Help: "Whether a health check passes (1) or not (0).",
	}, []string{"check"})
	m.registry.MustRegister(checks)
	m.checks = newFamily(limit,
		func(check string) prometheus.Gauge { return checks.WithLabelValues(labels(check)...) },
		Overflow,
		func(string) string { return Overflow })
}

// CountLostLogLines has lines of a log that could not be written counted by read,
// which is called with every scrape.
func (m *Metrics) CountLostLogLines(read func() uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "handrail_log_lines_lost_total",
		Help: "Lines of the log that could not be written.",
	}, func() float64 { return float64(read()) }))
}

// RateLimitDecision counts one decision of a limit.
func (m *Metrics) RateLimitDecision(policy, outcome string) {
	m.limits.get(limitKey{policy, outcome}).Inc()
}

// HealthCheck says whether a check passes now.
func (m *Metrics) HealthCheck(check string, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	m.checks.get(check).Set(v)
}
