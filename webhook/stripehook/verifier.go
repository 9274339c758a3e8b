package stripehook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
)

// Name is the name of the provider in events and metrics.
const Name = "stripe"

const (
	signatureHeader  = "Stripe-Signature"
	defaultTolerance = 5 * time.Minute

	// retryHorizon: in live mode Stripe delivers for up to three days
	// (https://docs.stripe.com/webhooks#automatic-retries).
	retryHorizon = 72 * time.Hour

	// maxSignatures bounds what is compared per message. While a secret is
	// being rolled Stripe sends two.
	maxSignatures = 16
)

// Config configures a [Verifier].
type Config struct {
	// Secrets are the signing secrets of the endpoint, whsec_… as they stand,
	// the likeliest first. At least one; several while one is being rotated.
	Secrets []string
	// Tolerance is how far the timestamp may be from now, either way,
	// inclusive. At least 1 s, at most 24 h. Zero means 5 min.
	Tolerance time.Duration
}

// ConfigError is one problem of a Config. It never holds a secret.
type ConfigError struct {
	Field  string
	Value  string // as written; empty for a secret
	Reason string
}

// Error is, for example, `stripehook: Secrets[1]: must not be empty`.
func (e *ConfigError) Error() string {
	if e.Value == "" {
		return "stripehook: " + e.Field + ": " + e.Reason
	}
	return fmt.Sprintf("stripehook: %s: %q: %s", e.Field, e.Value, e.Reason)
}

// Verifier judges messages that Stripe signed. It implements
// [webhook.Verifier].
//
// Source: https://docs.stripe.com/webhooks#verify-manually
type Verifier struct {
	secrets   []string
	tolerance time.Duration
}

// New returns a Verifier. Errors: every problem of cfg at once, each a
// [*ConfigError].
func New(cfg Config) (*Verifier, error) {
	var problems []error
	if len(cfg.Secrets) == 0 {
		problems = append(problems, &ConfigError{Field: "Secrets", Reason: "at least one is required"})
	}
	for i, s := range cfg.Secrets {
		field := "Secrets[" + strconv.Itoa(i) + "]"
		switch {
		case strings.TrimSpace(s) == "":
			problems = append(problems, &ConfigError{Field: field, Reason: "must not be empty"})
		case strings.TrimSpace(s) != s:
			problems = append(problems, &ConfigError{Field: field, Reason: "must not begin or end with white space"})
		}
	}
	if cfg.Tolerance == 0 {
		cfg.Tolerance = defaultTolerance
	}
	if cfg.Tolerance < time.Second || cfg.Tolerance > 24*time.Hour {
		problems = append(problems, &ConfigError{Field: "Tolerance", Value: cfg.Tolerance.String(), Reason: "must be 1s to 24h"})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Verifier{secrets: slices.Clone(cfg.Secrets), tolerance: cfg.Tolerance}, nil
}

// Provider implements [webhook.Verifier].
func (v *Verifier) Provider() webhook.Provider {
	return webhook.Provider{Name: Name, RetryHorizon: retryHorizon, SignatureHeader: signatureHeader}
}

// Verify implements [webhook.Verifier]. The id, the type and the API version
// are those of the body. A signed body without an id, which Stripe does not
// send, is its own id: the same bytes are the same event.
func (v *Verifier) Verify(m webhook.Message) (webhook.Verified, error) {
	header, err := parse(m.Header)
	if err != nil {
		return webhook.Verified{}, err
	}
	index := v.match(header, m.Body)
	if index < 0 {
		return webhook.Verified{}, webhook.ErrSignatureMismatch
	}
	now := m.Now
	if now.IsZero() {
		now = time.Now()
	}
	// Only now, so that nobody without a secret learns what the clock says.
	switch age := now.Sub(header.timestamp); {
	case age > v.tolerance:
		return webhook.Verified{}, webhook.ErrTimestampTooOld
	case age < -v.tolerance:
		return webhook.Verified{}, webhook.ErrTimestampInFuture
	}
	return describe(m.Body, index), nil
}

// match returns the index of the secret that made one of the signatures, or -1.
func (v *Verifier) match(h signatures, body []byte) int {
	for i, secret := range v.secrets {
		want := stripe.ComputeSignature(h.timestamp, body, secret)
		for _, got := range h.v1 {
			if hmac.Equal(want, got) {
				return i
			}
		}
	}
	return -1
}

func describe(body []byte, index int) webhook.Verified {
	var e struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		APIVersion string `json:"api_version"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" {
		sum := sha256.Sum256(body)
		e.ID = "body-" + hex.EncodeToString(sum[:])
	}
	return webhook.Verified{ID: e.ID, IDSigned: true, Type: e.Type, APIVersion: e.APIVersion, SecretIndex: index}
}

// signatures is a parsed Stripe-Signature header.
type signatures struct {
	timestamp time.Time
	v1        [][]byte
}

// maxUnix is the last second of the year 9999: later ones are not what a clock
// says, and overflow the arithmetic of time.
const maxUnix = 253402300799

// parse reads "t=1495999758,v1=ABC,v1=DEF,v0=GHI" by the rules of stripe-go,
// and refuses what those let through: no t at all, one that is no date, more
// signatures than anyone sends.
func parse(h http.Header) (signatures, error) {
	var s signatures
	values := h[signatureHeader]
	if len(values) == 0 || values[0] == "" {
		return s, webhook.ErrNoSignature
	}
	if len(values) > 1 {
		return s, webhook.ErrMalformedSignature
	}
	dated := false
	for pair := range strings.SplitSeq(values[0], ",") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return s, webhook.ErrMalformedSignature
		}
		switch name {
		case "t":
			unix, err := strconv.ParseInt(value, 10, 64)
			if err != nil || unix < 0 || unix > maxUnix {
				return s, webhook.ErrMalformedSignature
			}
			s.timestamp, dated = time.Unix(unix, 0), true
		case "v1":
			sig, err := hex.DecodeString(value)
			if err != nil || len(sig) != sha256.Size {
				continue
			}
			if s.v1 = append(s.v1, sig); len(s.v1) > maxSignatures {
				return s, webhook.ErrMalformedSignature
			}
		}
	}
	if !dated {
		return s, webhook.ErrMalformedSignature
	}
	if len(s.v1) == 0 {
		return s, webhook.ErrNoSignature
	}
	return s, nil
}
