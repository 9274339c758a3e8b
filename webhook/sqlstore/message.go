package sqlstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// messageVersion begins each head.
	messageVersion = 1

	maxBodyBytes  = 64 << 20
	maxHeadBytes  = 16 << 20
	maxOrderBytes = 255
)

// head is all of a message but its body. Its texts may hold any byte, and are
// escaped, since JSON takes none but Unicode.
type head struct {
	Route      string              `json:"route"`
	Order      string              `json:"order,omitempty"`
	Event      event               `json:"event"`
	Target     string              `json:"target"`
	Host       string              `json:"host"`
	RemoteAddr string              `json:"remote_addr"`
	Header     map[string][]string `json:"header"`
}

// event is a webhook.Verified.
type event struct {
	ID              string `json:"id"`
	NotDeduplicated bool   `json:"not_deduplicated,omitempty"`
	IDSigned        bool   `json:"id_signed,omitempty"`
	Type            string `json:"type,omitempty"`
	APIVersion      string `json:"api_version,omitempty"`
	SecretIndex     int    `json:"secret_index"`
}

// encode returns what is kept of m beside its body.
func encode(m webhook.Stored) ([]byte, error) {
	switch {
	case len(m.Body) > maxBodyBytes:
		return nil, fmt.Errorf("a body of %d bytes is more than %d", len(m.Body), maxBodyBytes)
	case len(m.Order) > maxOrderBytes:
		return nil, fmt.Errorf("an order of %d bytes is more than %d", len(m.Order), maxOrderBytes)
	}
	h := head{
		Route: escape(m.Route), Order: escape(m.Order), Target: escape(m.Target), Host: escape(m.Host),
		RemoteAddr: escape(m.RemoteAddr), Header: translate(m.Header, escape),
		Event: event{
			ID: escape(m.Event.ID), NotDeduplicated: m.Event.NotDeduplicated, IDSigned: m.Event.IDSigned,
			Type: escape(m.Event.Type), APIVersion: escape(m.Event.APIVersion), SecretIndex: m.Event.SecretIndex,
		},
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeadBytes {
		return nil, fmt.Errorf("headers of %d bytes are more than %d", len(text), maxHeadBytes)
	}
	return append([]byte{messageVersion}, text...), nil
}

var errMessageNewer = errors.New("the message was kept by a newer version of this program")

// decode undoes encode.
func decode(kept, body []byte) (webhook.Stored, error) {
	if len(kept) == 0 || kept[0] != messageVersion {
		return webhook.Stored{}, errMessageNewer
	}
	var h head
	if err := json.Unmarshal(kept[1:], &h); err != nil {
		return webhook.Stored{}, fmt.Errorf("a message that is kept: %w", err)
	}
	return webhook.Stored{
		Route: unescape(h.Route), Order: unescape(h.Order), Target: unescape(h.Target), Host: unescape(h.Host),
		RemoteAddr: unescape(h.RemoteAddr), Header: translate(h.Header, unescape), Body: body,
		Event: webhook.Verified{
			ID: unescape(h.Event.ID), NotDeduplicated: h.Event.NotDeduplicated, IDSigned: h.Event.IDSigned,
			Type: unescape(h.Event.Type), APIVersion: unescape(h.Event.APIVersion), SecretIndex: h.Event.SecretIndex,
		},
	}, nil
}

// translate returns a copy of h with each text changed.
func translate(h http.Header, text func(string) string) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		changed := make([]string, len(values))
		for i, v := range values {
			changed[i] = text(v)
		}
		out[text(name)] = changed
	}
	return out
}
