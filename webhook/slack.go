package webhook

import "time"

// slackSpec: events have an id. Commands, interactions and the challenge of a
// new URL have none, and Slack does not repeat them.
func slackSpec() spec {
	src := mustSources("json:/event_id", "json:/event/type", "json:/type")
	return spec{
		Provider: Provider{
			Name:            "slack",
			SignatureHeader: "X-Slack-Signature",
			Signed:          "timestamp.body",
			IDSource:        "json:/event_id",
			IDSigned:        true,
			Deadline:        3 * time.Second,
			Timeout:         2500 * time.Millisecond,
			RetryHorizon:    24 * time.Hour, // with delayed events; else minutes
			Tolerance:       defaultTolerance,
			ReplayAnswers:   true,
			Docs:            "https://docs.slack.dev/authentication/verifying-requests-from-slack",
		},
		sources: sources{id: src[0], typ: src[1], elseType: src[2]},
		missing: missingRepeats,
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return fixedTemplate(cfg, HMACConfig{
				Header: "X-Slack-Signature", Algorithm: "sha256", Encoding: "hex", Prefix: "v0=",
				Signed: "v0:{timestamp:X-Slack-Request-Timestamp}:{body}",
			})
		},
	}
}
