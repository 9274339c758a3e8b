package webhook

import (
	"cmp"
	"crypto/sha1" // as HMAC it holds, and Twilio signs with it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	twilioSignature = "X-Twilio-Signature"
	twilioDigest    = "bodySHA256"
	formType        = "application/x-www-form-urlencoded"

	// maxParameters is how many a query or a form may have, as in net/url.
	maxParameters = 10_000
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

// parameter is one of a form, or of a query.
type parameter struct{ name, value string }

func (p parameter) compare(q parameter) int {
	return cmp.Or(strings.Compare(p.name, q.name), strings.Compare(p.value, q.value))
}

// parameters are those of a form or a query as it was sent, in its order. It
// reports false when s is none, or has more than maxParameters.
func parameters(s string) ([]parameter, bool) {
	n := strings.Count(s, "&") + 1
	if n > maxParameters || strings.Contains(s, ";") {
		return nil, false
	}
	all := make([]parameter, 0, n)
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameOK := unescaped(name)
		value, valueOK := unescaped(value)
		if !nameOK || !valueOK {
			return nil, false
		}
		all = append(all, parameter{name, value})
	}
	return all, true
}

func unescaped(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}

// twilioParams are the parameters of a form as they are signed. It reports false
// when the body cannot be what the signature covers.
func twilioParams(m Message) (params []parameter, ok bool) {
	if m.RawQuery != "" {
		query, ok := parameters(m.RawQuery)
		if !ok {
			return nil, false
		}
		if i := slices.IndexFunc(query, func(p parameter) bool { return p.name == twilioDigest }); i >= 0 {
			sum := sha256.Sum256(m.Body)
			want := hex.EncodeToString(sum[:])
			return nil, subtle.ConstantTimeCompare([]byte(query[i].value), []byte(want)) == 1
		}
	}
	if len(m.Body) == 0 {
		return nil, true
	}
	if kind := m.Header.Get("Content-Type"); kind != formType {
		mediaType, _, err := mime.ParseMediaType(kind)
		if err != nil || mediaType != formType {
			return nil, false
		}
	}
	if params, ok = parameters(string(m.Body)); !ok {
		return nil, false
	}
	slices.SortFunc(params, parameter.compare)
	return slices.Compact(params), true
}

func (t *twilio) matches(key *macKey, rawQuery string, params []parameter, got *candidates) bool {
	mac := key.start()
	defer key.done(mac)
	t.feed(mac, rawQuery, params)
	return got.include(mac.sum())
}

func (t *twilio) feed(mac *mac, rawQuery string, params []parameter) {
	mac.url(t.public, rawQuery)
	for _, p := range params {
		mac.text(p.name)
		mac.text(p.value)
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
