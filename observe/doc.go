// Package observe gives every request an id, a line in the access log and an
// event for metrics, and turns panics into answers. It wraps the response
// writer once for all of it.
//
// The Middleware belongs at the very front of the chain, before whatever may
// refuse a request, so that refusals are seen too; only what puts the client's
// address into the context comes earlier.
//
// It depends on nothing that can be down: the log is whatever *slog.Logger
// the caller gives, and metrics and error trackers hear of requests through
// Config.OnStart, OnRequest and OnPanic. The adapters observe/prom and
// observe/sentryobs fit these fields.
//
// Security: an inbound X-Request-Id counts only from a trusted proxy. Query
// strings, headers and bodies are never logged; a panic's text and stack go
// to the log and OnPanic, never into the answer.
package observe
