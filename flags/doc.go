// Package flags is feature flags with a hashed percentage rollout: definitions
// in YAML or JSON from a file, a web server or Redis, evaluation without
// allocation, reload while the program runs, and net/http middleware.
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
//	    inject: true                # default: may stand in Handrail-Flags
//	    public: false               # default: not for clients nobody vouches for
//	    metadata: {ticket: WEB-12}  # told with each decision
//	    variants:                   # default: none, the flag is on or off
//	      - {name: blue, weight: 3, value: "#00f"}
//	      - {name: red, value: "#f00"}
//	    offVariant: blue            # default: none, the caller's own default
//	    variantSalt: new-checkout/variants  # default: the salt and /variants
//
// The root may leave "flags" out and hold the flags themselves. Unknown keys,
// wrong types, values out of range and flags defined twice are errors with file,
// line and column, all of them at once. [Edit] changes one flag of a file and no
// other byte.
//
// # Evaluation
//
// The first rule that applies answers:
//
//	no definitions were ever loaded         off   ERROR, PROVIDER_NOT_READY
//	no flag has the key                     off   ERROR, FLAG_NOT_FOUND
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
// A missing targeting key is never replaced by something random here: the same
// user would see the feature come and go. [AnonymousCookie] gives visitors one
// that they keep.
//
// The bucket of a targeting key hangs on the flag's salt, so two flags pick
// their users independently, and raising a percentage only adds users. See
// [Hash.Bucket]. Where a flag with variants is on, another hash picks one of
// them, with reason SPLIT; see [Variant]. [Set.Explain] says how a decision came
// about, [Set.Compare] what an edit does.
//
// # Sources and failures
//
// A [Source] is [File], [HTTP], [Static], one of package redisflags, or another;
// a [Writer] can be changed through, and [Client.Reload] has such a change in
// force at once.
//
// [New] reads the definitions once and fails when it cannot, unless
// Config.Snapshot has those of an earlier run, or Config.AllowUnready has it
// start without: [Client.Ready] is false then until there are some.
// [Client.Run] follows the source. New definitions are taken whole or not at
// all. While the source is gone, or holds an error, or holds no flag any more,
// the last good definitions answer, with [EventUnreachable] or [EventRejected]
// and [Client.Err] to tell.
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
//   - A handler that itself asks for a flag is the only one to know whether its
//     answer depends on it, and sets Vary (to the header that the targeting key
//     comes from) or Cache-Control: private. One that reads Handrail-Flags says
//     Vary: Handrail-Flags, in whose place MiddlewareConfig.Vary is sent.
//   - An answer that gives a visitor a new key is Cache-Control: private.
//
// # Security
//
// Flags are not authorization. A targeting key out of a cookie is the visitor's
// to choose. Clients that nobody vouches for are to be answered by
// [Evaluator.Public], to which only flags marked public exist. Targeting keys are
// never written to errors or events.
package flags
