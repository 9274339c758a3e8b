package webhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// VerifierFixture is a kind of verifier under test, with a message for it.
type VerifierFixture struct {
	// New makes the verifier. Nil means [webhook.NewVerifier].
	New func(webhook.VerifierConfig) (webhook.Verifier, error)
	// Verify has one secret. Sign is that of the [webhook.Signer], the other half
	// of the key where signatures are asymmetric.
	Verify, Sign webhook.VerifierConfig
	// Other is a secret of the form of those of Verify that signed nothing.
	Other string
	// Message is not signed yet. Its Now is zero, or when it is sent.
	Message webhook.Message
	// Signature is the header that carries the signature.
	Signature string
	// Token: that header holds the secret itself, and covers neither body nor time.
	Token bool
}

// VerifierRule is one thing that every verifier keeps to.
type VerifierRule struct {
	// Name states the rule.
	Name string
	// Check returns what breaks the rule.
	Check func(f VerifierFixture) error
}

// RunVerifier checks each of VerifierRules as a subtest of t.
func RunVerifier(t *testing.T, f VerifierFixture) {
	t.Helper()
	for _, rule := range VerifierRules() {
		t.Run(rule.Name, func(t *testing.T) {
			if err := rule.Check(f); err != nil {
				t.Error(err)
			}
		})
	}
}

// VerifierRules returns what every verifier keeps to, over all providers.
func VerifierRules() []VerifierRule {
	return append(slices.Clone(messageRules), ageRules...)
}

// judge is a verifier under test.
type judge struct {
	VerifierFixture
	verifier webhook.Verifier
	signed   webhook.Message
	err      error
}

func verifierRule(name string, check func(j *judge)) VerifierRule {
	return VerifierRule{Name: name, Check: func(f VerifierFixture) error {
		if f.New == nil {
			f.New = webhook.NewVerifier
		}
		if f.Message.Now.IsZero() {
			f.Message.Now = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
		}
		j := &judge{VerifierFixture: f}
		j.verifier = j.with(f.Verify.Secrets...)
		j.signed = j.sign(f.Message)
		if j.err == nil {
			check(j)
		}
		return j.err
	}}
}

func (j *judge) failf(format string, args ...any) {
	if j.err == nil {
		j.err = fmt.Errorf(format, args...)
	}
}

// with is the verifier with other secrets.
func (j *judge) with(secrets ...string) webhook.Verifier {
	cfg := j.Verify
	cfg.Secrets = secrets
	v, err := j.New(cfg)
	if err != nil {
		j.failf("with %d secrets: %w", len(secrets), err)
	}
	return v
}

func (j *judge) sign(m webhook.Message) webhook.Message {
	signer, err := webhook.NewSigner(j.Sign)
	if err != nil {
		j.failf("signing: %w", err)
		return m
	}
	header, err := signer.Sign(m)
	if err != nil {
		j.failf("signing: %w", err)
		return m
	}
	m.Header = m.Header.Clone()
	if m.Header == nil {
		m.Header = http.Header{}
	}
	maps.Copy(m.Header, header)
	return m
}

// changed is the signed message with a change, which does not touch j.
func (j *judge) changed(change func(m *webhook.Message)) webhook.Message {
	m := j.signed
	m.Header, m.Body = m.Header.Clone(), slices.Clone(m.Body)
	change(&m)
	return m
}

// takes wants the message to be valid, by the secret with that index.
func (j *judge) takes(v webhook.Verifier, m webhook.Message, index int, what string) {
	if j.err != nil {
		return
	}
	if got, err := v.Verify(m); err != nil || got.SecretIndex != index {
		j.failf("%s: %+v, %v; want it valid by secret %d", what, got, err, index)
	}
}

