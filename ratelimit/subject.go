package ratelimit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/httpx"
)

// part is one component of a policy's subject.
type part struct {
	text    string       // as it was configured
	kind    byte         // 'i' ip, 'h' header, 'c' cookie, 'j' json, 'f' form
	name    string       // canonical for a header, empty for ip
	pointer *jsonPointer // of json
	field   *formField   // of form
	alt     *part        // of json: the form part that is the same value, sent as a form
}

// inBody reports whether p is a value of the request's body.
func (p part) inBody() bool { return p.kind == 'j' || p.kind == 'f' }

func (p part) equal(q part) bool { return p.kind == q.kind && p.name == q.name }

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
	case "json":
		pointer, reason := parsePointer(name)
		return part{kind: 'j', name: name, pointer: pointer}, reason
	case "form":
		field, reason := parseField(name)
		return part{kind: 'f', name: name, field: field}, reason
	}
	return part{}, `must be "ip", "header:NAME", "cookie:NAME", "json:/POINTER" or "form:FIELD"`
}

// pairUp makes one of the first json part and the first form part, of the second
// ones, and so on: a body is either. Their value is in the place of the json part.
func pairUp(parts []part) []part {
	var forms []part
	values := 0
	for _, p := range parts {
		switch p.kind {
		case 'f':
			forms = append(forms, p)
		case 'j':
			values++
		}
	}
	pairs := min(values, len(forms))
	var out []part
	values = 0
	for _, p := range parts {
		if p.kind == 'j' && values < pairs {
			p.alt = &forms[values]
			values++
		}
		if !slices.ContainsFunc(forms[:pairs], p.equal) {
			out = append(out, p)
		}
	}
	return out
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
// The part of the address comes first; from account on there is the rest. Without
// a value in any of it there is no account: those that send none are not one that
// many try.
func (p *policy) appendSubject(b []byte, r *http.Request, id clientip.Identity, body bodyText) (_ []byte, account int) {
	named := false
	for _, part := range p.parts {
		b = append(b, part.kind)
		b = appendFramed(b, part.name)
		value := len(b)
		switch part.kind {
		case 'i':
			var text [64]byte
			b = appendFramed(b, clientip.Subject(id.Client, p.v6bits).AppendTo(text[:0]))
			account = len(b)
		case 'h':
			b = appendFramed(b, headerValue(r, part.name))
		case 'c':
			b = appendFramed(b, cookieValue(r, part.name))
		case 'j', 'f':
			b = body.appendTo(b, part, r)
		}
		named = named || part.kind != 'i' && len(b) > value+1 // more than a length of 0
	}
	if !named {
		account = len(b)
	}
	return b, account
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

// cookieValue is the one value of a cookie, percent-decoded: frameworks that
// decode would take each spelling for the same session. What the application
// would make of a cookie that can be read in several ways is not known, so that
// counts as none.
func cookieValue(r *http.Request, name string) string {
	value, ok := httpx.LoneCookie(r, name)
	if !ok {
		return ""
	}
	decoded, err := url.PathUnescape(value)
	if err != nil {
		return ""
	}
	return decoded
}

// keyMaker turns subjects into keys of the store. What it works with is pooled,
// and with it the keys that it made last: the digest of a subject that comes
// again and again is worked out now and then, and its key allocated with it.
type keyMaker struct {
	pool  sync.Pool // of *scratch
	seed  maphash.Seed
	watch *Watch
}

type scratch struct {
	mac     hash.Hash // nil without a secret
	subject []byte
	key     []byte
	sum     [sha256.Size]byte
	made    [madeKeys]madeKey // by hash of the subject, and policy
}

// madeKey is a key that was made.
type madeKey struct {
	policy  *policy
	subject []byte
	key     string
}

const (
	maxScratch = 4 << 10 // bounds what a pooled scratch keeps after a long header
	madeKeys   = 64      // of each scratch; there are about as many as processors
	maxSubject = 128     // of a subject whose key is kept
)

func newKeyMaker(secret []byte, watch *Watch) *keyMaker {
	secret = slices.Clone(secret)
	return &keyMaker{
		seed:  maphash.MakeSeed(),
		watch: watch,
		pool: sync.Pool{New: func() any {
			s := new(scratch)
			if len(secret) > 0 {
				s.mac = hmac.New(sha256.New, secret)
			}
			return s
		}},
	}
}

// A subject is whom a request counts for.
type subject struct {
	key     string // where the store keeps it
	account uint64 // what a Watch knows it by beside the address; 0 when that is all
}

// key is the subject of r under p. The braces in its key make the whole of it the
// hash tag of Redis Cluster.
func (m *keyMaker) key(p *policy, r *http.Request, id clientip.Identity) subject {
	var body bodyText
	if p.readsBody { // which takes as long as the client does
		body = p.readBody(r)
	}
	s := m.pool.Get().(*scratch) //nolint:errcheck // it makes nothing else
	var account int
	s.subject, account = p.appendSubject(s.subject[:0], r, id, body)
	made := &s.made[(maphash.Bytes(m.seed, s.subject)+uint64(p.index))%madeKeys]
	out := subject{key: made.key}
	if made.policy != p || !bytes.Equal(made.subject, s.subject) {
		out.key = s.makeKey(p)
		if len(s.subject) <= maxSubject {
			*made = madeKey{policy: p, subject: append(made.subject[:0], s.subject...), key: out.key}
		}
	}
	if account < len(s.subject) {
		out.account = m.watch.account(s.subject[account:])
	}
	if cap(s.subject) <= maxScratch {
		m.pool.Put(s)
	}
	return out
}

func (s *scratch) makeKey(p *policy) string {
	if s.mac == nil {
		s.sum = sha256.Sum256(s.subject)
	} else {
		s.mac.Reset()
		s.mac.Write(s.subject)
		s.mac.Sum(s.sum[:0])
	}
	s.key = append(s.key[:0], p.keyPrefix...)
	s.key = base64.RawURLEncoding.AppendEncode(s.key, s.sum[:])
	s.key = append(s.key, '}')
	return string(s.key)
}
