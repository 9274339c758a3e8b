package stripehook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v79"
	stripe "github.com/stripe/stripe-go/v79/webhook"
)

// event2KiB is an event of 2048 bytes in the version of stripe-go, with members
// in Stripe's order.
func event2KiB() string {
	const form = `{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","api_version":%q,"created":1686089970,"data":{"object":{"id":"in_1","object":"invoice","lines":[%s]}},"livemode":false,"pending_webhooks":1,"type":"invoice.paid"}`
	const line = `{"id":"il_1NG8","amount":1999,"currency":"usd"}`
	lines := line
	for len(fmt.Sprintf(form, stripego.APIVersion, lines+","+line)) <= 2048 {
		lines += "," + line
	}
	body := fmt.Sprintf(form, stripego.APIVersion, lines)
	return body + strings.Repeat(" ", 2048-len(body))
}

func BenchmarkVerify2KiB(b *testing.B) {
	body := event2KiB()
	at := time.Now()
	header := sign(body, secretA, at)
	b.Run("handrail", func(b *testing.B) {
		v, m := verifier(b, secretA), message(body, header)
		m.Now = at
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stripe-go ValidatePayload", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := stripe.ValidatePayload([]byte(body), header, secretA); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stripe-go ConstructEvent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := stripe.ConstructEvent([]byte(body), header, secretA); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare HMAC", func(b *testing.B) {
		payload := []byte(body)
		b.ReportAllocs()
		for b.Loop() {
			mac := hmac.New(sha256.New, []byte(secretA))
			mac.Write(payload)
			mac.Sum(nil)
		}
	})
	b.Run("handrail, forged", func(b *testing.B) {
		v, m := verifier(b, secretA, secretB), message(body, sign(body, "whsec_other", at))
		m.Now = at
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(m); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
