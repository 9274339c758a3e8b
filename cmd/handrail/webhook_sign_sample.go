package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// sample is an event that is made up.
type sample struct {
	provider string
	source   string // of the event's id
	id       string
	at       time.Time
	header   http.Header
}

// newSample has an id of its own unless one is given.
func newSample(cfg webhook.VerifierConfig, id string, at time.Time) *sample {
	provider, _ := webhook.ProviderNamed(cfg.Provider)
	s := &sample{provider: cfg.Provider, source: cfg.ID, id: id, at: at, header: http.Header{"Content-Type": {"application/json"}}}
	if s.source == "" {
		s.source = provider.IDSource
	}
	if s.id == "" {
		s.id = "test_" + strings.ToLower(rand.Text())
	}
	for name, value := range map[string]map[string]string{
		"github":  {"X-GitHub-Event": "ping"},
		"gitlab":  {"X-Gitlab-Event": "Push Hook"},
		"shopify": {"X-Shopify-Topic": "orders/create", "X-Shopify-Shop-Domain": "example.myshopify.com"},
		"linear":  {"Linear-Event": "Issue"},
		"twilio":  {"Content-Type": formType},
	}[s.provider] {
		s.header.Set(name, value)
	}
	// Headers that are signed must be there.
	for _, part := range strings.Split(cfg.HMAC.Signed, "{header:")[1:] {
		name, _, _ := strings.Cut(part, "}")
		s.header.Set(name, "test")
	}
	// So must the provider's own id, wherever the route takes its id from.
	for _, source := range []string{provider.IDSource, s.source} {
		if name, ok := strings.CutPrefix(source, "header:"); ok {
			s.header.Set(name, s.id)
		}
	}
	return s
}

// body is a plausible one, with the id where the route looks for it.
func (s *sample) body() ([]byte, error) {
	if s.provider == "twilio" {
		return []byte(url.Values{"MessageSid": {s.id}, "From": {"+15005550006"}, "To": {"+15005550009"}, "Body": {"hello"}}.Encode()), nil
	}
	event := s.event()
	if p, ok := strings.CutPrefix(s.source, "json:/"); ok {
		at := event
		names := strings.Split(p, "/")
		for i, name := range names {
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			if i == len(names)-1 {
				at[name] = s.id
				break
			}
			next, ok := at[name].(map[string]any)
			if !ok {
				if _, taken := at[name]; taken {
					return nil, errors.New("no event can be made up with its id at " + s.source + ": give one with --body")
				}
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
	}
	if s.provider == "sendgrid" {
		return json.Marshal([]any{event})
	}
	return json.Marshal(event)
}

// event differs from all others: where the id is not signed, the same body is
// the same event.
func (s *sample) event() map[string]any {
	type object = map[string]any
	when := s.at.UTC().Format(time.RFC3339)
	switch s.provider {
	case "stripe":
		return object{"id": s.id, "object": "event", "type": "payment_intent.succeeded", "created": s.at.Unix(), "livemode": false,
			"data": object{"object": object{"id": "pi_" + s.id, "object": "payment_intent", "amount": 1000, "currency": "eur", "status": "succeeded"}}}
	case "github":
		return object{"zen": "Keep it logically awesome.", "hook_id": 1, "hook": object{"type": "Repository", "active": true, "events": []string{"push"}}, "sender": object{"login": s.id}}
	case "gitlab":
		return object{"object_kind": "push", "event_name": "push", "ref": "refs/heads/main", "checkout_sha": s.id, "project": object{"id": 1, "name": "example"}}
	case "slack":
		return object{"type": "event_callback", "event_id": s.id, "event_time": s.at.Unix(), "team_id": "T0000001",
			"event": object{"type": "app_mention", "user": "U0000001", "channel": "C0000001", "text": "hello"}}
	case "shopify":
		return object{"id": 1, "name": "#1001", "checkout_token": s.id, "email": "customer@example.com", "currency": "EUR", "total_price": "10.00"}
	case "paddle":
		return object{"event_id": s.id, "event_type": "transaction.completed", "occurred_at": when, "data": object{"id": "txn_" + s.id, "status": "completed"}}
	case "linear":
		return object{"action": "create", "type": "Issue", "createdAt": when, "webhookTimestamp": s.at.UnixMilli(), "data": object{"id": s.id, "title": "hello"}}
	case "discord":
		return object{"id": s.id, "application_id": "1", "type": 1, "version": 1}
	case "sendgrid":
		return object{"email": "customer@example.com", "event": "delivered", "sg_event_id": s.id, "timestamp": s.at.Unix()}
	case "square":
		return object{"event_id": s.id, "type": "payment.updated", "merchant_id": "test", "created_at": when, "data": object{"type": "payment", "id": "pay_" + s.id}}
	}
	return object{"id": s.id, "type": "test.created", "timestamp": when, "data": object{"hello": "world"}}
}
