package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// standardSpec is that of Standard Webhooks and of Svix, whose headers have
// another prefix. Retries are those that the specification suggests.
func standardSpec() spec {
	src := mustSources("header:Webhook-Id", "json:/type")
	return spec{
		Provider: Provider{
			Name:         "standard",
			Signed:       "id.timestamp.body",
			IDSource:     "header:Webhook-Id",
			IDSigned:     true,
			Timeout:      12 * time.Second,
			RetryHorizon: 76 * time.Hour,
			Tolerance:    defaultTolerance,
			Docs:         "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
		},
		sources: sources{id: src[0], typ: src[1]},
		build: func(cfg *VerifierConfig, signs bool, bad func(field, reason string)) scheme {
			return newStandard(cfg.Secrets, signs, bad)
		},
	}
}

// standard is the scheme of Standard Webhooks.
type standard struct {
	keys []standardKey
}

// standardKey is a MAC key, or an ed25519 key.
type standardKey struct {
	mac     *macKey
	public  ed25519.PublicKey
	private ed25519.PrivateKey // for signing
}

// standardHeaders are the names of one family.
type standardHeaders struct{ id, timestamp, signature string }

func standardFamilies() [2]standardHeaders {
	return [2]standardHeaders{
		{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
		{"Svix-Id", "Svix-Timestamp", "Svix-Signature"},
	}
}

const (
	symmetricPrefix = "whsec_"
	publicPrefix    = "whpk_"
	privatePrefix   = "whsk_"
)

func newStandard(secrets []string, signs bool, bad func(field, reason string)) *standard {
	s := &standard{}
	for i, secret := range secrets {
		key, problem := parseStandardKey(secret, signs)
		if problem != "" {
			bad(secretField(i), problem)
		}
		s.keys = append(s.keys, key)
	}
	return s
}

func parseStandardKey(secret string, signs bool) (key standardKey, problem string) {
	encoded, symmetric := strings.CutPrefix(secret, symmetricPrefix)
	if symmetric {
		raw, err := decodeBase64(encoded)
		if err != nil || len(raw) == 0 {
			return key, "must be base64 after " + symmetricPrefix
		}
		key.mac = newMACKey(sha256.New, raw)
		return key, ""
	}
	if signs {
		encoded, ok := strings.CutPrefix(secret, privatePrefix)
		raw, err := decodeBase64(encoded)
		if !ok || err != nil {
			return key, "must begin with " + symmetricPrefix + " or " + privatePrefix + ", and go on in base64"
		}
		key.private, problem = privateKey(raw)
		return key, problem
	}
	encoded, ok := strings.CutPrefix(secret, publicPrefix)
	raw, err := decodeBase64(encoded)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return key, "must begin with " + symmetricPrefix + " or " + publicPrefix + ", and go on in base64"
	}
	key.public = raw
	return key, ""
}

// privateKey takes an ed25519 seed, or a seed and its public key.
func privateKey(raw []byte) (key ed25519.PrivateKey, problem string) {
	switch len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), ""
	case ed25519.PrivateKeySize:
		key = ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if key.Equal(ed25519.PrivateKey(raw)) {
			return key, ""
		}
	}
	return nil, "must be an ed25519 seed or private key"
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// standardMessage is what the headers of a message say.
type standardMessage struct {
	standardHeaders
	idValue, timeValue string
	at                 time.Time
	macs, signatures   candidates
}

