package prom_test

import (
	"fmt"
	"testing"

	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/prom"
)

func BenchmarkObservations(b *testing.B) {
	ev := event("/users/{id}", 200, observe.Completed)
	for _, bb := range []struct {
		name string
		call func(*prom.Metrics)
	}{
		{"request", func(m *prom.Metrics) { m.OnRequest(ev) }},
		{"flag", func(m *prom.Metrics) { m.FlagEvaluation("new-checkout", "on", "SPLIT") }},
		{"limit", func(m *prom.Metrics) { m.RateLimitDecision("auth", "allowed") }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			m := newMetrics(b, prom.Config{MaxSeries: 100})
			b.ReportAllocs()
			for b.Loop() {
				bb.call(m)
			}
		})
		b.Run(bb.name+"/parallel", func(b *testing.B) {
			m := newMetrics(b, prom.Config{MaxSeries: 100})
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bb.call(m)
				}
			})
		})
		b.Run(bb.name+"/overflow", func(b *testing.B) {
			m := newMetrics(b, prom.Config{MaxSeries: 100})
			for i := range 100 {
				s := fmt.Sprint(i)
				m.OnRequest(event(s, 200, observe.Completed))
				m.FlagEvaluation(s, s, s)
				m.RateLimitDecision(s, s)
			}
			b.ReportAllocs()
			for b.Loop() {
				bb.call(m)
			}
		})
	}
}
