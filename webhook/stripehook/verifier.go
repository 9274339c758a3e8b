package stripehook

import (
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// Name is the name of the provider in events and metrics.
const Name = "stripe"

// Config configures the verifier that [New] returns.
type Config struct {
	// Secrets are the signing secrets of the endpoint, whsec_… as they stand,
	// the likeliest first. At least one; several while one is being rotated.
	Secrets []string
	// Tolerance is how far the timestamp may be from now, either way,
	// inclusive. At least 1 s, at most 24 h. Zero means 5 min.
	Tolerance time.Duration
}

// ConfigError is one problem of a Config. It never holds a secret.
type ConfigError = webhook.ConfigError

// New returns the verifier of package webhook for Stripe. Errors: every
// problem of cfg at once, each a [*ConfigError].
func New(cfg Config) (webhook.Verifier, error) {
	return webhook.NewVerifier(webhook.VerifierConfig{Provider: Name, Secrets: cfg.Secrets, Tolerance: cfg.Tolerance})
}
