package webhook

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	minTolerance = time.Second
	maxTolerance = 24 * time.Hour
)

// VerifierConfig configures a [Verifier] of this package, and the [Signer]
// that belongs to it.
type VerifierConfig struct {
	// Provider is a name of [Providers], for example "stripe". Required.
	Provider string
	// Secrets are what the provider signs with, the likeliest first. At least
	// one; several while one is being rotated. They are
	//
	//	standard        whsec_ and base64, or whpk_ and base64 (an ed25519 key)
	//	gitlab          whsec_ and base64 (signing token); anything else is a secret token
	//	discord         the public key in hexadecimal
	//	sendgrid        the public key, base64 of its DER form
	//	all others      the text as it stands
	Secrets []string
	// Tolerance is how far the signed time may be from now, either way,
	// inclusive: 1 s to 24 h. Zero means the provider's, which is 5 min for
	// most. It must be zero where the provider signs no time.
	Tolerance time.Duration
	// PublicURL is the URL as it is configured at the provider, without query,
	// for example "https://example.com/webhooks/square". The query of each
	// request is appended, after "?" when there is one. Required where the
	// signature covers the URL, else empty. It is never taken from a request,
	// whose Host anybody can choose.
	PublicURL string
	// ID overrides where the id of an event comes from: "json:/pointer" (RFC
	// 6901, into the body, a string or a number), "header:NAME", or "body", by
	// which the same bytes are the same event. A message that lacks it is
	// refused. Empty means the provider's. Required for "hmac".
	ID string
	// HMAC describes the signatures of the provider "hmac". Zero for others.
	HMAC HMACConfig
}

// NewVerifier returns a Verifier. It copies what it needs of cfg. Errors:
// every problem of cfg at once, each a [*ConfigError]; none holds a secret.
func NewVerifier(cfg VerifierConfig) (Verifier, error) {
	s, sc, err := cfg.compile(false)
	if err != nil {
		return nil, err
	}
	v := &verifier{info: s.Provider, scheme: sc, sources: s.sources, missing: s.missing}
	if cfg.Tolerance != 0 {
		v.info.Tolerance = cfg.Tolerance
	}
	if cfg.ID != "" {
		v.sources.id, _ = parseSource(cfg.ID)
		v.missing, v.chosen = missingRefused, true
		t, templated := sc.(*template)
		v.info.IDSource = cfg.ID
		v.info.IDSigned = v.sources.id.header == "" || templated && t.signs(v.sources.id.header)
	}
	return v, nil
}

// spec is all that is known of a provider.
type spec struct {
	Provider
	sources sources
	missing missing
	// build makes the scheme, for signing when signs.
	build func(cfg *VerifierConfig, signs bool, bad func(field, reason string)) scheme
}

// missing says what becomes of a message without an id.
type missing uint8

const (
	missingRefused missing = iota
	missingDigest          // the same bytes are the same event
	missingRepeats         // it is handled as often as it comes
)

// scheme is a way to sign messages.
type scheme interface {
	// judge returns what a valid signature says. It allocates nothing that
	// grows with the message.
	judge(m Message) (judgement, error)
	// sign sets the headers that make m valid under the first secret. It may
	// write to m.Header, which is a copy.
	sign(m Message, set func(name, value string)) error
}

// judgement is what is known when a signature holds.
type judgement struct {
	secret int
	// at is when the message was signed, where the signature says so.
	at time.Time
	// id is a signed id that stands outside of the body.
	id string
	// bodyUnsigned: the message was vouched for by other means.
	bodyUnsigned bool
}

// verifier implements [Verifier] for every provider.
type verifier struct {
	info    Provider
	scheme  scheme
	sources sources
	missing missing
	chosen  bool // the id is the configuration's
}

func (v *verifier) Provider() Provider { return v.info }

func (v *verifier) Verify(m Message) (Verified, error) {
	j, err := v.scheme.judge(m)
	if err != nil {
		return Verified{}, err
	}
	if v.info.Tolerance > 0 && !j.at.IsZero() {
		now := m.Now
		if now.IsZero() {
			now = time.Now()
		}
		// Only now, so that nobody without a secret learns what the clock says.
		switch age := now.Sub(j.at); {
		case age > v.info.Tolerance:
			return Verified{}, ErrTimestampTooOld
		case age < -v.info.Tolerance:
			return Verified{}, ErrTimestampInFuture
		}
	}
	return v.describe(m, j), nil
}

