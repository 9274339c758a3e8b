package ratelimit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/handrail-go/handrail/internal/clientip"
)

// part is one component of a policy's subject.
type part struct {
	kind byte   // 'i' ip, 'h' header, 'c' cookie
	name string // canonical for a header, empty for ip
}

// parsePart reads one entry of Policy.Key; reason is empty when it is good.
func parsePart(s string) (p part, reason string) {
	if s == "ip" {
		return part{kind: 'i'}, ""
	}
	kind, name, _ := strings.Cut(s, ":")
	switch kind {
	case "header":
		if !isToken(name) {
			return part{}, "names no header"
		}
		name = http.CanonicalHeaderKey(name)
		if name == "Host" {
			return part{}, "the Host header names the service, not a client"
		}
		return part{kind: 'h', name: name}, ""
	case "cookie":
		if !isToken(name) {
			return part{}, "names no cookie"
		}
		return part{kind: 'c', name: name}, ""
	case "json", "form":
		return part{}, "not supported in this version"
	}
	return part{}, `must be "ip", "header:NAME" or "cookie:NAME"`
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !alphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// appendSubject appends the normalised subject of r under p to b. Every part
// carries its length, so that no two subjects have the same bytes.
func (p *policy) appendSubject(b []byte, r *http.Request, id clientip.Identity) []byte {
	for _, part := range p.parts {
		b = append(b, part.kind)
		b = appendFramed(b, part.name)
		switch part.kind {
		case 'i':
			var text [64]byte
			b = appendFramed(b, clientip.Subject(id.Client, p.v6bits).AppendTo(text[:0]))
		case 'h':
			b = appendFramed(b, headerValue(r, part.name))
		case 'c':
			b = appendFramed(b, cookieValue(r, part.name))
		}
	}
	return b
}

func appendFramed[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// headerValue is the one value of a header. Which of several the application
// would take is not known, so they count as none.
func headerValue(r *http.Request, name string) string {
	if v := r.Header[name]; len(v) == 1 {
		return strings.Trim(v[0], " \t")
	}
	return ""
}

// cookieValue is the one value of a cookie, percent-decoded where it can be:
// frameworks that decode would take each spelling for the same session.
func cookieValue(r *http.Request, name string) string {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return ""
	}
	value := cookies[0].Value
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

// digester turns subjects into the last part of a key.
type digester struct {
	pool *sync.Pool // of HMAC states; nil without a secret
}

func newDigester(secret []byte) digester {
	if len(secret) == 0 {
		return digester{}
	}
	secret = append([]byte(nil), secret...)
	return digester{pool: &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

// appendDigest appends the digest of subject in base64url, 43 characters.
func (d digester) appendDigest(b, subject []byte) []byte {
	var sum [sha256.Size]byte
	if d.pool == nil {
		sum = sha256.Sum256(subject)
	} else {
		mac := d.pool.Get().(hash.Hash)
		mac.Reset()
		mac.Write(subject)
		mac.Sum(sum[:0])
		d.pool.Put(mac)
	}
	return base64.RawURLEncoding.AppendEncode(b, sum[:])
}

// key is where the store keeps the subject of r under p. The braces make the
// whole of it the hash tag of Redis Cluster.
func (m *Middleware) key(p *policy, r *http.Request, id clientip.Identity) string {
	var subject [256]byte
	var key [256]byte
	k := append(key[:0], p.keyPrefix...)
	k = m.digester.appendDigest(k, p.appendSubject(subject[:0], r, id))
	return string(append(k, '}'))
}
