package webhook

import (
	"crypto/sha1" // as HMAC it holds, and providers sign with it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// HMACConfig describes the signatures of a provider that is not known by name.
type HMACConfig struct {
	// Header holds the signature, for example "X-Signature". It may hold up to
	// 16 of them between commas; one is enough. Required.
	Header string
	// Algorithm is "sha1", "sha256" or "sha512". Required.
	Algorithm string
	// Encoding is "hex", "base64" or "base64url", the latter two with or
	// without padding. Required.
	Encoding string
	// Prefix is what stands before each signature, for example "sha256=".
	Prefix string
	// Signed is what the signature is made of: text with
	//
	//	{body}            the raw body, once
	//	{timestamp:NAME}  the header NAME, a time in Unix seconds (10 digits),
	//	                  milliseconds (13 digits) or as RFC 3339 has it;
	//	                  at most once. It is held to VerifierConfig.Tolerance
	//	{header:NAME}     the header NAME
	//
	// for example "v0:{timestamp:X-Time}:{body}". Text must stand on each side
	// of a header that has a neighbour; a header that contains that text is
	// refused, so that nothing can be moved from one part to another. Empty
	// means "{body}".
	Signed string
}

func hmacSpec() spec {
	return spec{
		Provider: Provider{
			Name:    "hmac",
			Signed:  "as configured",
			Timeout: defaultTimeout,
		},
		build: func(cfg *VerifierConfig, _ bool, bad func(field, reason string)) scheme {
			if strings.Contains(cfg.HMAC.Signed, "{url}") {
				bad("HMAC.Signed", "must not name the URL")
			}
			return newTemplate(cfg, cfg.HMAC, bad)
		},
	}
}

// template is the scheme of one header that holds the MAC of a text made of
// the body and other headers.
type template struct {
	header   string
	prefix   string
	size     int
	encoding *base64.Encoding // nil: hexadecimal
	parts    []part
	keys     []*macKey
	public   string // the configured URL
}

// part is a piece of what is signed.
type part struct {
	kind partKind
	text string // the text, or the header's canonical name
	// before and after are the texts next to a header, which it may not contain.
	before, after string
}

type partKind uint8

const (
	partText partKind = iota
	partBody
	partTime
	partHeader
	partURL
)

// fixedTemplate is that of a provider whose description is known to be good.
func fixedTemplate(cfg *VerifierConfig, h HMACConfig) *template {
	return newTemplate(cfg, h, func(string, string) {})
}

func newTemplate(cfg *VerifierConfig, h HMACConfig, bad func(field, reason string)) *template {
	t := &template{header: http.CanonicalHeaderKey(h.Header), prefix: h.Prefix, public: cfg.PublicURL}
	if !isToken(h.Header) {
		bad("HMAC.Header", "must be the name of a header")
	}
	if strings.ContainsAny(h.Prefix, ", \t") || len(h.Prefix) > 64 {
		bad("HMAC.Prefix", "must be at most 64 bytes without comma and space")
	}
	var newHash func() hash.Hash
	switch h.Algorithm {
	case "sha1":
		newHash, t.size = sha1.New, sha1.Size
	case "sha256":
		newHash, t.size = sha256.New, sha256.Size
	case "sha512":
		newHash, t.size = sha512.New, sha512.Size
	default:
		bad("HMAC.Algorithm", "must be sha1, sha256 or sha512")
	}
	switch h.Encoding {
	case "hex":
	case "base64":
		t.encoding = base64.RawStdEncoding
	case "base64url":
		t.encoding = base64.RawURLEncoding
	default:
		bad("HMAC.Encoding", "must be hex, base64 or base64url")
	}
	if h.Signed == "" {
		h.Signed = "{body}"
	}
	var problem string
	if t.parts, problem = parseTemplate(h.Signed); problem != "" {
		bad("HMAC.Signed", problem)
	}
	if newHash != nil {
		t.keys = textKeys(newHash, cfg.Secrets)
	}
	return t
}

// parseTemplate reads what is signed, or says what is wrong with it.
func parseTemplate(s string) (parts []part, problem string) {
	const form = "must be text with {body}, {timestamp:NAME} and {header:NAME}"
	counts := map[partKind]int{}
	for s != "" {
		before, rest, found := strings.Cut(s, "{")
		if before != "" {
			parts = append(parts, part{kind: partText, text: before})
		}
		if !found {
			break
		}
		inside, after, closed := strings.Cut(rest, "}")
		p, ok := parsePlaceholder(inside)
		if !closed || !ok || strings.Contains(before, "}") {
			return nil, form
		}
		counts[p.kind]++
		parts, s = append(parts, p), after
	}
	if counts[partBody] != 1 || counts[partTime] > 1 || len(parts) > 2*maxPointer {
		return nil, form + ", {body} once and the timestamp at most once"
	}
	for i := range parts {
		if parts[i].kind != partHeader {
			continue
		}
		if i > 0 {
			parts[i].before = literal(parts[i-1])
		}
		if i+1 < len(parts) {
			parts[i].after = literal(parts[i+1])
		}
		if i > 0 && parts[i].before == "" || i+1 < len(parts) && parts[i].after == "" {
			return nil, "must have text between a header and its neighbours"
		}
	}
	return parts, ""
}

func parsePlaceholder(s string) (part, bool) {
	kind, name, named := strings.Cut(s, ":")
	switch {
	case s == "body":
		return part{kind: partBody}, true
	case s == "url": // of providers that are known to sign it
		return part{kind: partURL}, true
	case kind == "timestamp" && named && isToken(name):
		return part{kind: partTime, text: http.CanonicalHeaderKey(name)}, true
	case kind == "header" && named && isToken(name):
		return part{kind: partHeader, text: http.CanonicalHeaderKey(name)}, true
	}
	return part{}, false
}

func literal(p part) string {
	if p.kind == partText {
		return p.text
	}
	return ""
}

func (t *template) judge(m Message) (judgement, error) {
	var got candidates
	if err := t.parse(m, &got); err != nil {
		return judgement{}, err
	}
	at, err := t.check(m)
	if err != nil {
		return judgement{}, err
	}
	for i, key := range t.keys {
		if t.matches(key, m, &got) {
			return judgement{secret: i, at: at}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

func (t *template) parse(m Message, got *candidates) error {
	header, err := one(m.Header, t.header)
	if err != nil {
		return err
	}
	got.size = t.size
	for more := true; more; {
		var s string
		s, header, more = strings.Cut(header, ",")
		s, ok := strings.CutPrefix(strings.Trim(s, " "), t.prefix)
		if ok && !t.add(got, s) {
			return ErrMalformedSignature
		}
	}
	if got.n == 0 {
		return ErrMalformedSignature
	}
	return nil
}

// add takes a signature, and reports false when there are too many.
func (t *template) add(got *candidates, s string) bool {
	if t.encoding == nil {
		return got.addHex(s)
	}
	if len(s)%4 == 0 { // padded
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	return got.addBase64(t.encoding, s)
}

// signs reports whether the signature covers a header.
func (t *template) signs(header string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.kind == partHeader && p.text == header })
}

// check looks at the headers that are signed, and returns the time among them.
func (t *template) check(m Message) (time.Time, error) {
	var at time.Time
	for i := range t.parts {
		p := &t.parts[i]
		if p.kind != partTime && p.kind != partHeader {
			continue
		}
		value, err := companion(m.Header, p.text)
		if err != nil {
			return at, err
		}
		switch {
		case p.kind == partTime:
			var ok bool
			if at, ok = parseTime(value); !ok {
				return at, ErrMalformedSignature
			}
		case p.before != "" && strings.Contains(value, p.before), p.after != "" && strings.Contains(value, p.after):
			return at, ErrMalformedSignature
		}
	}
	return at, nil
}

// parseTime reads Unix seconds of 10 digits, milliseconds of 13, or RFC 3339.
func parseTime(s string) (time.Time, bool) {
	n, ok := digits(s)
	switch {
	case ok && len(s) == 10:
		return time.Unix(n, 0), true
	case ok && len(s) == 13:
		return time.UnixMilli(n), true
	case ok || len(s) > len(time.RFC3339Nano):
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, s)
	return at, err == nil && !at.IsZero()
}

func (t *template) matches(key *macKey, m Message, got *candidates) bool {
	mac := key.start()
	defer key.done(mac)
	t.feed(mac, m)
	return got.include(mac.sum())
}

func (t *template) feed(mac *mac, m Message) {
	for i := range t.parts {
		switch p := &t.parts[i]; p.kind {
		case partText:
			mac.text(p.text)
		case partBody:
			mac.bytes(m.Body)
		case partURL:
			mac.url(t.public, m.RawQuery)
		case partTime, partHeader:
			if v := m.Header[p.text]; len(v) > 0 {
				mac.text(v[0])
			}
		}
	}
}

// url writes the URL as the provider knows it.
func (m *mac) url(public, rawQuery string) {
	m.text(public)
	if rawQuery != "" {
		m.text("?")
		m.text(rawQuery)
	}
}

func (t *template) sign(m Message, set func(name, value string)) error {
	for _, p := range t.parts {
		if p.kind == partTime {
			m.Header[p.text] = []string{formatUnix(m.Now)}
			set(p.text, formatUnix(m.Now))
		}
	}
	if _, err := t.check(m); err != nil {
		return ErrNotSignable
	}
	mac := t.keys[0].start()
	defer t.keys[0].done(mac)
	t.feed(mac, m)
	set(t.header, t.prefix+t.encode(mac.sum()))
	return nil
}

func (t *template) encode(sum []byte) string {
	switch t.encoding {
	case nil:
		return hex.EncodeToString(sum)
	case base64.RawStdEncoding:
		return base64.StdEncoding.EncodeToString(sum)
	}
	return base64.URLEncoding.EncodeToString(sum)
}
