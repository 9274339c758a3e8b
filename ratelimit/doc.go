// Package ratelimit limits requests by subject: a client's address, a header, a
// cookie, a value in the body or several of them together. Its windows are
// exact. Whenever they start, no window holds more than N admissions, and
// Retry-After is the time until the next one, not an estimate. For large limits
// and for smoothing there are other Algorithms.
//
//	m, err := ratelimit.New(ratelimit.Config{
//		Policies:       []ratelimit.Policy{ratelimit.AuthPolicy()},
//		TrustedProxies: []string{"10.0.0.0/8"},
//	})
//	if err != nil { ... }
//	http.ListenAndServe(":8080", m.Wrap(app))
//
// # Where it stands
//
// After what recovers from panics and logs, before what costs: authentication,
// sessions, the database. The path that a policy matches should be the one that
// the application sees, so nothing between the two may rewrite it.
//
// # Stores
//
// Without a Config.Limiter the counts live in this process (Memory), and every
// process has its own. Package redislimit counts for all instances in one Redis.
//
// When that fails, Policy.OnStoreError decides: Local (the default) goes on by
// a Memory that has followed every decision, Deny answers 503, Pass lets
// through uncounted. Local adds at most Limit admissions per instance to any
// window, or its share of them with Config.Replicas, however often the store
// comes and goes. Each failure is an Event, and so is every change between a
// store that fails and one that answers. A request loses 90 ms here at most, to
// decisions and to what is given back, as long as the Limiter keeps to its
// context. A request whose client is gone
// before the decision is not a failure of the store; it is not served.
//
// # Over the limit
//
// What a store has refused is answered from memory (Cached), whatever the number
// of requests: the store is asked once in 900 ms about a subject that stays
// blocked. Refusals end at their exact time. What lets a subject go earlier
// elsewhere, such as a place given back by another instance, is seen within a
// second. While the store is down, what it said before still holds.
//
// # Several policies
//
// Every policy that matches is asked. When one refuses, the others get back
// what they had reserved, and the answer's Retry-After is the longest wait among
// those that refuse. As long as it is known that one refuses, the others are
// neither asked nor reserved. Policies with a key in the body are asked last: for
// what the others refuse no body is read.
//
// A place that is reserved and given back is taken for that moment. When it was
// the last one, another instance may remember its subject as blocked for up to
// a second. With one policy on a request nothing is given back, and nothing is
// refused while there is room.
//
// # Failures only
//
// A policy with Count Failures takes a place before the handler runs and gives it
// back when the request was a success: by the status of its answer, by
// ReportSuccess, or by the response header Handrail-Outcome. What stands between
// the middleware and the handler must not answer with such a status by itself.
//
// What a store could not give back in an exact window is tried again for a
// minute; in the other algorithms, where a refund cannot be told from another, it
// is tried once, and the place stays taken.
//
// The header is removed by whoever counts failures first: a proxy in front of this
// middleware does not see it.
//
// # Answers
//
//	429 {"error":"rate_limited"}              Retry-After: 42
//	503 {"error":"rate_limiter_unavailable"}  Retry-After: 1
//	403 {"error":"address_denied"}
//
// All with Cache-Control: no-store, and as application/problem+json when Accept
// asks for it. Policies by ip alone add RateLimit-Policy: "auth";q=8;w=600 and
// RateLimit: "auth";r=0;t=42 (draft-ietf-httpapi-ratelimit-headers). Those of
// other subjects do not: a quota would tell whether an account exists.
//
// # Whose address
//
// The address is the peer's, unless that is one of Config.TrustedProxies: then
// it is the rightmost hop of the forwarding header that is not. Behind a proxy
// that is not listed, all clients share one limit; a list that is too wide lets
// clients choose their address. IPv6 clients count by their /64, since one
// client commands all of it.
//
// # Subjects
//
// All requests without the header or cookie of a policy, or with two of them,
// are one subject. Nobody gets past a limit by leaving it out, but anybody can
// use that subject up for all others without one, and anybody can make up
// values, each a new subject. A policy by header or cookie therefore belongs
// behind or beside one by ip.
//
// # Bodies
//
// For a key "json:/POINTER" or "form:FIELD" the body is read once, by the first
// policy that needs it, up to Policy.MaxBodyBytes. What stands behind gets the
// same bytes, length, trailers and errors; only Expect: 100-continue is gone from
// the header, since the client was asked. It is reached once the body has come, or
// as much of it: no client of such a path may wait for an answer in the middle of
// its body. What stands before must not have read it.
//
// A value is a string, a number or a boolean. Accounts have many spellings for
// applications that do not heed all of these, so that none of them counts: letter
// case, accents and strokes on Latin letters, full-width forms, space around,
// invisible characters, combining marks of every script, which are the vowels of
// some; ß is ss, and ð is d. A string that says a number is that number, as a
// double has it: 7, 7.0, "7", "007", "0_7", "0x7" and the digit of any script are
// one subject. Subjects that differ in these alone share one limit. Not known are
// +tags and dots of mail addresses, words behind a number ("7abc"), letters of
// other scripts that have their accent in them, nor similar letters of two. Where
// the application takes such for one account, a policy by ip beside bounds how
// many of them one client tries.
//
// Whatever two frameworks may read differently is the empty value: a body over
// MaxBodyBytes, cut short or with a Content-Encoding, a charset other than UTF-8
// (or US-ASCII, ISO-8859-1 and Windows-1252 when all is ASCII), two Content-Types,
// a form under a JSON key and the other way round. In JSON, what the grammar does
// not have (RFC 8259), more than 100 levels, characters that are none, and a
// member on the way that is there twice, also in other letter case, or the first
// of them in the query as well, as Rails merges that; a value with characters that
// NFKC makes letters or digits of, as superscripts, or collations take for some,
// as letters above others. In a form, the field twice, in other letter case, as
// FIELD[x] or FIELD.x beside it, in the query as well, or as a file; bad escapes;
// semicolons between fields; multipart in other than its plain form.
//
// The first json: and the first form: entry of a key are two ways to send one
// value, as are the second ones, and so on: an account has one limit, whichever
// way it is sent. An endpoint that takes both has one policy with both keys. With
// two policies, all JSON requests would be one subject, the empty one, of the
// form's.
//
// # For operators
//
// A Watch knows who is blocked, whether many accounts are tried from one network,
// and whether one subject sends most requests. Middleware.Unblock lets a subject
// through again.
//
// # What the store sees
//
// Keys are handrail:{<namespace>:<policy>:<digest>}. The digest hides subjects
// from a reader of the store only with a Config.KeySecret: there are few enough
// addresses to try them all.
package ratelimit
