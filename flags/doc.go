// Package flags is feature flags with a hashed percentage rollout: definitions
// in a YAML or JSON file, evaluation without allocation, reload while the
// program runs, and net/http middleware.
//
// A definition file:
//
//	flags:
//	  new-checkout:
//	    description: New checkout page
//	    owner: payments
//	    enabled: true               # kill switch, default true
//	    rolloutPercentage: 5        # 0 to 100, at most 3 decimals, default 0
//	    allowList: [user-1]
//	    denyList: [user-2]
//	    salt: new-checkout          # default: the flag's key
//	    hash: flagd2                # default; unleash, launchdarkly, growthbook2, posthog
//	    created: 2026-11-01
//	    expires: 2027-01-31         # end of that day, UTC
//	    onExpiry: keep              # default; or on, off
//	    inject: true                # default
//
// The root may leave "flags" out and hold the flags themselves. Unknown keys,
// wrong types, values out of range and flags defined twice are errors with file,
// line and column, all of them at once.
//
// # Evaluation
//
// The first rule that applies answers:
//
//	enabled: false                          off   DISABLED
//	expired, onExpiry: off                  off   STATIC
//	the targeting key is in denyList        off   TARGETING_MATCH
//	the targeting key is in allowList       on    TARGETING_MATCH
//	0 %                                     off   STATIC, with lists or a date ahead DEFAULT
//	100 %, or expired with onExpiry: on     on    STATIC, with lists or a date ahead DEFAULT
//	no targeting key                        off   ERROR, TARGETING_KEY_MISSING
//	bucket below the percentage             on    SPLIT
//	otherwise                               off   SPLIT
//
// A flag that no definition names is off: ERROR, FLAG_NOT_FOUND. A missing
// targeting key is never replaced by something random: the same user would see
// the feature come and go.
//
// The bucket of a targeting key hangs on the flag's salt, so two flags pick
// their users independently, and raising a percentage only adds users. See
// [Hash.Bucket].
//
// # Sources and failures
//
// [New] reads the definitions once and fails when it cannot, unless
// Config.Snapshot has those of an earlier run, or Config.AllowUnready has it
// start without. [Client.Run] then follows the source. New
// definitions are taken whole or not at all. While the source is gone, or holds
// an error, or holds no flag any more, the last good definitions answer, with
// [EventUnreachable] or [EventRejected] and [Client.Err] to tell.
//
// # HTTP
//
// [Middleware] stands behind whatever finds the client's address and
// authenticates, and before what asks for flags. Answers that depend on a
// decision must not be cached for others:
//
//   - A closed gate answers with Cache-Control: no-store.
//   - An answer from behind an open gate gets a Vary header where another user
//     might find the gate closed. A gate that is the same for everyone adds
//     none; when it closes, what caches hold is served until it is stale.
//   - A handler that itself asks for a flag, or reads Handrail-Flags, is the only
//     one to know whether its answer depends on it, and sets Vary (to the header
//     that the targeting key comes from) or Cache-Control: private.
//
// # Security
//
// Flags are not authorization. A targeting key out of a cookie is the visitor's
// to choose. Targeting keys are never written to errors or events.
package flags