// refuses wants the message to be refused with one of these errors, which tells
// nothing of its secrets.
func (j *judge) refuses(v webhook.Verifier, m webhook.Message, what string, want ...error) {
	if j.err != nil {
		return
	}
	got, err := v.Verify(m)
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		j.failf("%s: error %v, want one of %v", what, err, want)
		return
	}
	if got != (webhook.Verified{}) {
		j.failf("%s: refused, and says %+v", what, got)
	}
	for _, secret := range append(slices.Clone(j.Verify.Secrets), j.Other, m.Header.Get(j.Signature)) {
		if len(secret) > 6 && strings.Contains(err.Error(), secret) {
			j.failf("%s: the error %q tells what it must not", what, err)
		}
	}
}

var refusal = []error{webhook.ErrNoSignature, webhook.ErrMalformedSignature, webhook.ErrSignatureMismatch, webhook.ErrTimestamp}

var messageRules = []VerifierRule{
	verifierRule("what the provider signs is valid, and is left as it was", func(j *judge) {
		before := j.changed(func(*webhook.Message) {})
		j.takes(j.verifier, j.signed, 0, "the message")
		if !bytes.Equal(before.Body, j.signed.Body) || !maps.EqualFunc(before.Header, j.signed.Header, slices.Equal) {
			j.failf("the message was changed")
		}
	}),
	verifierRule("one byte of the body more, less or other is refused", func(j *judge) {
		if j.Token {
			return
		}
		for at := range j.signed.Body {
			j.refuses(j.verifier, j.changed(func(m *webhook.Message) { m.Body[at] ^= 1 }), fmt.Sprintf("byte %d changed", at), refusal...)
		}
		for what, body := range map[string][]byte{
			"the last byte left out": j.signed.Body[:len(j.signed.Body)-1],
			"a newline more":         append(slices.Clone(j.signed.Body), '\n'),
			"a byte ahead":           append([]byte{' '}, j.signed.Body...),
			"no body":                nil,
		} {
			j.refuses(j.verifier, j.changed(func(m *webhook.Message) { m.Body = body }), what, refusal...)
		}
	}),
	verifierRule("another form of the same JSON is another body", func(j *judge) {
		if !json.Valid(j.Message.Body) || j.Token {
			return
		}
		forms := formsOf(j.Message.Body)
		for i, form := range forms {
			j.Message.Body = form
			j.signed = j.sign(j.Message)
			j.takes(j.verifier, j.signed, 0, fmt.Sprintf("form %d", i))
			for k, other := range forms {
				if !bytes.Equal(form, other) {
					m := j.changed(func(m *webhook.Message) { m.Body = other })
					j.refuses(j.verifier, m, fmt.Sprintf("form %d for %d", k, i), refusal...)
				}
			}
		}
	}),
	verifierRule("each of several secrets counts, and is told by its index", func(j *judge) {
		secret := j.Verify.Secrets[0]
		j.takes(j.with(secret, j.Other), j.signed, 0, "the first of two")
		j.takes(j.with(j.Other, secret), j.signed, 1, "the second of two")
		j.takes(j.with(j.Other, j.Other, secret), j.signed, 2, "the third of three")
	}),
	verifierRule("another secret signs nothing", func(j *judge) {
		j.refuses(j.with(j.Other), j.signed, "another secret", webhook.ErrSignatureMismatch)
	}),
	verifierRule("without a secret, or with an empty one, there is no verifier", func(j *judge) {
		secret := j.Verify.Secrets[0]
		for _, secrets := range [][]string{nil, {}, {""}, {" "}, {"\n"}, {secret, ""}, {"", secret}} {
			cfg := j.Verify
			cfg.Secrets = secrets
			if v, err := j.New(cfg); err == nil {
				j.failf("%d secrets, an empty one among them, make a verifier: %v", len(secrets), v.Provider().Name)
			}
		}
	}),
	verifierRule("a signature that is missing, empty or there twice is refused", func(j *judge) {
		set := func(values ...string) webhook.Message {
			return j.changed(func(m *webhook.Message) { m.Header[j.Signature] = values })
		}
		whole := j.signed.Header.Get(j.Signature)
		j.refuses(j.verifier, set(), "no signature", webhook.ErrNoSignature)
		j.refuses(j.verifier, set(""), "an empty signature", webhook.ErrNoSignature)
		j.refuses(j.verifier, set(whole, whole), "twice the same", webhook.ErrMalformedSignature)
		j.refuses(j.verifier, set("x", whole), "another ahead of it", webhook.ErrMalformedSignature)
		j.refuses(j.verifier, j.changed(func(m *webhook.Message) { m.Header = nil }), "no header", refusal...)
	}),
	verifierRule("every byte of a signature counts", func(j *judge) {
		// Padding is left out, and the last digit of base64, which has bits to spare.
		whole := strings.TrimRight(j.signed.Header.Get(j.Signature), "=")
		for at := range len(whole) - 1 {
			other := []byte(whole)
			other[at] ^= 1
			for what, text := range map[string]string{"with byte %d changed": string(other), "of %d bytes": whole[:at]} {
				m := j.changed(func(m *webhook.Message) { m.Header[j.Signature] = []string{text} })
				j.refuses(j.verifier, m, "a signature "+fmt.Sprintf(what, at), refusal...)
			}
		}
	}),
	verifierRule("one verifier serves many goroutines", func(j *judge) {
		var mu sync.Mutex
		together(20, func(i int) {
			m, valid := j.signed, i%2 == 0
			if !valid {
				m = j.changed(func(m *webhook.Message) { m.Header[j.Signature] = []string{"x"} })
			}
			_, err := j.verifier.Verify(m)
			mu.Lock()
			defer mu.Unlock()
			if (err == nil) != valid {
				j.failf("valid %t: %v", valid, err)
			}
		})
	}),
}

