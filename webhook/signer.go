package webhook

import (
	"net/http"
	"strings"
	"time"
)

// Signer signs messages as a provider does: for tests, for trying a route out,
// and for delivering late what was verified in time.
//
// Safety: one value serves any number of goroutines.
type Signer struct {
	spec   spec
	scheme scheme
}

// NewSigner returns a Signer, which signs with the first secret. Where a
// provider's signatures are asymmetric the secret is the private key:
//
//	standard   whsk_ and base64 of an ed25519 seed or key; or whsec_
//	discord    the ed25519 seed or key in hexadecimal
//	sendgrid   the ECDSA key, base64 of its DER form (SEC 1 or PKCS #8)
//
// Errors: as of [NewVerifier].
func NewSigner(cfg VerifierConfig) (*Signer, error) {
	s, sc, err := cfg.compile(true)
	if err != nil {
		return nil, err
	}
	if cfg.ID != "" {
		s.sources.id, _ = parseSource(cfg.ID)
	}
	return &Signer{spec: s, scheme: sc}, nil
}

// isSvix reports whether a message names its event in Svix's header.
func (s *Signer) isSvix(m Message) bool {
	return s.spec.Name == "standard" && len(m.Header[standardFamilies()[1].id]) > 0
}

// CanSignFresh returns nil when messages that a [Verifier] of cfg accepted can be
// signed anew with the secrets of cfg, so that it accepts them once more: see
// InboxConfig.Signer. Errors: a [*ConfigError] that says why not. Nothing of it
// can be told from [NewSigner], which takes a public key for a private one of
// the same length. It does not judge cfg in any other way.
func CanSignFresh(cfg VerifierConfig) error {
	no := func(field, value, reason string) error {
		return &ConfigError{Field: field, Value: value, Reason: reason}
	}
	const asymmetric = "signs with a private key that nobody else holds: its messages cannot be signed anew"
	switch cfg.Provider {
	case "discord", "sendgrid":
		return no("Provider", cfg.Provider, asymmetric)
	case "linear":
		return no("Provider", cfg.Provider, "says in the body when it was sent: no signature makes that anew")
	case "standard":
		for i, secret := range cfg.Secrets {
			if strings.HasPrefix(secret, publicPrefix) {
				return no(secretField(i), "", "is a public key, whose owner "+asymmetric)
			}
		}
	}
	return nil
}

// Sign returns the headers that a provider adds to a message, signed at m.Now.
// Those that carry an id are taken over from m.Header, and when they are
// absent name the event by the digest of its body. m is not changed.
//
// What stands in the body is not signed anew: Linear's time remains what it
// was. Errors: one that matches [ErrNotSignable].
func (s *Signer) Sign(m Message) (http.Header, error) {
	if m.Now.IsZero() {
		m.Now = time.Now()
	}
	out := http.Header{}
	if m.Header = m.Header.Clone(); m.Header == nil {
		m.Header = http.Header{}
	}
	if name := s.spec.sources.id.header; name != "" && !s.isSvix(m) {
		id := s.spec.sources.id.inHeader(m.Header)
		if id == "" {
			id = digestID(string(m.Body))
		}
		m.Header[name], out[name] = []string{id}, []string{id}
	}
	if err := s.scheme.sign(m, out.Set); err != nil {
		return nil, err
	}
	return out, nil
}
