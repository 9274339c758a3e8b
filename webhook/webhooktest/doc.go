// Package webhooktest holds the suite that every webhook.Store must pass, the
// published vectors of providers, and a signer of requests.
//
//	func TestStore(t *testing.T) {
//		webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
//			clock := new(Clock)
//			return webhooktest.Fixture{Store: NewStore(clock), Advance: clock.Advance}
//		})
//	}
//
// Each rule also stands alone, see [Rules], so that a test can show that a
// store with a certain fault breaks one.
package webhooktest
