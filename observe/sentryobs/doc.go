// Package sentryobs reports panics, server errors and traces to Sentry. It
// has a client of its own; the SDK's global hub is never touched.
//
// A Reporter fits the hooks of an observe.Middleware:
//
//	reporter, err := sentryobs.New(sentryobs.Config{DSN: dsn, Environment: env})
//	...
//	m, err := observe.New(observe.Config{
//		OnStart:   reporter.OnStart,
//		OnRequest: reporter.OnRequest,
//		OnPanic:   reporter.OnPanic,
//	})
//
// When Sentry is down, nothing waits for it: events are queued in bounded
// buffers and dropped past them. Close waits for what is queued, within the
// caller's deadline.
//
// Security: an event holds the method, the route template, the status, the
// request id, and for a panic its text and stack. Headers, cookies, query,
// body, path and the client's address are never sent. From texts, the values
// of Config.Secrets, passwords in URLs and their queries are taken out. A
// client that sends a sentry-trace header decides whether its request is
// traced, as everywhere with Sentry; delete the header in front where clients
// are not trusted with the quota.
package sentryobs
