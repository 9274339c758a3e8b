package stripehook_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
)

// agree holds Verify to stripe-go. Both must give the same verdict on a header
// and a body, except for what doc.go says is stricter here. The clock is the
// real one, since stripe-go has no other, so timestamps near the ends of the
// tolerance are left out.
func agree(t *testing.T, header string, body []byte) {
	t.Helper()
	m := message(string(body), header)
	m.Now = time.Now()
	_, ours := verifier(t, secretA).Verify(m)
	theirs := stripe.ValidatePayload(body, header, secretA)
	switch {
	case (ours == nil) == (theirs == nil):
	case theirs == nil && errors.Is(ours, webhook.ErrTimestampInFuture):
	case theirs == nil && errors.Is(ours, webhook.ErrMalformedSignature):
		// t beyond the year 9999, or more than 16 signatures.
	default:
		t.Errorf("ours %v, stripe-go's %v\nheader %q\nbody %q", ours, theirs, header, body)
	}
	_, parsed := stripe.ConstructEventWithOptions(body, header, secretA, stripe.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	if parsed == nil && ours != nil && theirs != nil {
		t.Errorf("ConstructEvent accepts what Verify refuses (%v): header %q, body %q", ours, header, body)
	}
}

func TestVerifyAgreesWithStripeGo(t *testing.T) {
	at := time.Now()
	unix, good := fmt.Sprint(at.Unix()), v1(payload, secretA, at)
	for _, header := range []string{
		"", " ", ",", "=", "t", "t=", "v1=", "t=,v1=", "v1=" + good, "t=" + unix,
		"t=" + unix + ",v1=" + good,
		"t=" + unix + ", v1=" + good,
		" t=" + unix + ",v1=" + good,
		"t=" + unix + ",v1=" + good + ",",
		"t=" + unix + ",v1=" + good + " ",
		"t=+" + unix + ",v1=" + good,
		"t=00" + unix + ",v1=" + good,
		"t=0x1,v1=" + good,
		"t=1_0,v1=" + good,
		"T=" + unix + ",V1=" + good,
		"t=" + unix + ",v1=" + good + "00",
		"t=" + unix + ",v1=" + good[:62],
		"t=" + unix + ",v1=" + good + ",v1=" + good,
		"t=" + unix + ",v0=" + good,
		"t=0,v1=" + v1(payload, secretA, time.Unix(0, 0)),
		"t=-62135596800,v1=" + v1(payload, secretA, time.Time{}),
		"v1=" + v1(payload, secretA, time.Time{}),
		"t=" + unix + ",t=1,v1=" + good,
		"t=1,t=" + unix + ",v1=" + good,
		"t=99999999999999999999,v1=" + good,
		sign(payload, secretA, at.Add(-time.Hour)),
		sign(payload, secretA, at.Add(time.Hour)),
		sign(payload, secretB, at),
	} {
		agree(t, header, []byte(payload))
	}
}

// FuzzVerify signs part of the inputs, so that the valid half is reached too.
func FuzzVerify(f *testing.F) {
	for mode := range uint8(4) {
		f.Add(mode, int64(0), "", []byte(payload))
		f.Add(mode, int64(-3600), ",v0=1", []byte("{}"))
		f.Add(mode, int64(3600), ",v1=zz", []byte(nil))
		f.Add(mode, int64(10), ",t=5", []byte("\xff"))
	}
	f.Fuzz(func(t *testing.T, mode uint8, offset int64, more string, body []byte) {
		if offset < -86400*365 || offset > 86400*365 || offset/5 == 60 || offset/5 == -60 {
			return
		}
		at := time.Now().Add(time.Duration(offset) * time.Second)
		switch mode % 4 {
		case 0:
			agree(t, more, body)
		case 1:
			agree(t, sign(string(body), secretA, at)+more, body)
		case 2:
			agree(t, fmt.Sprintf("t=%d,v1=%s", at.Unix(), more), body)
		case 3:
			agree(t, more+","+sign(string(body), secretA, at), body)
		}
	})
}
