package webhook

import (
	"crypto/sha1" // as HMAC it holds, and Twilio signs with it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"mime"
	"net/url"
	"slices"
	"time"
)

const (
	twilioSignature = "X-Twilio-Signature"
	twilioDigest    = "bodySHA256"
	formType        = "application/x-www-form-urlencoded"
)

// twilioSpec: Twilio repeats a request only where the URL is configured so.
func twilioSpec() spec {
	src := mustSources("header:I-Twilio-Idempotency-Token")
	return spec{
		Provider: Provider{
			Name:            "twilio",
			SignatureHeader: twilioSignature,
			Signed:          "url.parameters of a form; url with the digest of any other body",
			IDSource:        "header:I-Twilio-Idempotency-Token",
			Deadline:        15 * time.Second,
			Timeout:         12 * time.Second,
			NeverRetries:    true,
			ReplayAnswers:   true,
			NeedsPublicURL:  true,
			ReplayGuard:     true,
			Docs:            "https://www.twilio.com/docs/usage/security#validating-requests",
		},
		sources: sources{id: src[0]},
		missing: missingDigest,
		build: func(cfg *VerifierConfig, _ bool, _ func(field, reason string)) scheme {
			return &twilio{public: cfg.PublicURL, keys: textKeys(sha1.New, cfg.Secrets)}
		},
	}
}

// twilio is the MAC of the URL, followed by the parameters of a form sorted by
// their names. For a body of another kind the query holds its digest instead.
type twilio struct {
	public string
	keys   []*macKey
}

func (t *twilio) judge(m Message) (judgement, error) {
	header, err := one(m.Header, twilioSignature)
	if err != nil {
		return judgement{}, err
	}
	got := candidates{size: sha1.Size}
	if !got.addBase64(base64.StdEncoding, header) || got.n == 0 {
		return judgement{}, ErrMalformedSignature
	}
	params, ok := twilioParams(m)
	if !ok {
		return judgement{}, ErrSignatureMismatch
	}
	for i, key := range t.keys {
		if t.matches(key, m.RawQuery, params, &got) {
			return judgement{secret: i}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

// twilioParams are names and values of a form as they are signed. It reports
// false when the body cannot be what the signature covers.
func twilioParams(m Message) (params []string, ok bool) {
	query, err := url.ParseQuery(m.RawQuery)
	if err != nil {
		return nil, false
	}
	if digests, there := query[twilioDigest]; there {
		sum := sha256.Sum256(m.Body)
		want := hex.EncodeToString(sum[:])
		return nil, subtle.ConstantTimeCompare([]byte(digests[0]), []byte(want)) == 1
	}
	if len(m.Body) == 0 {
		return nil, true
	}
	mediaType, _, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || mediaType != formType {
		return nil, false
	}
	form, err := url.ParseQuery(string(m.Body))
	if err != nil {
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			params = append(params, name, value)
		}
	}
	return params, true
}

func (t *twilio) matches(key *macKey, rawQuery string, params []string, got *candidates) bool {
	mac := key.start()
	defer key.done(mac)
	t.feed(mac, rawQuery, params)
	return got.include(mac.sum())
}

func (t *twilio) feed(mac *mac, rawQuery string, params []string) {
	mac.url(t.public, rawQuery)
	for _, s := range params {
		mac.text(s)
	}
}

func (t *twilio) sign(m Message, set func(name, value string)) error {
	params, ok := twilioParams(m)
	if !ok {
		return ErrNotSignable
	}
	mac := t.keys[0].start()
	defer t.keys[0].done(mac)
	t.feed(mac, m.RawQuery, params)
	set(twilioSignature, base64.StdEncoding.EncodeToString(mac.sum()))
	return nil
}
