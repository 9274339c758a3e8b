package ratelimit

import "time"

// An Outcome says what came of one policy on one request.
type Outcome string

// The outcomes. Every policy that matches a request yields exactly one of them,
// except that StoreError and Refunded come in addition, and that there is none
// after Canceled.
const (
	Allowed      Outcome = "allowed"       // counted, and passed on
	Denied       Outcome = "denied"        // over the limit: 429
	ShadowDenied Outcome = "shadow_denied" // over the limit, but the policy only watches
	Exempt       Outcome = "exempt"        // from a network in Policy.Allow: not counted
	DenyListed   Outcome = "deny_listed"   // from a network in Policy.Deny: 403
	Released     Outcome = "released"      // admitted, and given back since the request was refused
	Skipped      Outcome = "skipped"       // not asked, since another policy was known to refuse
	Unavailable  Outcome = "unavailable"   // the store failed under OnStoreError Deny: 503
	Canceled     Outcome = "canceled"      // the request's context ended before the decision
	StoreError   Outcome = "store_error"   // the store failed; Cause says how
	Refunded     Outcome = "refunded"      // counted and given back, since the request was a success

	// Those that concern no single request.
	Degraded  Outcome = "degraded"  // the store began to fail; Cause says how
	Recovered Outcome = "recovered" // the store has not failed for a while
	Dominant  Outcome = "dominant"  // one subject sends most requests of the policy
)

// An Event tells of one outcome.
type Event struct {
	Policy     string // its name; empty with Degraded and Recovered
	Outcome    Outcome
	RetryAfter time.Duration // exact wait, with Denied and ShadowDenied
	Local      bool          // decided by the fallback, because the store failed
	Cause      error         // with StoreError, Canceled and Degraded
}
