// Package redisflags keeps the definitions of feature flags in Redis, for any
// number of instances of a service: a change counts on all of them within a
// second.
//
//	client := redis.NewUniversalClient(&redis.UniversalOptions{
//		Addrs: []string{"redis:6379"}, ContextTimeoutEnabled: true, MaxRetries: -1,
//	})
//	source, err := redisflags.New(redisflags.Config{Client: client, Namespace: "shop"})
//	flagsClient, err := flags.New(ctx, flags.Config{Source: source, AllowUnready: true, Snapshot: "flags.snapshot"})
//
// # What is stored
//
//	handrail:{shop:flags}           hash: data, version, written, call
//	handrail:{shop:flags}:audit     stream: line
//	handrail:{shop:flags}:changed   channel
//
// Data are the definitions as a file has them, version their SHA-256 in hex,
// written the time by the server's own clock in microseconds, call what tells a
// repeated write from another. Definitions that do not match their version are an
// error. Write them with [Source.Write]; the first ones replace those of version "".
//
// # Changes
//
// A write is one script: it replaces the version that it was made to, or nothing,
// appends to the audit log, and publishes the new version on the channel. Watch
// listens there, and beside that asks for the version every few seconds, so that
// a lost message, or a user without the right to the channel, costs no more than
// that. It looks at once when a connection that was lost is there again.
//
// # When Redis is down
//
// The last good definitions stay in force. Watch tries several times a second.
// Definitions that are deleted are missing, not empty: the last good ones stay
// then, too.
//
// # Durability
//
// A write that has returned is as durable as the server's settings make it. With
// appendonly yes and appendfsync always nothing is lost by a crash; with everysec,
// a crash of the machine may take the last second or two; without, a restart
// forgets the definitions and the audit log. A failover to a replica forgets what
// had not been replicated: the version before counts again then. A
// maxmemory-policy other than noeviction or one of volatile-… may drop both.
//
// # Servers
//
// Redis 5 or later, alone, behind Sentinel or as a Cluster; 7.0 is what the tests
// run on. Scripts are sent to masters, never to a replica. A user of its own needs
//
//	~handrail:* &handrail:* +evalsha +eval +time +exists +hmget +hget +hset +hstrlen
//	+xadd +xrevrange +publish +subscribe +ping +hello +auth
//
// besides +select for a database other than 0 and +cluster|slots +command for a
// Cluster. Channels are the server's, not the database's: two databases with the
// same namespace wake each other up, and do no more.
//
// # Security
//
// Whoever can write to the server turns flags on and off. Errors hold no user and
// no password; they may hold the address of a server.
package redisflags
