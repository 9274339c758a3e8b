package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// stripeSpec: events of another API version than the receiver's are valid, and
// their version is told.
func stripeSpec() spec {
	src := mustSources("json:/id", "json:/type", "json:/api_version")
	return spec{
		Provider: Provider{
			Name:            "stripe",
			SignatureHeader: "Stripe-Signature",
			Signed:          "timestamp.body",
			IDSource:        "json:/id",
			IDSigned:        true,
			RetryHorizon:    72 * time.Hour,
			Timeout:         defaultTimeout,
			Tolerance:       defaultTolerance,
			Docs:            "https://docs.stripe.com/webhooks#verify-manually",
		},
		sources: sources{id: src[0], typ: src[1], apiVersion: src[2]},
		missing: missingDigest, // Stripe sends none
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return newPairs(cfg.Secrets, pairs{header: "Stripe-Signature", separator: ",", time: "t", signature: "v1", joint: "."})
		},
	}
}

// pairs is the scheme of a header of name=value pairs: a time, and signatures
// of that time and the body.
type pairs struct {
	header    string
	separator string // between pairs
	time      string // the name of the time
	signature string // the name of a signature
	joint     string // between time and body
	keys      []*macKey
}

func newPairs(secrets []string, p pairs) *pairs {
	p.keys = textKeys(sha256.New, secrets)
	return &p
}

func (p *pairs) judge(m Message) (judgement, error) {
	var got candidates
	at, err := p.parse(m, &got)
	if err != nil {
		return judgement{}, err
	}
	for i, key := range p.keys {
		if p.matches(key, at, m.Body, &got) {
			return judgement{secret: i, at: at}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

func (p *pairs) matches(key *macKey, at time.Time, body []byte, got *candidates) bool {
	mac := key.start()
	defer key.done(mac)
	p.feed(mac, at, body)
	return got.include(mac.sum())
}

func (p *pairs) feed(mac *mac, at time.Time, body []byte) {
	mac.unix(at, p.joint)
	mac.bytes(body)
}

// parse reads for example "t=1495999758,v1=ABC,v1=DEF,v0=GHI". Of several
// times the last one counts; names that are not known and signatures that are
// not of the right form are passed over.
func (p *pairs) parse(m Message, got *candidates) (time.Time, error) {
	header, err := one(m.Header, p.header)
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	dated := false
	got.size = sha256.Size
	for more := true; more; {
		var pair string
		pair, header, more = strings.Cut(header, p.separator)
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return at, ErrMalformedSignature
		}
		switch name {
		case p.time:
			if at, dated = unixSeconds(value); !dated {
				return at, ErrMalformedSignature
			}
		case p.signature:
			if !got.addHex(value) {
				return at, ErrMalformedSignature
			}
		}
	}
	switch {
	case !dated:
		return at, ErrMalformedSignature
	case got.n == 0:
		return at, ErrNoSignature
	}
	return at, nil
}

func (p *pairs) sign(m Message, set func(name, value string)) error {
	mac := p.keys[0].start()
	defer p.keys[0].done(mac)
	p.feed(mac, m.Now, m.Body)
	set(p.header, p.time+"="+formatUnix(m.Now)+p.separator+p.signature+"="+hex.EncodeToString(mac.sum()))
	return nil
}
