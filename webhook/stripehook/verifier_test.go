package stripehook_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

const (
	secretA = "whsec_test_secret_a"
	secretB = "whsec_test_secret_b"
	payload = `{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","api_version":"2024-09-30.acacia","type":"invoice.paid","data":{"object":{"id":"in_1","type":"not.this"}}}`
)

var now = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// sign is stripe-go's own signer.
func sign(body, secret string, at time.Time) string {
	return stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at}).Header
}

func v1(body, secret string, at time.Time) string {
	return hex.EncodeToString(stripe.ComputeSignature(at, []byte(body), secret))
}

func message(body string, headers ...string) webhook.Message {
	h := http.Header{}
	for _, v := range headers {
		h.Add("Stripe-Signature", v)
	}
	return webhook.Message{Header: h, Body: []byte(body), Now: now}
}

func verifier(t testing.TB, secrets ...string) webhook.Verifier {
	t.Helper()
	v, err := stripehook.New(stripehook.Config{Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	event := webhook.Verified{ID: "evt_1NG8Du2eZvKYlo2CUI79vXWy", IDSigned: true, Type: "invoice.paid", APIVersion: "2024-09-30.acacia"}
	second := event
	second.SecretIndex = 1
	unix := fmt.Sprint(now.Unix())
	good := v1(payload, secretA, now)
	for name, tt := range map[string]struct {
		m    webhook.Message
		want webhook.Verified
		err  error
	}{
		"what stripe-go signs is valid":                 {m: message(payload, sign(payload, secretA, now)), want: event},
		"the second secret counts, and is told":         {m: message(payload, sign(payload, secretB, now)), want: second},
		"one of several signatures is enough":           {m: message(payload, "t="+unix+",v1="+v1(payload, "old", now)+",v1="+good), want: event},
		"unknown schemes are ignored":                   {m: message(payload, "t="+unix+",v0=00,v2=11,v1="+good), want: event},
		"the order of the pairs does not matter":        {m: message(payload, "v1="+good+",t="+unix), want: event},
		"a signature in upper case is the same":         {m: message(payload, "t="+unix+",v1="+strings.ToUpper(good)), want: event},
		"signatures that are not hex are passed over":   {m: message(payload, "t="+unix+",v1=xyz,v1="+good), want: event},
		"exactly as old as tolerated is valid":          {m: message(payload, sign(payload, secretA, now.Add(-5*time.Minute))), want: event},
		"exactly as far ahead as tolerated is valid":    {m: message(payload, sign(payload, secretA, now.Add(5*time.Minute))), want: event},
		"no header is no signature":                     {m: message(payload), err: webhook.ErrNoSignature},
		"an empty header is no signature":               {m: message(payload, ""), err: webhook.ErrNoSignature},
		"a header without v1 is no signature":           {m: message(payload, "t="+unix+",v0="+good), err: webhook.ErrNoSignature},
		"a header without t is malformed":               {m: message(payload, "v1="+good), err: webhook.ErrMalformedSignature},
		"a t that is no number is malformed":            {m: message(payload, "t=now,v1="+good), err: webhook.ErrMalformedSignature},
		"a t that is no date is malformed":              {m: message(payload, "t=9223372036854775807,v1="+good), err: webhook.ErrMalformedSignature},
		"a t with a leading zero is malformed":          {m: message(payload, "t=0"+unix+",v1="+good), err: webhook.ErrMalformedSignature},
		"a t with a sign is malformed":                  {m: message(payload, "t=+"+unix+",v1="+good), err: webhook.ErrMalformedSignature},
		"a header above 4 KiB is malformed":             {m: message(payload, "t="+unix+",v1="+good+",v0="+strings.Repeat("0", 4096)), err: webhook.ErrMalformedSignature},
		"a negative t is malformed":                     {m: message(payload, "t=-1,v1="+good), err: webhook.ErrMalformedSignature},
		"a pair without = is malformed":                 {m: message(payload, "t="+unix+",v1="+good+",x"), err: webhook.ErrMalformedSignature},
		"a pair with two = is malformed":                {m: message(payload, "t="+unix+",v1="+good+"="), err: webhook.ErrMalformedSignature},
		"two headers are malformed":                     {m: message(payload, sign(payload, secretA, now), sign(payload, secretA, now)), err: webhook.ErrMalformedSignature},
		"more signatures than anyone sends: malformed":  {m: message(payload, "t="+unix+strings.Repeat(",v1="+good, 17)), err: webhook.ErrMalformedSignature},
		"an unknown secret does not match":              {m: message(payload, sign(payload, "whsec_other", now)), err: webhook.ErrSignatureMismatch},
		"an empty secret does not match":                {m: message(payload, sign(payload, "", now)), err: webhook.ErrSignatureMismatch},
		"the secret without whsec_ does not match":      {m: message(payload, sign(payload, "test_secret_a", now)), err: webhook.ErrSignatureMismatch},
		"a truncated signature does not match":          {m: message(payload, "t="+unix+",v1="+good[:62]+",v1="+v1("", "x", now)), err: webhook.ErrSignatureMismatch},
		"another timestamp does not match":              {m: message(payload, "t="+fmt.Sprint(now.Unix()+1)+",v1="+good), err: webhook.ErrSignatureMismatch},
		"the last t is the one that is signed":          {m: message(payload, "t="+unix+",t="+fmt.Sprint(now.Unix()+1)+",v1="+good), err: webhook.ErrSignatureMismatch},
		"another body does not match":                   {m: message(payload+" ", sign(payload, secretA, now)), err: webhook.ErrSignatureMismatch},
		"a re-serialised body does not match":           {m: message(strings.Replace(payload, `,"`, `, "`, 1), sign(payload, secretA, now)), err: webhook.ErrSignatureMismatch},
		"too old":                                       {m: message(payload, sign(payload, secretA, now.Add(-301*time.Second))), err: webhook.ErrTimestampTooOld},
		"too far ahead":                                 {m: message(payload, sign(payload, secretA, now.Add(301*time.Second))), err: webhook.ErrTimestampInFuture},
		"the signature is judged before the age: old":   {m: message(payload, sign(payload, "whsec_other", now.Add(-time.Hour))), err: webhook.ErrSignatureMismatch},
		"the signature is judged before the age: ahead": {m: message(payload, sign(payload, "whsec_other", now.Add(time.Hour))), err: webhook.ErrSignatureMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verifier(t, secretA, secretB).Verify(tt.m)
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("Verify = %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			if late := errors.Is(tt.err, webhook.ErrTimestampTooOld) || errors.Is(tt.err, webhook.ErrTimestampInFuture); late != errors.Is(err, webhook.ErrTimestamp) {
				t.Errorf("%v matches ErrTimestamp: %t, want %t", err, !late, late)
			}
		})
	}
}

func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	v, header := verifier(t, secretA), sign(payload, secretA, now)
	for i := range len(payload) * 8 {
		body := []byte(payload)
		body[i/8] ^= 1 << (i % 8)
		if _, err := v.Verify(message(string(body), header)); !errors.Is(err, webhook.ErrSignatureMismatch) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
}

func TestEventIDIsThatOfTheBody(t *testing.T) {
	digest := func(id string) bool { return strings.HasPrefix(id, "body-") && len(id) == 5+64 }
	for name, tt := range map[string]struct {
		body string
		ok   func(id string) bool
	}{
		"an escaped id is decoded":           {`{"id":"evt_\u0031"}`, func(id string) bool { return id == "evt_1" }},
		"an id of a nested object is not it": {`{"data":{"object":{"id":"in_1"}}}`, digest},
		"no body at all":                     {``, digest},
		"not JSON":                           {`evt_1`, digest},
		"JSON but no object":                 {`["evt_1"]`, digest},
		"an id that is a number is its text": {`{"id":1}`, func(id string) bool { return id == "1" }},
		"an id that is null":                 {`{"id":null}`, digest},
		"an empty id":                        {`{"id":""}`, digest},
		"invalid UTF-8 around a valid id":    {"{\"id\":\"evt_1\",\"x\":\"\xff\"}", func(id string) bool { return id == "evt_1" }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verifier(t, secretA).Verify(message(tt.body, sign(tt.body, secretA, now)))
			if err != nil || !tt.ok(got.ID) || !got.IDSigned {
				t.Errorf("Verify = %+v, %v", got, err)
			}
		})
	}
}

