package webhook

import "time"

// githubSpec takes SHA-256 alone: X-Hub-Signature, which is SHA-1, is ignored.
// The id is the delivery's, which stays the same when it is sent again by hand.
func githubSpec() spec {
	src := mustSources("header:X-GitHub-Delivery", "header:X-GitHub-Event")
	return spec{
		Provider: Provider{
			Name:            "github",
			SignatureHeader: "X-Hub-Signature-256",
			Signed:          "body",
			IDSource:        "header:X-GitHub-Delivery",
			Deadline:        10 * time.Second,
			Timeout:         8 * time.Second,
			NeverRetries:    true,
			ReplayGuard:     true,
			Docs:            "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
		},
		sources: sources{id: src[0], typ: src[1]},
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return fixedTemplate(cfg, HMACConfig{Header: "X-Hub-Signature-256", Algorithm: "sha256", Encoding: "hex", Prefix: "sha256="})
		},
	}
}