func (v *verifier) describe(m Message, j judgement) Verified {
	out := Verified{SecretIndex: j.secret}
	out.ID, out.Type, out.APIVersion = v.sources.identify(m)
	out.IDSigned = v.info.IDSigned && !j.bodyUnsigned
	if !v.chosen && j.id != "" {
		out.ID, out.IDSigned = j.id, true
	}
	switch {
	case v.sources.id.digest, out.ID == "" && v.missing == missingDigest:
		out.ID, out.IDSigned = v.digest(m), !j.bodyUnsigned
	case out.ID == "" && v.missing == missingRepeats:
		out.IDSigned, out.NotDeduplicated = false, true
	}
	return out
}

// digest names a message by what the provider signed of it, apart from times.
func (v *verifier) digest(m Message) string {
	if v.info.NeedsPublicURL && m.RawQuery != "" {
		return digestID(m.RawQuery, "\n", string(m.Body))
	}
	return digestID(string(m.Body))
}

// compile checks the configuration and makes the scheme.
func (cfg *VerifierConfig) compile(signs bool) (spec, scheme, error) {
	var problems []error
	bad := func(field, value, reason string) {
		problems = append(problems, &ConfigError{Field: field, Value: value, Reason: reason})
	}
	s, known := specOf(cfg.Provider)
	if !known {
		bad("Provider", shorten(cfg.Provider), "must be one of "+strings.Join(providerNames(), ", "))
	}
	if len(cfg.Secrets) == 0 {
		bad("Secrets", "", "at least one is required")
	}
	for i, secret := range cfg.Secrets {
		if strings.TrimSpace(secret) == "" {
			bad(secretField(i), "", "must not be empty")
		} else if strings.TrimSpace(secret) != secret {
			bad(secretField(i), "", "must not begin or end with white space")
		}
	}
	if !known {
		return spec{}, nil, errors.Join(problems...)
	}
	if problem := toleranceProblem(s, cfg.Tolerance); problem != "" {
		bad("Tolerance", cfg.Tolerance.String(), problem)
	}
	if problem := urlProblem(s, cfg.PublicURL); problem != "" {
		bad("PublicURL", "", problem)
	}
	if _, ok := parseSource(cfg.ID); !ok {
		bad("ID", shorten(cfg.ID), "must be json:/pointer, header:NAME or body")
	} else if cfg.ID == "" && s.IDSource == "" {
		bad("ID", "", "is required: json:/pointer, header:NAME or body")
	}
	if cfg.HMAC != (HMACConfig{}) && s.Name != "hmac" {
		bad("HMAC", "", "is for the provider hmac alone")
	}
	if s.dated(cfg) && s.Tolerance == 0 {
		s.Tolerance = defaultTolerance
	}
	sc := s.build(cfg, signs, func(field, reason string) { bad(field, "", reason) })
	if err := errors.Join(problems...); err != nil {
		return spec{}, nil, err
	}
	return s, sc, nil
}

const defaultTolerance = 5 * time.Minute

// dated reports whether messages under cfg have a signed time.
func (s *spec) dated(cfg *VerifierConfig) bool {
	return s.Tolerance > 0 || s.Name == "hmac" && strings.Contains(cfg.HMAC.Signed, "{timestamp:")
}

func toleranceProblem(s spec, d time.Duration) string {
	switch {
	case d == 0:
	case s.Tolerance == 0 && s.Name != "hmac":
		return "must be zero: " + s.Name + " signs no time"
	case d < minTolerance || d > maxTolerance:
		return "must be 1s to 24h"
	}
	return ""
}

// urlProblem does not quote the URL, which may hold a password.
func urlProblem(s spec, public string) string {
	switch {
	case !s.NeedsPublicURL && public == "":
		return ""
	case !s.NeedsPublicURL:
		return "must be empty: " + s.Name + " signs no URL"
	case public == "":
		return "is required: " + s.Name + " signs the URL as it is configured there"
	}
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(public, "?# \t\r\n") {
		return "must be an http or https URL without query and fragment"
	}
	return ""
}

func secretField(i int) string { return "Secrets[" + strconv.Itoa(i) + "]" }
