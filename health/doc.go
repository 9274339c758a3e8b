// Package health tells whether a service is up, ready and well.
//
// A Monitor runs checks in the background, one goroutine for each, and
// publishes what they found as rendered answers. Its handlers only copy the
// last answer: a poll never runs a check, never waits for one and never
// cancels one, so that any number of pollers costs a dependency one call per
// interval.
//
// The handlers stand before authentication and limits, on paths of the
// caller's choice (/health, /livez, /readyz and /startupz by custom).
//
// What happens when a dependency is down: a critical check that fails makes
// Handler answer 503 "degraded"; any other one makes it 200 "warning".
// ReadyzHandler looks only at checks with Ready set, so that a shared
// database does not take every instance out of service at once. A check that
// does not return is "stale", never "ok".
//
// Security: only VerboseHandler shows the text of errors. It belongs on a
// listener for operators.
package health
