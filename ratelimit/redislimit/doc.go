// Package redislimit keeps the counts of package ratelimit in Redis, so that any
// number of instances share them.
//
//	options, err := redislimit.Options("redis://:password@cache:6379")
//	client := redis.NewUniversalClient(options)
//	limiter, err := redislimit.New(redislimit.Config{Client: client})
//	m, err := ratelimit.New(ratelimit.Config{Policies: ..., Limiter: limiter})
//
// # What is stored
//
// All times are the server's own clock, and every key ends by itself once nothing
// of it matters any more. A refusal writes nothing.
//
//	KEY           sliding_window: a list of the newest admission times, at most
//	              Limit.Count, or the highest count of its Lockout
//	KEY:counter   sliding_counter: a string with a number for each part of the
//	              window that has any, at most 61 of 12 bytes
//	rate:KEY      gcra: what redis_rate v10 keeps, one number
//
// A decision takes one key. Cluster works as it is; Reset of a key that holds a
// hash tag, as those of ratelimit.Middleware do, is one command. Redis 5 or later
// is needed, with Lua's struct library; 7.0 is what the tests run on. A user of
// its own needs
//
//	~handrail:* ~rate:handrail:* +evalsha +eval +time +lindex +lpush +ltrim +lrem
//	+pexpireat +get +set +setrange +del +hello +auth
//
// besides +select for a database other than 0 and +cluster|slots for a Cluster.
//
// # What holds
//
// While one primary serves, across all instances: no window (t−Window, t] holds
// more than Count admissions under sliding_window and sliding_counter. A failover
// to a replica adds the admissions that had not been replicated; a server that
// restarts empty begins anew, which adds Count at most, Burst under gcra. Give the
// server maxmemory-policy noeviction: any other may drop counts. When the server's
// clock is set back, nothing more is admitted and nothing is blocked for longer
// than the window plus the step; when it is set forward, admissions age by as
// much.
//
// gcra is redis_rate's: a burst, and then one each Window/Count, so that a window
// may hold Burst + Count − 1 admissions, 2·Count − 1 with the default burst. Use
// it for traffic that is to be smooth, not before a login. It counts in floating
// point seconds: each admission is off by up to 0.06 µs (0.12 from 2034 on), and a
// wait is late by up to 1.5 µs, never early. A refund takes back what the call
// cost as long as that is not earned back; what it is goes by the Limiter that
// admitted the call, so that another process cannot refund it.
//
// A refund of what was admitted before a Reset, or before the server came back
// empty, does nothing under the two windows, which tell the one from the other by
// the server's clock. What redis_rate keeps does not tell: under gcra such a refund
// takes back as much of what was admitted since, so that as much as was under way
// at the time of the Reset may come in besides. None does so later than
// Burst·Window/Count after its call was admitted.
//
// # Batches
//
// Calls that come while others are under way go to their server together, in one
// pipeline: at most 4 at once, of at most 256 calls each, decisions of every
// algorithm, refunds and resets alike. A call that finds fewer than 4 under way
// goes at once and by itself. Under Cluster every master has its own. What was
// sent is never sent again, so a client of go-redis with MaxRetries other than -1
// gets no batches. The end of a call's context ends its wait for others, but not a
// batch that has been sent. A batch ends at the deadline of whoever sends it, which
// is that one of those who wait who has the most time; nobody who has over 10 ms
// more goes along.
//
// # When Redis is down
//
// A call ends within Config.Timeout whatever the server does, provided that the
// client keeps to deadlines: New refuses one of go-redis that does not. What
// then happens to the request is ratelimit.Policy.OnStoreError. After a lost
// answer the admission may have been recorded all the same, which errs on the
// side of refusing.
//
// A server that failed five times in a row, by refusing, breaking off or being too
// slow, is not asked for a second: calls end at once, with ErrOpen. Then one call
// at a time asks it again, until it answers; an error is an answer. Under Cluster
// that goes by master, so that the keys of the others are decided as ever, and the
// client looks for who has taken over each time.
// ErrOpen does not mean that the server has lost its counts. A client of go-redis
// that could not connect as often as its pool is large asks again once a second,
// too, so that a server that is back may be unused for up to two.
//
// # Sentinel and TLS
//
// With Sentinel, calls fail from the end of a master until its replica has taken
// over and the sentinels say so: down-after-milliseconds, the election, and up to
// two seconds for what is told above.
//
// A certificate of a private authority is trusted when the system trusts it, as
// with SSL_CERT_FILE in the environment on Unix, or when the program says so:
//
//	options.TLSConfig.RootCAs = pool
package redislimit
