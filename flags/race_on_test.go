//go:build race

package flags_test

// raceEnabled: some tests are too slow then.
const raceEnabled = true
