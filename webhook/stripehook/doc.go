// Package stripehook gives Go services Stripe's typed events. It brings
// github.com/stripe/stripe-go/v79.
//
// [New] is a short way to the verifier of package webhook for Stripe, which
// needs nothing of stripe-go. It accepts what stripe-go's own signer signs. It
// differs from ValidatePayload and ConstructEvent where a receiver needs it so:
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
//   - a t with a sign or leading zeros, before 1970 or after the year 9999, more
//     than 16 signatures, and a header above 4 KiB are refused
//
// # Security
//
// The secret is the endpoint's signing secret, whsec_…, as it stands: nothing
// is stripped or decoded. The event's id lies in the signed body. Secrets never
// appear in an error.
package stripehook
