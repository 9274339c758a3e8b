package webhooktest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func stripeFixture() webhooktest.VerifierFixture {
	cfg := webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"whsec_the secret"}}
	return webhooktest.VerifierFixture{
		Verify: cfg, Sign: cfg, Other: "whsec_another one",
		Message:   webhook.Message{Body: []byte(`{"id": "evt_1", "amount": 1.0}`)},
		Signature: "Stripe-Signature",
	}
}

// lenient is a verifier with a fault.
type lenient struct {
	webhook.Verifier
	verify func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error)
}

func (l lenient) Verify(m webhook.Message) (webhook.Verified, error) { return l.verify(l.Verifier, m) }

// faulty makes verifiers with a fault.
func faulty(verify func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error)) func(webhook.VerifierConfig) (webhook.Verifier, error) {
	return func(cfg webhook.VerifierConfig) (webhook.Verifier, error) {
		v, err := webhook.NewVerifier(cfg)
		if err != nil {
			return nil, err
		}
		return lenient{v, verify}, nil
	}
}

// whenever judges a message as of when it says that it was signed, if its age is
// all that is wrong.
func whenever(wrong error) func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
	return func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
		got, err := v.Verify(m)
		if !errors.Is(err, wrong) {
			return got, err
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(m.Header.Get("Stripe-Signature"), "t="), ",")
		seconds, err := time.ParseDuration(stamp + "s")
		if err != nil {
			return webhook.Verified{}, err
		}
		m.Now = time.Unix(int64(seconds/time.Second), 0)
		return v.Verify(m)
	}
}

func reserialised(body []byte) []byte {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return body
	}
	again, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return again
}

func TestEveryFaultOfAVerifierBreaksItsRule(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(webhook.VerifierConfig) (webhook.Verifier, error)
		rule string
	}{
		"empty secret accepted": {func(cfg webhook.VerifierConfig) (webhook.Verifier, error) {
			var left []string
			for _, s := range cfg.Secrets {
				if strings.TrimSpace(s) != "" {
					left = append(left, s)
				}
			}
			if len(left) == 0 {
				left = []string{"\x00"} // as good as none
			}
			cfg.Secrets = left
			return webhook.NewVerifier(cfg)
		}, "without a secret, or with an empty one, there is no verifier"},
		"stale timestamp accepted":  {faulty(whenever(webhook.ErrTimestampTooOld)), "what was signed too long ago is refused as stale"},
		"future timestamp accepted": {faulty(whenever(webhook.ErrTimestampInFuture)), "what was signed in the future is refused"},
		"age judged first": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			if stamp := m.Header.Get("Stripe-Signature"); strings.HasPrefix(stamp, "t=1795161600,") && m.Now.Unix() > 1795161600+1000 {
				return webhook.Verified{}, webhook.ErrTimestampTooOld
			}
			return v.Verify(m)
		}), "the signature is judged before the age"},
		"body parsed and re-serialised": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			m.Body = reserialised(m.Body)
			return v.Verify(m)
		}), "what the provider signs is valid, and is left as it was"},
		"body re-serialised when its bytes do not match": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			got, err := v.Verify(m)
			if err != nil {
				m.Body = reserialised(m.Body)
				return v.Verify(m)
			}
			return got, err
		}), "another form of the same JSON is another body"},
		"body trimmed": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			m.Body = bytes.TrimSpace(m.Body)
			return v.Verify(m)
		}), "another form of the same JSON is another body"},
		"body not looked at": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			m.Body = stripeFixture().Message.Body
			return v.Verify(m)
		}), "one byte of the body more, less or other is refused"},
		"body changed in place": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			got, err := v.Verify(m)
			copy(m.Body, reserialised(m.Body))
			return got, err
		}), "what the provider signs is valid, and is left as it was"},
		"first secret alone": {func(cfg webhook.VerifierConfig) (webhook.Verifier, error) {
			if _, err := webhook.NewVerifier(cfg); err != nil {
				return nil, err
			}
			cfg.Secrets = cfg.Secrets[:1]
			return webhook.NewVerifier(cfg)
		}, "each of several secrets counts, and is told by its index"},
		"index not told": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			got, err := v.Verify(m)
			got.SecretIndex = 0
			return got, err
		}), "each of several secrets counts, and is told by its index"},
		"first of two signatures counts": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			if values := m.Header["Stripe-Signature"]; len(values) > 1 {
				m.Header = http.Header{"Stripe-Signature": values[:1]}
			}
			return v.Verify(m)
		}), "a signature that is missing, empty or there twice is refused"},
		"no signature passes": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			if m.Header.Get("Stripe-Signature") == "" {
				return webhook.Verified{ID: "evt_1"}, nil
			}
			return v.Verify(m)
		}), "a signature that is missing, empty or there twice is refused"},
		"half a signature is enough": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			f := stripeFixture()
			f.Message.Now = time.Unix(1795161600, 0)
			signer, err := webhook.NewSigner(f.Sign)
			if err != nil {
				return webhook.Verified{}, err
			}
			whole, err := signer.Sign(f.Message)
			if err != nil {
				return webhook.Verified{}, err
			}
			half := whole.Get("Stripe-Signature")[:50]
			if len(m.Header["Stripe-Signature"]) == 1 && strings.HasPrefix(m.Header.Get("Stripe-Signature"), half) {
				m.Header = whole
			}
			return v.Verify(m)
		}), "every byte of a signature counts"},
		"error tells the secret": {faulty(func(v webhook.Verifier, m webhook.Message) (webhook.Verified, error) {
			got, err := v.Verify(m)
			if err != nil {
				err = fmt.Errorf("%w (whsec_the secret)", err)
			}
			return got, err
		}), "another secret signs nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			f := stripeFixture()
			f.New = tt.make
			for _, rule := range webhooktest.VerifierRules() {
				if rule.Name != tt.rule {
					continue
				}
				err := rule.Check(f)
				if err == nil {
					t.Errorf("%q holds", rule.Name)
				}
				t.Logf("%v", err)
				return
			}
			t.Errorf("there is no rule %q", tt.rule)
		})
	}
}

func TestASoundVerifierBreaksNoRule(t *testing.T) { webhooktest.RunVerifier(t, stripeFixture()) }
