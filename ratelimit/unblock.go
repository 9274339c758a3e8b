package ratelimit

import (
	"cmp"
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
// {"ip": "203.0.113.7", "json:/email": "alice@example.com"}. Of a json: and a
// form: entry that are one value, one is enough. The error is ErrNoPolicy or a
// *SubjectError.
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
	used := 0
	for _, part := range p.parts {
		value, ways, err := part.valueIn(parts, p.v6bits)
		if err != nil {
			return "", err
		}
		b = append(b, part.kind)
		b = appendFramed(b, part.name)
		b = appendFramed(b, value)
		used += ways
	}
	if len(parts) > used {
		return "", &SubjectError{Reason: "it has more parts than the policy's key"}
	}
	s := m.pool.Get().(*scratch) //nolint:errcheck // it makes nothing else
	defer m.pool.Put(s)
	s.subject = b
	return subjectID(s.makeKey(p)), nil
}

// valueIn is the value of p among parts, normalised, and how many of them say it:
// one, or two ways to send it that agree.
func (p part) valueIn(parts map[string]string, v6bits int) (value string, said int, err error) {
	ways, names := []part{p}, p.text
	if p.alt != nil {
		ways, names = append(ways, *p.alt), p.text+" or "+p.alt.text
	}
	for _, way := range ways {
		text, ok := parts[way.text]
		if !ok {
			continue
		}
		said++
		if text, err = way.normal(text, v6bits); err != nil {
			return "", 0, err
		}
		if value != "" && text != "" && value != text {
			return "", 0, &SubjectError{Reason: names + " sends one value, and these differ"}
		}
		value = cmp.Or(value, text)
	}
	if said == 0 {
		return "", 0, &SubjectError{Reason: "the value of " + names + " is missing"}
	}
	return value, said, nil
}

// normal is text as it counts for p.
func (p part) normal(text string, v6bits int) (string, error) {
	switch p.kind {
	case 'i':
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return "", &SubjectError{Reason: "ip: " + strconv.Quote(text) + " is not an address"}
		}
		return clientip.Subject(ip.Unmap().WithZone(""), v6bits).String(), nil
	case 'h':
		return strings.Trim(text, " \t"), nil
	case 'c':
		return text, nil
	}
	return string(appendValue(nil, []byte(text))), nil
}
