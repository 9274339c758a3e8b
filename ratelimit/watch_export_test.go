package ratelimit

import (
	"net/netip"
	"time"
)

// What a Middleware tells its Watch.

func (w *Watch) TellRefused(policy, key string, client netip.Addr, wait time.Duration) {
	w.refused(policy, key, client, wait)
}

func (w *Watch) TellForget(key string) { w.forget(key) }

func (w *Watch) TellAttempt(policy string, client netip.Addr, account uint64, window time.Duration) {
	w.attempt(policy, client, account, window)
}

func (w *Watch) TellSubject(policy, key string) bool { return w.subject(policy, key) }

func (w *Watch) Account(subject string) uint64 { return w.account([]byte(subject)) }

// Keep is what New tells it.
func (w *Watch) Keep(policies ...string) { w.keep(policies) }

// EstimateDistinct is what a sketch makes of n distinct hashes.
func EstimateDistinct(n int, next func() uint64) float64 {
	var s sketch
	for range n {
		s.add(next())
	}
	return float64(s.size)
}
