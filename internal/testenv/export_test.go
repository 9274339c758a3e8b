package testenv

import "testing"

// Do sends one command to the server, for the tests of this package.
func (s *RedisServer) Do(args ...string) (string, error) { return s.do(args...) }

// Find is find, for a program that no machine has.
func Find(t testing.TB, program, server string) string {
	t.Helper()
	return find(t, program, server)
}