func (s *standard) judge(m Message) (judgement, error) {
	var got standardMessage
	if err := got.parse(m.Header); err != nil {
		return judgement{}, err
	}
	for i := range s.keys {
		if s.keys[i].made(&got, m.Body) {
			return judgement{secret: i, at: got.at, id: got.idValue}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

// parse reads the headers of the one family that is there. An id must not
// hold a full stop, so that nothing moves between id, time and body.
func (got *standardMessage) parse(h http.Header) error {
	found := false
	for _, family := range standardFamilies() {
		if len(h[family.signature]) == 0 {
			continue
		}
		if found {
			return ErrMalformedSignature // whose id would count?
		}
		got.standardHeaders, found = family, true
	}
	if !found {
		return ErrNoSignature
	}
	signatures, err := one(h, got.signature)
	if err != nil {
		return err
	}
	if got.idValue, err = companion(h, got.id); err != nil || strings.Contains(got.idValue, ".") {
		return ErrMalformedSignature
	}
	if got.timeValue, err = companion(h, got.timestamp); err != nil {
		return err
	}
	var ok bool
	if got.at, ok = unixSeconds(got.timeValue); !ok {
		return ErrMalformedSignature
	}
	return got.split(signatures)
}

// split reads for example "v1,g0hM9SsE+OTP= v1a,hnO3f9T8Ytu=". Versions that
// are not known, and signatures that are not of the right form, are passed over.
func (got *standardMessage) split(s string) error {
	got.macs.size, got.signatures.size = sha256.Size, ed25519.SignatureSize
	got.signatures.max = maxAsymmetric
	for more := true; more; {
		var one string
		one, s, more = strings.Cut(s, " ")
		version, value, _ := strings.Cut(one, ",")
		ok := true
		switch version {
		case "v1":
			ok = got.macs.addBase64(base64.StdEncoding, value)
		case "v1a":
			ok = got.signatures.addBase64(base64.StdEncoding, value)
		}
		if !ok {
			return ErrMalformedSignature
		}
	}
	if got.macs.n+got.signatures.n == 0 {
		return ErrMalformedSignature
	}
	return nil
}

func (k *standardKey) made(got *standardMessage, body []byte) bool {
	if k.mac == nil {
		return got.signatures.verify(k.public, got.idValue, ".", got.timeValue, ".", body)
	}
	mac := k.mac.start()
	defer k.mac.done(mac)
	mac.signed(got.idValue, got.timeValue, body)
	return got.macs.include(mac.sum())
}

// signed writes what Standard Webhooks sign.
func (m *mac) signed(id, timestamp string, body []byte) {
	m.text(id)
	m.text(".")
	m.text(timestamp)
	m.text(".")
	m.bytes(body)
}

// sign uses the headers of Svix when the message has an id of theirs.
func (s *standard) sign(m Message, set func(name, value string)) error {
	family := standardFamilies()[0]
	id := source{header: family.id}.inHeader(m.Header)
	if svix := standardFamilies()[1]; len(m.Header[svix.id]) > 0 {
		family, id = svix, source{header: svix.id}.inHeader(m.Header)
	}
	if id == "" || strings.Contains(id, ".") {
		return ErrNotSignable
	}
	at := formatUnix(m.Now)
	set(family.id, id)
	set(family.timestamp, at)
	key := &s.keys[0]
	if key.mac == nil {
		signature := ed25519.Sign(key.private, joined(id, ".", at, ".", m.Body))
		set(family.signature, "v1a,"+base64.StdEncoding.EncodeToString(signature))
		return nil
	}
	mac := key.mac.start()
	defer key.mac.done(mac)
	mac.signed(id, at, m.Body)
	set(family.signature, "v1,"+base64.StdEncoding.EncodeToString(mac.sum()))
	return nil
}

// verify reports whether one of the signatures is the key's, of the texts and
// the body one after the other.
func (c *candidates) verify(key ed25519.PublicKey, a, b, d, e string, body []byte) bool {
	if c.n == 0 {
		return false
	}
	message := joined(a, b, d, e, body)
	for i := range c.n {
		if ed25519.Verify(key, message, c.sums[i][:c.size]) {
			return true
		}
	}
	return false
}

func joined(a, b, c, d string, body []byte) []byte {
	message := make([]byte, 0, len(a)+len(b)+len(c)+len(d)+len(body))
	message = append(append(append(append(message, a...), b...), c...), d...)
	return append(message, body...)
}
