package webhook_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestPublishedVectorsAreValid(t *testing.T) {
	for _, v := range webhooktest.Vectors() {
		t.Run(v.Name, func(t *testing.T) {
			verifier := newVerifier(t, v.Config)
			if got, err := verifier.Verify(v.Message); err != nil {
				t.Errorf("%+v, %v (%s)", got, err, v.Source)
			}
			v.Message.Body = append(slices.Clone(v.Message.Body), ' ')
			if _, err := verifier.Verify(v.Message); !errors.Is(err, webhook.ErrSignatureMismatch) {
				t.Errorf("a byte more: %v", err)
			}
		})
	}
}

func TestSignersMakeThePublishedSignatures(t *testing.T) {
	for _, v := range webhooktest.Vectors() {
		if v.Config.Provider == "sendgrid" {
			continue // ECDSA signs the same in many ways
		}
		t.Run(v.Name, func(t *testing.T) {
			if v.Signing != "" {
				v.Config.Secrets = []string{v.Signing}
			}
			want := v.Message.Header[v.Signature]
			m := v.Message
			m.Header = m.Header.Clone()
			delete(m.Header, v.Signature)
			signer, err := webhook.NewSigner(v.Config)
			if err != nil {
				t.Fatal(err)
			}
			got, err := signer.Sign(m)
			if err != nil || !slices.Equal(got[v.Signature], want) {
				t.Errorf("signed %v, %v; want %q", got, err, want)
			}
		})
	}
}

// signing is what a provider's signer and verifier need to work together.
type signing struct {
	verify, sign webhook.VerifierConfig
	other        string // another secret, as verify has them
	m            webhook.Message
	want         webhook.Verified
	signature    string // the header
	dated        bool
}