// formsOf are JSON as it is, in spaces, without any, and parsed and written anew.
func formsOf(body []byte) [][]byte {
	var compact bytes.Buffer
	_ = json.Compact(&compact, body)
	var parsed any
	_ = json.Unmarshal(body, &parsed)
	anew, _ := json.Marshal(parsed)
	return [][]byte{body, slices.Concat([]byte(" "), body, []byte("\n")), compact.Bytes(), anew}
}

// ageRules say nothing of providers that sign no time.
var ageRules = []VerifierRule{
	verifierRule("what was signed too long ago is refused as stale", func(j *judge) {
		j.ages(func(tolerance time.Duration) {
			j.takes(j.verifier, j.judgedAt(tolerance), 0, "as old as is tolerated")
			j.refuses(j.verifier, j.judgedAt(tolerance+time.Second), "a second older", webhook.ErrTimestampTooOld)
			j.refuses(j.verifier, j.judgedAt(1000*time.Hour), "weeks old", webhook.ErrTimestampTooOld)
		})
	}),
	verifierRule("what was signed in the future is refused", func(j *judge) {
		j.ages(func(tolerance time.Duration) {
			j.takes(j.verifier, j.judgedAt(-tolerance), 0, "as far ahead as is tolerated")
			j.refuses(j.verifier, j.judgedAt(-tolerance-time.Second), "a second further", webhook.ErrTimestampInFuture)
		})
	}),
	verifierRule("the signature is judged before the age", func(j *judge) {
		j.ages(func(time.Duration) {
			j.refuses(j.with(j.Other), j.judgedAt(1000*time.Hour), "stale, of another secret", webhook.ErrSignatureMismatch)
		})
	}),
}

// ages calls f with the tolerance where there is one.
func (j *judge) ages(f func(tolerance time.Duration)) {
	if tolerance := j.verifier.Provider().Tolerance; tolerance > 0 && !j.Token {
		f(tolerance)
	}
}

// judgedAt is the message, judged so long after it was signed.
func (j *judge) judgedAt(age time.Duration) webhook.Message {
	return j.changed(func(m *webhook.Message) { m.Now = m.Now.Add(age) })
}
