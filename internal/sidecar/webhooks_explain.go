package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
	"github.com/handrail-go/handrail/webhook"
)

// WebhookExplainPath is where the admin listener takes a WebhookExplain and
// answers with a webhook.Explanation.
const WebhookExplainPath = WebhooksPath + "/explain"

// maxExplainBytes bounds a request: a body of 8 MiB in base64, and headers.
const maxExplainBytes = 11 << 20

const explainForm = `the body must be {"route": NAME, "headers": {NAME: VALUE}, "body": BASE64, "query": QUERY, "at": TIME}, the last three if need be; a header that came several times has a list of values, and TIME is as in 2026-11-20T08:00:00Z or in Unix seconds`

// WebhookExplain is a message whose signature is to be explained.
type WebhookExplain struct {
	Route   string         `json:"route"`
	Headers WebhookHeaders `json:"headers"`
	Body    []byte         `json:"body"`
	Query   string         `json:"query"` // without "?"
	At      string         `json:"at"`    // when it came; empty: now
}

// WebhookHeaders are the headers of a message: in JSON an object whose values
// are texts or lists of texts.
type WebhookHeaders http.Header

// UnmarshalJSON implements json.Unmarshaler.
func (h *WebhookHeaders) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*h = make(WebhookHeaders, len(raw))
	for name, value := range raw {
		var one string
		var several []string
		if json.Unmarshal(value, &one) == nil {
			several = []string{one}
		} else if err := json.Unmarshal(value, &several); err != nil {
			return errors.New("a header must be a text or a list of texts")
		}
		(*h)[name] = several
	}
	return nil
}

// Errors of ExplainWebhook and of ParseMoment.
var (
	ErrNoRoute  = errors.New("no webhook route has that name")
	ErrNoMoment = errors.New("a time must be as in 2026-11-20T08:00:00Z, or in Unix seconds")
)

// ParseMoment reads RFC 3339 or Unix seconds. Empty is the zero time.
func ParseMoment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 40); err == nil && n > 0 {
		return time.Unix(n, 0), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, ErrNoMoment
	}
	return at, nil
}

// WebhookRoute returns how a route is configured.
func (c *Config) WebhookRoute(name string) (*WebhookConfig, webhook.VerifierConfig, error) {
	w := c.route(name)
	if w == nil {
		return nil, webhook.VerifierConfig{}, ErrNoRoute
	}
	cfg := w.verifierConfig()
	return w, cfg, nil
}

// ExplainWebhook says why a message is not valid on a route: as
// webhook.Explain, and by what else is configured.
func (c *Config) ExplainWebhook(name string, m webhook.Message) (webhook.Explanation, error) {
	route, cfg, err := c.WebhookRoute(name)
	if err != nil {
		return webhook.Explanation{}, err
	}
	out, err := webhook.Explain(cfg, m)
	if err != nil {
		return webhook.Explanation{}, err
	}
	if out.Valid && int64(len(m.Body)) > int64(route.MaxBody) {
		out.Valid = false
		out.Findings = slices.Insert(out.Findings, 0, webhook.Finding{
			Code: "body_too_large", Text: fmt.Sprintf("The body has %d bytes, above the route's max_body of %d.", len(m.Body), int64(route.MaxBody)),
			Remedy: "Raise max_body of the route.",
		})
	}
	if out.SecretIndex >= 0 || out.Valid {
		return out, nil
	}
	for i := range c.Webhooks {
		other := &c.Webhooks[i]
		if other == route || other.Provider != route.Provider || !other.accepts(m) {
			continue
		}
		out.Findings = slices.DeleteFunc(out.Findings, func(f webhook.Finding) bool { return f.Code == "unexplained" })
		out.Findings = slices.Insert(out.Findings, 0, webhook.Finding{
			Code: "other_route", Text: fmt.Sprintf("The signature is valid on the route %q, which has the same provider.", other.Name),
			Remedy: "Compare the URLs that are configured at the provider with the paths of the two routes, and the secrets of both.",
		})
		break
	}
	return out, nil
}

// accepts reports whether the route's secrets signed a message, at any time.
func (w *WebhookConfig) accepts(m webhook.Message) bool {
	v, err := w.verifier()
	if err != nil {
		return false
	}
	_, err = v.Verify(m)
	return err == nil || errors.Is(err, webhook.ErrTimestamp)
}

// explainHandler explains one message at a time: it is work, and memory.
func (s *Sidecar) explainHandler() http.HandlerFunc {
	turn := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			w.Header().Set("Retry-After", "5")
			writeDetail(w, http.StatusServiceUnavailable, "busy", "another message is being explained: try again")
			return
		}
		data, err := httpx.ReadBody(r, maxExplainBytes, nil)
		if errors.Is(err, httpx.ErrBodyTooLarge) {
			writeDetail(w, http.StatusRequestEntityTooLarge, "body_too_large", "handrail webhook explain takes larger messages")
			return
		}
		var in WebhookExplain
		var at time.Time
		if err == nil {
			err = in.decode(data)
		}
		if err == nil {
			at, err = ParseMoment(in.At)
		}
		if err != nil || in.Route == "" || in.Headers == nil {
			writeDetail(w, http.StatusBadRequest, "bad_request", explainForm)
			return
		}
		m := webhook.Message{Header: http.Header(in.Headers), Body: in.Body, RawQuery: in.Query, Now: at}
		out, err := s.current.Load().loaded.ExplainWebhook(in.Route, m)
		switch {
		case errors.Is(err, ErrNoRoute):
			writeDetail(w, http.StatusNotFound, "unknown_route", ErrNoRoute.Error())
		case errors.Is(err, webhook.ErrMessageTooLarge):
			writeDetail(w, http.StatusRequestEntityTooLarge, "body_too_large", "header and query are above 256 KiB")
		case err != nil: // the running configuration is valid, and the body bounded
			s.log.Error("a message could not be explained", "route", in.Route, "error", err)
			httpx.WriteError(w, r, http.StatusInternalServerError, "internal_error")
		default:
			s.log.Info("a webhook message was explained", "route", in.Route, "valid", out.Valid, "finding", out.Findings[0].Code)
			writeJSON(w, http.StatusOK, out)
		}
	}
}

// decode reads one object and nothing behind it.
func (in *WebhookExplain) decode(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}
