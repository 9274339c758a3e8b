// Package testenv starts private Redis and PostgreSQL servers for tests: one
// call each, on a free loopback port, with an empty data directory, gone when
// the test ends.
//
//	func TestSomething(t *testing.T) {
//		redis := testenv.Redis(t)
//		db := testenv.Postgres(t)
//		... redis.URL(), db.DSN()
//		redis.Kill()
//	}
//
// RedisCluster, RedisSentinel and the option TLS are the other ways in which a
// service reaches Redis.
//
// A server that is not installed skips the test and says which one is missing.
// With HANDRAIL_TEST_SERVERS=required in the environment, as `make test` sets
// it, that is a failure instead.
//
// Every call starts a server of its own, so that a test may stop, kill or pause
// it without touching another test. The servers also end when the test binary
// is killed: on Linux the kernel signals them, elsewhere only t.Cleanup does.
//
// The methods that act on a server fail the test when they cannot do what they
// say, so call them from the test's own goroutine. None of this works inside a
// testing/synctest bubble: the servers are real processes on real time.
package testenv