func TestNew(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg    stripehook.Config
		fields []string
	}{
		"no secret":                  {stripehook.Config{}, []string{"Secrets"}},
		"an empty secret":            {stripehook.Config{Secrets: []string{""}}, []string{"Secrets[0]"}},
		"a blank secret":             {stripehook.Config{Secrets: []string{" \n"}}, []string{"Secrets[0]"}},
		"an empty one among several": {stripehook.Config{Secrets: []string{secretA, ""}}, []string{"Secrets[1]"}},
		"a trailing newline":         {stripehook.Config{Secrets: []string{secretA + "\n"}}, []string{"Secrets[0]"}},
		"a negative tolerance":       {stripehook.Config{Secrets: []string{secretA}, Tolerance: -time.Second}, []string{"Tolerance"}},
		"a tolerance below a second": {stripehook.Config{Secrets: []string{secretA}, Tolerance: time.Millisecond}, []string{"Tolerance"}},
		"a tolerance of days":        {stripehook.Config{Secrets: []string{secretA}, Tolerance: 25 * time.Hour}, []string{"Tolerance"}},
		"all problems at once":       {stripehook.Config{Secrets: []string{"", secretA + " "}, Tolerance: -1}, []string{"Secrets[0]", "Secrets[1]", "Tolerance"}},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			v, err := stripehook.New(tt.cfg)
			if v != nil || err == nil {
				t.Fatalf("New = %v, %v", v, err)
			}
			var fields []string
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				var ce *stripehook.ConfigError
				if !errors.As(e, &ce) {
					t.Fatalf("%v is no ConfigError", e)
				}
				fields = append(fields, ce.Field)
			}
			if strings.Join(fields, " ") != strings.Join(tt.fields, " ") {
				t.Errorf("fields %v, want %v", fields, tt.fields)
			}
			if strings.Contains(err.Error(), "whsec") {
				t.Errorf("error %q holds a secret", err)
			}
		})
	}
}

func TestVerifierKeepsItsSecrets(t *testing.T) {
	secrets := []string{secretA}
	v := verifier(t, secrets...)
	own, err := stripehook.New(stripehook.Config{Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	secrets[0] = secretB
	for _, v := range []webhook.Verifier{v, own} {
		if _, err := v.Verify(message(payload, sign(payload, secretA, now))); err != nil {
			t.Error(err)
		}
	}
}

func TestZeroNowIsTheClock(t *testing.T) {
	m := message(payload, sign(payload, secretA, time.Now()))
	m.Now = time.Time{}
	if _, err := verifier(t, secretA).Verify(m); err != nil {
		t.Error(err)
	}
}
