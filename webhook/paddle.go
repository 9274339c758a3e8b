package webhook

import "time"

// paddleSpec is that of Paddle Billing. While a secret is being rotated a
// message has several h1.
func paddleSpec() spec {
	src := mustSources("json:/event_id", "json:/event_type")
	return spec{
		Provider: Provider{
			Name:            "paddle",
			SignatureHeader: "Paddle-Signature",
			Signed:          "timestamp.body",
			IDSource:        "json:/event_id",
			IDSigned:        true,
			Deadline:        5 * time.Second,
			Timeout:         4500 * time.Millisecond,
			RetryHorizon:    72 * time.Hour,
			Tolerance:       defaultTolerance,
			Docs:            "https://developer.paddle.com/webhooks/signature-verification",
		},
		sources: sources{id: src[0], typ: src[1]},
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return newPairs(cfg.Secrets, pairs{header: "Paddle-Signature", separator: ";", time: "ts", signature: "h1", joint: ":"})
		},
	}
}
