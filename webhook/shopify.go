package webhook

import "time"

// shopifySpec takes the id of the delivery. X-Shopify-Event-Id is shared by
// the webhooks of several topics, whose bodies differ.
func shopifySpec() spec {
	src := mustSources("header:X-Shopify-Webhook-Id", "header:X-Shopify-Topic", "header:X-Shopify-API-Version")
	return spec{
		Provider: Provider{
			Name:            "shopify",
			SignatureHeader: "X-Shopify-Hmac-Sha256",
			Signed:          "body",
			IDSource:        "header:X-Shopify-Webhook-Id",
			Deadline:        5 * time.Second,
			Timeout:         4500 * time.Millisecond,
			RetryHorizon:    4 * time.Hour,
			ReplayGuard:     true,
			TopicHeader:     "X-Shopify-Topic",
			Docs:            "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
		},
		sources: sources{id: src[0], typ: src[1], apiVersion: src[2]},
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return fixedTemplate(cfg, HMACConfig{Header: "X-Shopify-Hmac-Sha256", Algorithm: "sha256", Encoding: "base64"})
		},
	}
}
