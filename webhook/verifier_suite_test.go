package webhook_test

import (
	"testing"

	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestEveryProviderPassesTheSuiteOfVerifiers(t *testing.T) {
	for name, s := range signings() {
		t.Run(name, func(t *testing.T) {
			s.m.Now = signedAt
			webhooktest.RunVerifier(t, webhooktest.VerifierFixture{
				Verify: s.verify, Sign: s.sign, Other: s.other, Message: s.m,
				Signature: s.signature, Token: s.signature == "X-Gitlab-Token",
			})
		})
	}
}
