package webhook

import "time"

// squareSpec: of the documented times to repeat an event, 24 and 72 h, it is
// the longer one.
func squareSpec() spec {
	src := mustSources("json:/event_id", "json:/type")
	return spec{
		Provider: Provider{
			Name:            "square",
			SignatureHeader: "X-Square-Hmacsha256-Signature",
			Signed:          "url.body",
			IDSource:        "json:/event_id",
			IDSigned:        true,
			Deadline:        10 * time.Second,
			Timeout:         8 * time.Second,
			RetryHorizon:    72 * time.Hour,
			NeedsPublicURL:  true,
			Docs:            "https://developer.squareup.com/docs/webhooks/step3validate",
		},
		sources: sources{id: src[0], typ: src[1]},
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return fixedTemplate(cfg, HMACConfig{Header: "X-Square-Hmacsha256-Signature", Algorithm: "sha256", Encoding: "base64", Signed: "{url}{body}"})
		},
	}
}
