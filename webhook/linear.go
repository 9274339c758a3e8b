package webhook

import "time"

// linearSpec: the time is a member of the body, in milliseconds. The id stands
// in a header that is not signed.
func linearSpec() spec {
	src := mustSources("header:Linear-Delivery", "json:/type", "json:/webhookTimestamp")
	return spec{
		Provider: Provider{
			Name:            "linear",
			SignatureHeader: "Linear-Signature",
			Signed:          "body, with its webhookTimestamp",
			IDSource:        "header:Linear-Delivery",
			Deadline:        5 * time.Second,
			Timeout:         4500 * time.Millisecond,
			RetryHorizon:    8 * time.Hour,
			Tolerance:       time.Minute,
			ReplayGuard:     true,
			SentAt:          "json:/webhookTimestamp",
			Docs:            "https://linear.app/developers/webhooks#securing-webhooks",
		},
		sources: sources{id: src[0], typ: src[1]},
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return &linear{
				template: fixedTemplate(cfg, HMACConfig{Header: "Linear-Signature", Algorithm: "sha256", Encoding: "hex"}),
				time:     src[2].json,
			}
		},
	}
}

// linear is the MAC of a body that says when it was sent.
type linear struct {
	*template
	time pointer
}

func (l *linear) judge(m Message) (judgement, error) {
	j, err := l.template.judge(m)
	if err != nil {
		return j, err
	}
	// The body is read only now that it is Linear's.
	ms, ok := digits(string(text(field(m.Body, l.time))))
	if !ok || ms/1000 > maxUnix {
		return judgement{}, ErrTimestamp
	}
	j.at = time.UnixMilli(ms)
	return j, nil
}