func signings() map[string]signing {
	const json = `{"id":"i-1","type":"t","event_id":"e-1","event_type":"et","webhookTimestamp":1795161600000,"data":{"id":"d"}}`
	simple := func(provider, signature string, dated bool, want webhook.Verified) signing {
		cfg := webhook.VerifierConfig{Provider: provider, Secrets: []string{"secret"}}
		return signing{verify: cfg, sign: cfg, other: "other", m: webhook.Message{Body: []byte(json)}, want: want, signature: signature, dated: dated}
	}
	with := func(s signing, change func(*signing)) signing {
		change(&s)
		return s
	}
	id := func(name string) http.Header { return http.Header{name: {"h-1"}} }
	all := map[string]signing{
		"stripe": simple("stripe", "Stripe-Signature", true, webhook.Verified{ID: "i-1", IDSigned: true, Type: "t"}),
		"github": with(simple("github", "X-Hub-Signature-256", false, webhook.Verified{ID: "h-1", Type: "push"}), func(s *signing) {
			s.m.Header = http.Header{"X-Github-Delivery": {"h-1"}, "X-Github-Event": {"push"}}
		}),
		"slack": with(simple("slack", "X-Slack-Signature", true, webhook.Verified{ID: "e-1", IDSigned: true, Type: "message"}), func(s *signing) {
			s.m.Body = []byte(`{"type":"event_callback","event":{"type":"message"},"event_id":"e-1"}`)
		}),
		"shopify": with(simple("shopify", "X-Shopify-Hmac-Sha256", false, webhook.Verified{ID: "h-1", Type: "orders/create", APIVersion: "2026-10"}), func(s *signing) {
			s.m.Header = http.Header{"X-Shopify-Webhook-Id": {"h-1"}, "X-Shopify-Topic": {"orders/create"}, "X-Shopify-Api-Version": {"2026-10"}}
		}),
		"paddle": simple("paddle", "Paddle-Signature", true, webhook.Verified{ID: "e-1", IDSigned: true, Type: "et"}),
		"linear": with(simple("linear", "Linear-Signature", true, webhook.Verified{ID: "h-1", Type: "t"}), func(s *signing) {
			s.m.Header = id("Linear-Delivery")
		}),
		"square": with(simple("square", "X-Square-Hmacsha256-Signature", false, webhook.Verified{ID: "e-1", IDSigned: true, Type: "t"}), func(s *signing) {
			s.verify.PublicURL, s.sign.PublicURL = "https://example.com/hook", "https://example.com/hook"
		}),
		"twilio": with(simple("twilio", "X-Twilio-Signature", false, webhook.Verified{ID: "h-1"}), func(s *signing) {
			s.verify.PublicURL, s.sign.PublicURL = "https://example.com/hook", "https://example.com/hook"
			s.m = webhook.Message{Body: []byte("b=2&a=1&b=1"), Header: http.Header{"I-Twilio-Idempotency-Token": {"h-1"}, "Content-Type": {"application/x-www-form-urlencoded"}}}
		}),
		"gitlab, secret token": with(simple("gitlab", "X-Gitlab-Token", false, webhook.Verified{ID: "h-1", Type: "Push Hook"}), func(s *signing) {
			s.m.Header = http.Header{"Idempotency-Key": {"h-1"}, "X-Gitlab-Event": {"Push Hook"}}
		}),
		"gitlab, signing token": with(simple("gitlab", "Webhook-Signature", true, webhook.Verified{ID: "h-1", IDSigned: true}), func(s *signing) {
			s.verify.Secrets, s.sign.Secrets, s.other = []string{"whsec_c2VjcmV0"}, []string{"whsec_c2VjcmV0"}, "whsec_b3RoZXI="
			s.m.Header = id("Idempotency-Key")
		}),
		"standard": with(simple("standard", "Webhook-Signature", true, webhook.Verified{ID: "h-1", IDSigned: true, Type: "t"}), func(s *signing) {
			s.verify.Secrets, s.sign.Secrets, s.other = []string{"whsec_c2VjcmV0"}, []string{"whsec_c2VjcmV0"}, "whsec_b3RoZXI="
			s.m.Header = id("Webhook-Id")
		}),
		"standard, ed25519, svix": with(simple("standard", "Svix-Signature", true, webhook.Verified{ID: "h-1", IDSigned: true, Type: "t"}), func(s *signing) {
			s.verify.Secrets, s.other = []string{"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="}, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
			s.sign.Secrets = []string{"whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="}
			s.m.Header = id("Svix-Id")
		}),
		// Keys of RFC 8032, 7.1, tests 1 and 2.
		"discord": with(simple("discord", "X-Signature-Ed25519", true, webhook.Verified{ID: "i-1", IDSigned: true, Type: "t"}), func(s *signing) {
			s.verify.Secrets = []string{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}
			s.sign.Secrets = []string{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"}
			s.other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
		}),
		"sendgrid": with(simple("sendgrid", "X-Twilio-Email-Event-Webhook-Signature", true, webhook.Verified{IDSigned: true}), func(s *signing) {
			s.verify.Secrets = []string{"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA=="}
			s.sign.Secrets = []string{"MHcCAQEEIEQmZgBEh9DcU9zMl34czK3xov4AYvm9P3r7rNB2dNXtoAoGCCqGSM49AwEHoUQDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA=="}
			s.other = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ=="
		}),
	}
	for name, h := range map[string]webhook.HMACConfig{
		"hmac, hex of the body":          {Header: "X-Sig", Algorithm: "sha256", Encoding: "hex", Prefix: "sha256="},
		"hmac, base64 of time and body":  {Header: "X-Sig", Algorithm: "sha512", Encoding: "base64", Signed: "{timestamp:X-Time}{body}"},
		"hmac, base64url, sha1, headers": {Header: "X-Sig", Algorithm: "sha1", Encoding: "base64url", Prefix: "v1=", Signed: "v1:{header:X-Id}:{timestamp:X-Time}:{body}."},
	} {
		all[name] = with(simple("hmac", "X-Sig", h.Signed != "", webhook.Verified{ID: "i-1", IDSigned: true}), func(s *signing) {
			s.verify.HMAC, s.sign.HMAC, s.verify.ID, s.sign.ID = h, h, "json:/id", "json:/id"
			s.m.Header = id("X-Id")
		})
	}
	return all
}
