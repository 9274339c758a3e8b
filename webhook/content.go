package webhook

import (
	"crypto/sha256"
	"fmt"
)

// contentDigest is that of what a message says: the same for a body that the
// provider has rendered anew for a retry, with another time of sending, and for
// one that says the same as far as the signature can tell.
func (m *Middleware) contentDigest(msg Message) Digest {
	if m.sentAt != nil {
		if at := field(msg.Body, m.sentAt); at != nil {
			// at is a part of the body, and reaches as far as it does.
			if start := cap(msg.Body) - cap(at); start+len(at) <= len(msg.Body) {
				return digestOf(msg.Body[:start], msg.Body[start+len(at):])
			}
		}
	}
	if m.provider.Name == "twilio" {
		// The parameters of a form may stand in any order.
		if params, ok := twilioParams(msg); ok {
			parts := [][]byte{[]byte(msg.RawQuery), {0}}
			for _, p := range params {
				parts = append(parts, []byte(p))
			}
			return digestOf(parts...)
		}
	}
	return sha256.Sum256(msg.Body)
}

func digestOf(parts ...[]byte) (d Digest) {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	h.Sum(d[:0])
	return d
}

// topic is what the provider says a body is about, where that is not part of
// the body. One that is said twice could be read as two.
func (m *Middleware) topic(msg Message) (string, error) {
	values := msg.Header[m.provider.TopicHeader]
	if len(values) > 1 {
		return "", fmt.Errorf("%w: %s is there more than once", ErrNoEventID, m.provider.TopicHeader)
	}
	return source{header: m.provider.TopicHeader}.inHeader(msg.Header), nil
}
