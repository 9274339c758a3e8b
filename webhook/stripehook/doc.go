// Package stripehook verifies Stripe's webhooks and gives Go services the
// typed event. It brings github.com/stripe/stripe-go/v79.
//
// The signature is the one stripe-go computes. Its rules are stricter or wider
// than those of stripe-go's own ValidatePayload and ConstructEvent where a
// receiver needs them so:
//
//   - several secrets, so that one can be rotated without a gap
//   - a timestamp from the future is refused as a stale one is
//   - the signature is judged before the age, so that ErrTimestamp means what
//     it says: a replay, or a clock that is wrong
//   - an empty secret is refused when the verifier is made
//   - an event of another API version than stripe-go's is no error; its version
//     is reported
//   - two Stripe-Signature headers are refused, since it cannot be known which
//     of them others read
//
// # Security
//
// The secret is the endpoint's signing secret, whsec_…, as it stands: nothing
// is stripped or decoded. The event's id lies in the signed body. Secrets never
// appear in an error.
package stripehook
