package flags_test

import (
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/twmb/murmur3"
)

func TestMurmur3MatchesPublishedHashes(t *testing.T) {
	// Source: open-feature/flagd-testbed, evaluator/gherkin/fractional.feature,
	// "hash edge cases": keys whose murmur3_x86_32 with seed 0 is extreme.
	for key, want := range map[string]uint32{
		"ejOoVL": 0, "bY9fO-": 1, "SI7p-": 2147483647, "6LvT0": 2147483648, "ceQdGm": 4294967295,
	} {
		if got := murmur3.StringSum32(key); got != want {
			t.Errorf("%s: got %d, want %d", key, got, want)
		}
	}
	// Source: optimizely/python-sdk, tests/test_bucketing.py: seed 1, scaled to
	// 10,000 buckets.
	for key, want := range map[string]uint64{
		"ppid11886780721": 5254, "ppid21886780721": 4299, "ppid21886780722": 2434, "ppid31886780721": 5439,
	} {
		if got := uint64(murmur3.SeedStringSum32(1, key)) * 10_000 >> 32; got != want {
			t.Errorf("%s: got %d, want %d", key, got, want)
		}
	}
}

func TestBucketScalesTheWholeRangeOfTheHash(t *testing.T) {
	for key, want := range map[string]int{
		"ejOoVL": 0, "bY9fO-": 0, "SI7p-": 49_999, "6LvT0": 50_000, "ceQdGm": 99_999,
	} {
		for split := range len(key) + 1 {
			if got := flags.HashFlagd2.Bucket(key[:split], key[split:]); got != want {
				t.Errorf("%s+%s: got %d, want %d", key[:split], key[split:], got, want)
			}
		}
	}
}

func TestBucketIsTheSameForEveryLength(t *testing.T) {
	long := make([]byte, 2000)
	for i := range long {
		long[i] = byte(i * 7)
	}
	for n := range len(long) {
		want := int(uint64(murmur3.Sum32(long[:n])) * 100_000 >> 32)
		if got := flags.HashFlagd2.Bucket(string(long[:n/3]), string(long[n/3:n])); got != want {
			t.Fatalf("%d bytes: got %d, want %d", n, got, want)
		}
	}
}

func TestBucketOfAnUnknownHashIsInNoRollout(t *testing.T) {
	if got := flags.Hash("md5").Bucket("a", "b"); got != flags.FullRollout {
		t.Errorf("got %d", got)
	}
}
