package prom

import "github.com/prometheus/client_golang/prometheus"

// LimitState is what a scrape asks of rate limits beside their decisions.
type LimitState struct {
	Degraded bool // the store fails
	Spray    []Spray
}

// Spray is how many accounts one network tried at most, and how many networks
// tried one account.
type Spray struct {
	Policy             string
	AccountsPerNetwork int
	NetworksPerAccount int
}

// limitCollector asks when it is scraped.
type limitCollector struct {
	read               func() LimitState
	degraded           *prometheus.Desc
	accounts, networks *prometheus.Desc
}

// CollectLimits has every scrape ask read for handrail_ratelimit_degraded,
// handrail_ratelimit_accounts_per_network{policy} and
// handrail_ratelimit_networks_per_account{policy}. Read must be safe for
// concurrent use, and name each policy once.
func (m *Metrics) CollectLimits(read func() LimitState) {
	m.registry.MustRegister(&limitCollector{
		read: read,
		degraded: prometheus.NewDesc("handrail_ratelimit_degraded",
			"Whether the store of rate limits fails (1) or not (0).", nil, nil),
		accounts: prometheus.NewDesc("handrail_ratelimit_accounts_per_network",
			"The highest number of accounts that one network tried within about the policy's window.", []string{"policy"}, nil),
		networks: prometheus.NewDesc("handrail_ratelimit_networks_per_account",
			"The highest number of networks that tried one account within about the policy's window.", []string{"policy"}, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *limitCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.degraded
	ch <- c.accounts
	ch <- c.networks
}

// Collect implements prometheus.Collector.
func (c *limitCollector) Collect(ch chan<- prometheus.Metric) {
	state := c.read()
	gauge := func(desc *prometheus.Desc, value float64, values ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, values...)
	}
	degraded := 0.0
	if state.Degraded {
		degraded = 1
	}
	gauge(c.degraded, degraded)
	for _, s := range state.Spray {
		policy := labels(s.Policy)
		gauge(c.accounts, float64(s.AccountsPerNetwork), policy...)
		gauge(c.networks, float64(s.NetworksPerAccount), policy...)
	}
}
