// Package webhooktest holds the suites that every webhook.Store, Ledger, Verifier
// and middleware must pass, the published vectors of providers, and a signer of
// requests.
//
//	func TestStore(t *testing.T) {
//		webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
//			clock := new(Clock)
//			return webhooktest.Fixture{Store: NewStore(clock), Advance: clock.Advance}
//		})
//	}
//
// Concurrent steps are held to be linearizable, see [Histories]. A failure tells
// its seed, which [SeedVariable] replays; what concurrent steps meet is not
// replayed with it.
//
// Each rule also stands alone, see [Rules], [VerifierRules] and
// [MiddlewareRules], so that a test can show that a store, a verifier or a
// middleware with a certain fault breaks one.
package webhooktest
