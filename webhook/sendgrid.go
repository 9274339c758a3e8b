package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"time"
)

const (
	sendgridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendgridTimestamp = "X-Twilio-Email-Event-Webhook-Timestamp"

	// maxECDSABytes is the longest signature on P-256 in its DER form.
	maxECDSABytes = 72
)

// sendgridSpec: a body is a batch of events without an id of its own, so the
// same bytes are the same event. SendGrid does not say whether a batch that is
// repeated, for up to a day, is signed anew; hence the tolerance of a day. A
// replay within it is a duplicate.
func sendgridSpec() spec {
	return spec{
		Provider: Provider{
			Name:            "sendgrid",
			SignatureHeader: sendgridSignature,
			Signed:          "timestamp.body",
			IDSource:        "body",
			IDSigned:        true,
			Timeout:         8 * time.Second,
			RetryHorizon:    24 * time.Hour,
			Tolerance:       maxTolerance,
			Docs:            "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
		},
		sources: sources{id: source{digest: true}},
		build: func(cfg *VerifierConfig, signs bool, bad func(field, reason string)) scheme {
			return newSendGrid(cfg.Secrets, signs, bad)
		},
	}
}

// sendgrid is an ECDSA signature on P-256 of the time and the body.
type sendgrid struct {
	keys    []*ecdsa.PublicKey
	private *ecdsa.PrivateKey // for signing
}

func newSendGrid(secrets []string, signs bool, bad func(field, reason string)) *sendgrid {
	s := &sendgrid{}
	for i, secret := range secrets {
		der, err := base64.StdEncoding.DecodeString(secret)
		if signs {
			key := parseECDSA(der)
			if err != nil || key == nil {
				bad(secretField(i), "must be a private key on P-256, base64 of its DER form")
			} else if i == 0 {
				s.private = key
			}
			continue
		}
		parsed, parseErr := x509.ParsePKIXPublicKey(der)
		key, ok := parsed.(*ecdsa.PublicKey)
		if err != nil || parseErr != nil || !ok || key.Curve != elliptic.P256() {
			bad(secretField(i), "must be a public key on P-256, base64 of its DER form")
		}
		s.keys = append(s.keys, key)
	}
	return s
}

func parseECDSA(der []byte) *ecdsa.PrivateKey {
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		parsed, _ := x509.ParsePKCS8PrivateKey(der)
		key, _ = parsed.(*ecdsa.PrivateKey)
	}
	if key == nil || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}

func (s *sendgrid) judge(m Message) (judgement, error) {
	header, err := one(m.Header, sendgridSignature)
	if err != nil {
		return judgement{}, err
	}
	timestamp, err := companion(m.Header, sendgridTimestamp)
	if err != nil {
		return judgement{}, err
	}
	at, ok := unixSeconds(timestamp)
	if !ok || len(header) > base64.StdEncoding.EncodedLen(maxECDSABytes) {
		return judgement{}, ErrMalformedSignature
	}
	signature, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return judgement{}, ErrMalformedSignature
	}
	digest := datedDigest(timestamp, m.Body)
	for i, key := range s.keys {
		if ecdsa.VerifyASN1(key, digest[:], signature) {
			return judgement{secret: i, at: at}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

func datedDigest(timestamp string, body []byte) (digest [sha256.Size]byte) {
	h := sha256.New()
	_, _ = h.Write([]byte(timestamp))
	_, _ = h.Write(body)
	h.Sum(digest[:0])
	return digest
}

func (s *sendgrid) sign(m Message, set func(name, value string)) error {
	at := formatUnix(m.Now)
	digest := datedDigest(at, m.Body)
	signature, err := ecdsa.SignASN1(rand.Reader, s.private, digest[:])
	if err != nil {
		return ErrNotSignable
	}
	set(sendgridTimestamp, at)
	set(sendgridSignature, base64.StdEncoding.EncodeToString(signature))
	return nil
}
