package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
)

// ErrNoPolicy is returned for a policy that does not exist.
var ErrNoPolicy = errors.New("ratelimit: no policy has that name")

// A SubjectError says why something names no subject of a policy.
type SubjectError struct{ Reason string }

func (e *SubjectError) Error() string { return "ratelimit: subject: " + e.Reason }

// SubjectID is the ID of a subject: the digest in its key. Parts holds, for each
// entry of Policy.Key, the value that a request would have, as in
// {"ip": "203.0.113.7", "json:/email": "alice@example.com"}. The error is
// ErrNoPolicy or a *SubjectError.
func (m *Middleware) SubjectID(policy string, parts map[string]string) (string, error) {
	p := m.policy(policy)
	if p == nil {
		return "", ErrNoPolicy
	}
	return m.keys.id(p, parts)
}

// Unblock forgets what the subject of that ID has used up under a policy, in the
// Limiter, in what is remembered of it and in the Fallback. Other instances see
// it within a second. The error is ErrNoPolicy, a *SubjectError or that of the
// Limiter, which then may go on refusing.
func (m *Middleware) Unblock(ctx context.Context, policy, id string) error {
	p := m.policy(policy)
	if p == nil {
		return ErrNoPolicy
	}
	if !isDigest(id) {
		return &SubjectError{Reason: "an ID is 43 characters of A-Z a-z 0-9 - _, as it is listed"}
	}
	key := p.keyPrefix + id + "}"
	err := m.fallback.Reset(ctx, key)
	if m.store != nil {
		err = m.store.Reset(ctx, key)
	}
	if err == nil {
		m.watch.forget(key)
	}
	return err
}

func (m *Middleware) policy(name string) *policy {
	for i := range m.policies {
		if m.policies[i].name == name {
			return &m.policies[i]
		}
	}
	return nil
}

// isDigest tells unpadded base64 of 256 bits.
func isDigest(id string) bool {
	return len(id) == digestLen && !strings.ContainsFunc(id, func(r rune) bool {
		return r > 127 || !alphanumeric(byte(r)) && r != '-' && r != '_'
	})
}

const digestLen = 43 // base64 of 256 bits, without padding

// id is the digest of the subject that has these parts under p.
func (m *keyMaker) id(p *policy, parts map[string]string) (string, error) {
	var b []byte
	for _, part := range p.parts {
		value, ok := parts[part.text]
		if !ok {
			return "", &SubjectError{Reason: "the value of " + part.text + " is missing"}
		}
		b = append(b, part.kind)
		b = appendFramed(b, part.name)
		switch part.kind {
		case 'i':
			ip, err := netip.ParseAddr(value)
			if err != nil {
				return "", &SubjectError{Reason: "ip: " + strconv.Quote(value) + " is not an address"}
			}
			b = appendFramed(b, clientip.Subject(ip.Unmap().WithZone(""), p.v6bits).String())
		case 'h':
			b = appendFramed(b, strings.Trim(value, " \t"))
		case 'c':
			b = appendFramed(b, value)
		default:
			b = appendFramed(b, appendValue(nil, []byte(value)))
		}
	}
	if len(parts) > len(p.parts) {
		return "", &SubjectError{Reason: "it has more parts than the policy's key"}
	}
	s := m.pool.Get().(*scratch) //nolint:errcheck // it makes nothing else
	defer m.pool.Put(s)
	s.subject = b
	return subjectID(s.makeKey(p)), nil
}
