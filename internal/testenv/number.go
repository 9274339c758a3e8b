package testenv

import (
	"os"
	"strconv"
	"testing"
)

// Number is what the environment variable says, for runs that are made longer or
// repeated by hand; otherwise where it is unset or empty.
func Number(t testing.TB, variable string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("testenv: %s must be a number", variable)
	}
	return n
}
