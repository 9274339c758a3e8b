// Package redislimit keeps the exact sliding windows of package ratelimit in
// Redis, so that any number of instances share one count.
//
//	options, err := redislimit.Options("redis://:password@cache:6379")
//	client := redis.NewUniversalClient(options)
//	limiter, err := redislimit.New(redislimit.Config{Client: client})
//	m, err := ratelimit.New(ratelimit.Config{Policies: ..., Limiter: limiter})
//
// # What is stored
//
// One list per subject: the times of its newest admissions, at most Limit.Count
// of them, in microseconds of the server's own clock. One script decides and
// records; a refusal writes nothing. Every key ends by itself once its last
// admission has left the window. A decision takes one key, so Cluster works as
// it is. Redis 5 or later is needed; 7.0 is what the tests run on.
//
// # What holds
//
// While one primary serves, no window (t−Window, t] holds more than Count
// admissions, across all instances. A failover to a replica adds the admissions
// that had not been replicated; a server that restarts empty begins anew. Give
// the server maxmemory-policy noeviction: any other may drop counts. When the
// server's clock is set back, nothing more is admitted and nothing is blocked
// for longer than the window plus the step; when it is set forward, admissions
// age by as much.
//
// # Batches
//
// Calls that come while others are under way go to their server together, in one
// pipeline: at most 4 at once, of at most 256 calls each. A call that finds
// nothing under way goes at once and by itself. Under Cluster every master has
// its own. What was sent is never sent again, so a client of go-redis with
// MaxRetries other than -1 gets no batches. The end of a call's context ends its
// wait for others, but not a batch that has been sent; a call whose context has a
// deadline before that of Config.Timeout goes by itself.
//
// # When Redis is down
//
// A call ends within Config.Timeout whatever the server does, provided that the
// client keeps to deadlines: New refuses one of go-redis that does not. What
// then happens to the request is ratelimit.Policy.OnStoreError. After a lost
// answer the admission may have been recorded all the same, which errs on the
// side of refusing. A client of go-redis that could not connect as often as its
// pool is large asks the server again once a second.
package redislimit
