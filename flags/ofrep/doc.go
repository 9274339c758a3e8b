// Package ofrep answers the OpenFeature Remote Evaluation Protocol from a
// [flags.Client], so that a program in any language asks for its flags through
// OpenFeature's SDK and the OFREP provider that belongs to it.
//
//	POST /ofrep/v1/evaluate/flags/new-checkout
//	{"context":{"targetingKey":"user-1","plan":"pro"}}
//
//	200 {"key":"new-checkout","value":true,"reason":"SPLIT","variant":"on"}
//
//	POST /ofrep/v1/evaluate/flags
//	{"context":{"targetingKey":"user-1"}}
//
//	200 {"flags":[{"key":"new-checkout","value":true,…},…]}
//
// The answer about all flags has an ETag over what it says. A client that sends
// it back in If-None-Match gets 304 while nothing changed for its context,
// whatever else changed in the definitions.
//
// A flag whose definition gives no value, such as one that is off and has no
// offVariant, is answered without "value": the caller's default counts. OFREP
// providers from before that was in the protocol (0.2.0) take it for an error,
// and give their caller the default as well.
//
// # What is refused
//
//	400 TARGETING_KEY_MISSING   the flag buckets, and the context has no targetingKey
//	400 INVALID_CONTEXT         the request cannot be read: see below
//	400 PARSE_ERROR, GENERAL    the flag cannot be evaluated
//	401                         Tokens are configured, and none of them was sent
//	404 FLAG_NOT_FOUND          no such flag; with PublicOnly, or none that is public
//	405, 413, 415               no POST; a body that is too large; a body that is no JSON
//	503                         no definitions were loaded yet; Retry-After says when to ask again
//	503                         all flags were asked for, and their rules take more than 250 ms; likewise
//
// There is no answer about some of the flags: a client that had one of all keeps
// it, instead of falling back to its defaults. Native definitions take no time
// that counts. Rules are no longer evaluated for a client that has hung up.
//
// In the answer about all flags, those that cannot be evaluated stand with their
// errorCode beside the others.
//
// A context is read strictly, so that nobody is answered for another context
// than was meant: names that are there twice, text that is not UTF-8, and
// anything behind the request are errors, as are a targetingKey that is not a
// string or longer than [flags.MaxTargetingKeyBytes], and more than [Config]
// allows. A number without fraction and exponent is an int64 where that can hold
// it, any other a float64. A request without a body, or without context, asks
// for nobody in particular.
//
// # Security
//
// Flags are not authorization: a client can send any context. PublicOnly is for
// clients that nobody vouches for, such as browsers; without it, tokens or the
// network must keep them out. Answers are never cached (no-store), and hold
// nothing of the context but what a definition itself makes of it.
//
// Browsers ask a server of another origin first (CORS); this Handler does not
// answer that, so it is for pages of its own origin, unless what stands before
// it says otherwise.
//
// Source: https://github.com/open-feature/protocol, service/openapi.yaml 0.3.0.
package ofrep
