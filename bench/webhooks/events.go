package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

const (
	secret = "whsec_bench_bench_bench_bench_bench" //nolint:gosec // of this run alone

	eventBytes = 2 << 10
	// maxEvents is how many are made for a measurement, at most: below what the
	// store in memory holds.
	maxEvents = 90_000
	// eventsPerSecond is more than is delivered here in a second.
	eventsPerSecond = 40_000

	idBytes        = len("evt_") + 20
	signatureBytes = len("t=1767225600,v1=") + 64
)

// An event is what differs between the requests of a load.
type event struct {
	id        [idBytes]byte
	signature [signatureBytes]byte
}

// A mint makes new events. They are signed as they are made, not while the load
// runs.
type mint struct {
	signer *webhook.Signer
	body   []byte // of the next event, but for the id
	idAt   int
	serial int64
}

func newMint() (*mint, error) {
	signer, err := webhook.NewSigner(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}})
	if err != nil {
		return nil, err
	}
	m := &mint{signer: signer, body: emptyEvent()}
	m.idAt = bytes.Index(m.body, []byte("evt_"))
	return m, nil
}

// emptyEvent is an event in the version that stripe-go v79 expects, with members
// in Stripe's order.
func emptyEvent() []byte {
	form := `{"id":"evt_` + strings.Repeat("0", idBytes-len("evt_")) + `","object":"event","api_version":"2024-06-20","created":1767225600,` +
		`"data":{"object":{"id":"in_1","object":"invoice","lines":[%s]}},"livemode":false,"pending_webhooks":1,"type":"invoice.paid"}`
	const line = `{"id":"il_1NG8","amount":1999,"currency":"usd"}`
	lines := line
	for len(fmt.Sprintf(form, lines+","+line)) <= eventBytes {
		lines += "," + line
	}
	body := fmt.Sprintf(form, lines)
	return []byte(body + strings.Repeat(" ", eventBytes-len(body)))
}

// events makes n of them, signed now.
func (m *mint) events(n int) ([]event, error) {
	now := time.Now()
	out := make([]event, n)
	for i := range out {
		m.serial++
		id := m.body[m.idAt : m.idAt+idBytes]
		digits := strconv.AppendInt(nil, m.serial, 10)
		copy(id[idBytes-len(digits):], digits)
		h, err := m.signer.Sign(webhook.Message{Body: m.body, Now: now})
		if err != nil {
			return nil, err
		}
		signature := h.Get("Stripe-Signature")
		if len(signature) != signatureBytes {
			return nil, fmt.Errorf("a signature of %d bytes: %q", len(signature), signature)
		}
		out[i].id = [idBytes]byte(id)
		copy(out[i].signature[:], signature)
	}
	return out, nil
}

// A request is an event as it is sent to a path, in a buffer that the next event
// can be put into.
type request struct {
	bytes    []byte
	idAt     int
	signedAt int
}

// request makes one of the given path. The app takes wait for it.
func (m *mint) request(path string, wait time.Duration) *request {
	blank := strings.Repeat("-", signatureBytes)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n"+
		"Content-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n%s: %v\r\nStripe-Signature: %s\r\n\r\n", path, eventBytes, waitHeader, wait, blank)
	return &request{
		bytes:    append([]byte(head), m.body...),
		idAt:     len(head) + m.idAt,
		signedAt: strings.Index(head, blank),
	}
}

func (r *request) put(e *event) {
	copy(r.bytes[r.idAt:], e.id[:])
	copy(r.bytes[r.signedAt:], e.signature[:])
}
