package sidecar

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/health"
	"github.com/handrail-go/handrail/internal/upstream"
	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/prom"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/webhook"
)

// This file connects what the packages tell to log, metrics and health.

// quiet lets one message through per interval.
type quiet struct {
	interval time.Duration
	last     atomic.Int64
}

func (q *quiet) ok() bool {
	now := time.Now().UnixNano()
	last := q.last.Load()
	return now-last >= int64(q.interval) && q.last.CompareAndSwap(last, now)
}

func (s *Sidecar) onRateLimit(e ratelimit.Event) {
	switch e.Outcome {
	case ratelimit.Degraded:
		s.log.Error("rate limits: the store fails, on_store_error decides", "error", e.Cause)
	case ratelimit.Recovered:
		s.log.Info("rate limits: the store answers again")
	case ratelimit.Dominant:
		s.log.Warn("one address sends most requests of a rate limit: if it is a proxy's, trusted_proxies lacks it", "policy", e.Policy)
	default:
		s.metrics.RateLimitDecision(e.Policy, string(e.Outcome))
	}
}

// readLimits is asked with every scrape.
func (s *Sidecar) readLimits() prom.LimitState {
	_, cause := s.stores.degraded()
	out := prom.LimitState{Degraded: cause != nil}
	for _, p := range s.watch.Spray() {
		out.Spray = append(out.Spray, prom.Spray(p))
	}
	return out
}

func (s *Sidecar) onWebhook(ctx context.Context, e webhook.Event) {
	s.metrics.WebhookDelivery(e.Route, e.Provider, string(e.Outcome))
	if e.SecretIndex >= 0 && !e.Inbox && e.Outcome != webhook.OutcomeBodyChanged {
		s.metrics.WebhookVerified(e.Route, e.SecretIndex, e.APIVersion)
	}
	level := slog.LevelInfo
	switch e.Outcome {
	case webhook.OutcomeProcessed, webhook.OutcomeAccepted, webhook.OutcomeDuplicate, webhook.OutcomeBodyChanged:
	case webhook.OutcomeStoreError, webhook.OutcomeSecretUnavailable:
		level = slog.LevelError
	default:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("route", e.Route), slog.String("provider", e.Provider), slog.String("outcome", string(e.Outcome)),
		slog.String("event_id", e.EventID), slog.String("event_type", e.EventType),
		slog.Int("attempt", e.Attempt), slog.Int64("fence", e.Fence), slog.Bool("maybe_processed", e.MaybeProcessed),
		slog.Int("upstream_status", e.UpstreamStatus), slog.Int("secret_index", e.SecretIndex),
		slog.Float64("duration_ms", float64(e.Duration.Microseconds())/1000), slog.String("request_id", requestID(ctx)),
	}
	if e.Inbox {
		attrs = append(attrs, slog.Bool("inbox", true), slog.Float64("age_s", e.Age.Seconds()))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	s.log.LogAttrs(ctx, level, "webhook", attrs...)
}

func (s *Sidecar) onHealth(e health.Event) {
	level := slog.LevelInfo
	if e.To == string(health.ValueError) || e.To == string(health.StatusDegraded) || e.To == string(health.StatusStale) {
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("check", e.Check), slog.String("from", e.From), slog.String("to", e.To)}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	s.log.LogAttrs(context.Background(), level, "health changed", attrs...)
	if e.Check != "" {
		s.metrics.HealthCheck(e.Check, e.To == string(health.ValueOK) || e.To == string(health.ValueWarning))
	}
}

// onForwarded is told of a private peer that forwards requests while
// trusted_proxies is not set: all clients behind it count as one.
func (s *Sidecar) onForwarded() {
	if !s.forwardedSeen.CompareAndSwap(false, true) {
		return
	}
	s.monitor.Warn("client_identity", "a private peer sends forwarding headers, but trusted_proxies is not set")
	s.log.Warn("a private peer sends forwarding headers that are not believed: its clients share one address; set trusted_proxies")
}

// onRefused is told of what was no request. It is counted like one; the log has
// one line a second of it, since anybody can send such bytes at any rate.
func (s *Sidecar) onRefused(remote string, status int, reason error) {
	s.metrics.OnRequest(observe.RequestEvent{
		Method: observe.OtherMethod, Route: observe.Unmatched, Status: status, Outcome: observe.Completed,
	})
	if s.refusedLog.ok() {
		s.log.Warn("what a client sent is not a request that is served", "reason", reason, "status", status, "peer", remote)
	}
}

const maxErrorBytes = 300

// logUpstream tells what went wrong with the upstream. Errors about what it
// sent quote it, which may be a piece of somebody's answer: that is cut off.
func (s *Sidecar) logUpstream(message string, r *http.Request, err *upstream.Error) {
	if err.Kind == upstream.Gone {
		return
	}
	s.log.Warn(message, "kind", err.Kind.String(), "error", withoutQuote(err.Err), "request_id", requestID(r.Context())) //nolint:sloglint // a literal of the caller
}

// withoutQuote is the text of err up to what it quotes of a malformed answer,
// and bounded.
func withoutQuote(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, word := range []string{"malformed", "invalid", "bad", "unexpected", "unsupported"} {
		at := strings.Index(text, word)
		if at < 0 {
			continue
		}
		if end := strings.IndexAny(text[at:], ":\"'"); end >= 0 {
			text = text[:at+end]
		}
	}
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "") + "…"
	}
	return text
}

// A printedLog takes lines that libraries print by themselves into the log.
type printedLog struct{ log *slog.Logger }

// Write implements io.Writer. net/http quotes what an upstream sent beyond its
// answer, which may belong to somebody: that is cut off.
func (p printedLog) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(strings.TrimSpace(string(line)), " starting with ")
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "") + "…"
	}
	p.log.Warn(text) //nolint:sloglint // the message is the library's
	return len(line), nil
}
