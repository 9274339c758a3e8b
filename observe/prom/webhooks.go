package prom

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func (m *Metrics) registerWebhooks(limit int, counter func(name, help string, labels ...string) *prometheus.CounterVec) {
	deliveries := counter("handrail_webhook_deliveries_total",
		"Webhook deliveries and what became of them.", "route", "provider", "outcome")
	m.webhooks = newFamily(limit,
		func(k webhookKey) prometheus.Counter {
			return deliveries.WithLabelValues(labels(k.route, k.provider, k.outcome)...)
		},
		webhookKey{Overflow, Overflow, Overflow},
		func(k webhookKey) webhookKey { k.route = Overflow; return k })

	secrets := counter("handrail_webhook_secret_matches_total",
		"Webhook messages that a secret has signed, by its position in the configuration.", "route", "secret")
	m.secrets = newFamily(limit,
		func(k secretKey) prometheus.Counter { return secrets.WithLabelValues(labels(k.route, k.secret)...) },
		secretKey{Overflow, Overflow},
		func(k secretKey) secretKey { k.route = Overflow; return k })

	versions := counter("handrail_webhook_api_versions_total",
		"Webhook messages by the version of the provider's API that they say they are rendered in.", "route", "api_version")
	m.versions = newFamily(limit,
		func(k versionKey) prometheus.Counter { return versions.WithLabelValues(labels(k.route, k.version)...) },
		versionKey{Overflow, Overflow},
		func(k versionKey) versionKey { k.version = Overflow; return k })
}

type (
	webhookKey struct{ route, provider, outcome string }
	secretKey  struct{ route, secret string }
	versionKey struct{ route, version string }
)

// WebhookDelivery counts one delivery, or attempt at one.
func (m *Metrics) WebhookDelivery(route, provider, outcome string) {
	m.webhooks.get(webhookKey{route, provider, outcome}).Inc()
}

// WebhookSecrets makes the first n secrets of a route known, each at 0 until
// it matches: one that stays there is no longer used.
func (m *Metrics) WebhookSecrets(route string, n int) {
	for i := range n {
		m.secrets.get(secretKey{route, strconv.Itoa(i)})
	}
}

// WebhookVerified counts a message that the secret at index has signed, and the
// version that it is in, unless it says none.
func (m *Metrics) WebhookVerified(route string, index int, apiVersion string) {
	m.secrets.get(secretKey{route, strconv.Itoa(index)}).Inc()
	if apiVersion != "" {
		m.versions.get(versionKey{route, apiVersion}).Inc()
	}
}

// Inbox is what waits for a webhook route's app.
type Inbox struct {
	Route         string
	Waiting, Dead int64
	Oldest        time.Duration
}

// inboxCollector asks when it is scraped.
type inboxCollector struct {
	read             func() []Inbox
	messages, oldest *prometheus.Desc
}

// CollectInboxes has every scrape ask read for
// handrail_webhook_inbox_messages{route,state}, with the states waiting and
// dead, and handrail_webhook_inbox_oldest_seconds{route}. Read must be safe for
// concurrent use, return at once, and name each route once.
func (m *Metrics) CollectInboxes(read func() []Inbox) {
	m.registry.MustRegister(&inboxCollector{
		read: read,
		messages: prometheus.NewDesc("handrail_webhook_inbox_messages",
			"Messages that are kept: waiting for the app, or dead.", []string{"route", "state"}, nil),
		oldest: prometheus.NewDesc("handrail_webhook_inbox_oldest_seconds",
			"Age of the oldest message that waits for the app.", []string{"route"}, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *inboxCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.messages
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *inboxCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, values ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels(values...)...)
	}
	for _, in := range c.read() {
		gauge(c.messages, float64(in.Waiting), in.Route, "waiting")
		gauge(c.messages, float64(in.Dead), in.Route, "dead")
		gauge(c.oldest, in.Oldest.Seconds(), in.Route)
	}
}
