package flags_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
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

// Source: rurban/smhasher, main.cpp: the verification value of
// MurmurHash3_x86_32, over keys of every length from 0 to 255 and as many seeds.
func TestMurmur3HasItsVerificationValue(t *testing.T) {
	var key [256]byte
	var hashes []byte
	for i := range key {
		key[i] = byte(i)
		hashes = binary.LittleEndian.AppendUint32(hashes, murmur3.SeedSum32(uint32(256-i), key[:i]))
	}
	if got := murmur3.Sum32(hashes); got != 0xB0F57EE3 {
		t.Errorf("got %#x", got)
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
	for n := range long {
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

func TestUnleashMatchesItsClients(t *testing.T) {
	// Source: the tests of Unleash/unleash-client-node for its strategies:
	// "normalized values are the same across node, java, and go clients".
	for _, v := range []struct {
		group, id string
		percent   int
	}{{"gr1", "123", 73}, {"groupX", "999", 25}} {
		bucket := flags.HashUnleash.Bucket(v.group, v.id)
		if bucket >= v.percent*1000 || bucket < v.percent*1000-1 {
			t.Errorf("%s:%s is at %d, want on from %d %%", v.group, v.id, bucket, v.percent)
		}
	}
}

func TestUnleashMatchesItsSpecification(t *testing.T) {
	// Source: Unleash/client-specification, specifications/
	// 03-gradual-rollout-user-id-strategy.json, 10-flexible-rollout-strategy.json,
	// 12-custom-stickiness.json.
	for _, v := range []struct {
		group, id string
		percent   int
		on        bool
	}{
		{"AB12A", "122", 50, true}, {"AB12A", "155", 50, false},
		{"Feature.flexibleRollout.10", "174", 10, true}, {"Feature.flexibleRollout.10", "499", 10, false},
		{"Feature.flexibleRollout.userId.55", "25", 55, true},
		{"Feature.flexibleRollout.sessionId.42", "147", 42, true},
		{"Feature.flexible.rollout.custom.stickiness_50", "402", 50, false},
		{"Feature.flexible.rollout.custom.stickiness_50", "388", 50, true},
		{"Feature.flexible.rollout.custom.stickiness_50", "39", 50, true},
	} {
		set, err := flags.Parse("flags.yaml", fmt.Appendf(nil, "f: {hash: unleash, salt: %q, rolloutPercentage: %d}", v.group, v.percent))
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Enabled("f", v.id); got != v.on {
			t.Errorf("%s:%s at %d %%: %t", v.group, v.id, v.percent, got)
		}
	}
}

func TestLaunchDarklyMatchesItsSDKs(t *testing.T) {
	for _, v := range []struct {
		salt, id string
		want     float64
	}{
		// Source: the tests of launchdarkly/rust-server-sdk-evaluation for
		// users, with flag key hashKey and salt saltyA.
		{"hashKey.saltyA", "userKeyA", 0.4215758743392494},
		{"hashKey.saltyA", "userKeyB", 0.6708484965703435},
		{"hashKey.saltyA", "userKeyC", 0.1034310617276969},
		// Source: launchdarkly/sdk-test-harness, the bucketing tests of
		// server-side evaluation: numbers as keys, and a rollout's seed, which
		// stands in the place of flag key and salt.
		{"hashKey.saltyA", "33333", 0.54771423},
		{"hashKey.saltyA", "99999", 0.7309658},
		{"61", "userKeyA", 0.09801207},
		{"61", "userKeyB", 0.14483777},
		{"61", "userKeyC", 0.9242641},
	} {
		if got := flags.HashLaunchDarkly.Bucket(v.salt, v.id); got != int(math.Floor(v.want*flags.FullRollout)) {
			t.Errorf("%s, %s: got %d, want %v", v.salt, v.id, got, v.want)
		}
	}
}

func TestGrowthBook2MatchesItsSDKs(t *testing.T) {
	// Source: growthbook/growthbook, packages/sdk-js/test/cases.json: buckets
	// of experiments with hashVersion 2, and the cases under "hash".
	for _, v := range []struct {
		seed, id string
		want     int // ten-thousandths
	}{
		{"feature", "123", 5231}, {"experiment", "1", 4413},
		{"seed", "a", 505}, {"seed", "b", 2696}, {"foo", "ab", 2575}, {"foo", "def", 2019},
		{"89123klj", "8952klfjas09ujkasdf", 1240}, {"90850943850283058242805", "123", 7516},
		{"()**(%$##$%#$#", "___)((*\":&", 128},
	} {
		if got := flags.HashGrowthBook2.Bucket(v.seed, v.id); got != v.want*10 {
			t.Errorf("%s, %s: got %d, want %d", v.seed, v.id, got, v.want*10)
		}
	}
}

func TestPostHogMatchesItsLibraries(t *testing.T) {
	// Source: PostHog/posthog, TestFeatureFlagMatcherConsistency,
	// test_simple_flag_consistency: the first 120 of distinct_id_N at 45 %.
	const want = "011010010101101000110100101100011110000001101100011000010101" +
		"011010101100100101001000110110111110110011110010111000001001"
	set, err := flags.Parse("flags.yaml", []byte("simple-flag: {hash: posthog, rolloutPercentage: 45}"))
	if err != nil {
		t.Fatal(err)
	}
	for i, on := range want {
		if id := fmt.Sprintf("distinct_id_%d", i); set.Enabled("simple-flag", id) != (on == '1') {
			t.Errorf("%s: want %c", id, on)
		}
	}
}

func TestEveryHashSpreadsEvenlyWithoutAllocation(t *testing.T) {
	longest := strings.Repeat("k", flags.MaxTargetingKeyBytes)
	salt := strings.Repeat("s", flags.MaxKeyBytes)
	for _, h := range []flags.Hash{flags.HashFlagd2, flags.HashUnleash, flags.HashLaunchDarkly, flags.HashGrowthBook2, flags.HashPostHog} {
		const ids = 100_000
		in := 0
		for i := range ids {
			b := h.Bucket("new-checkout", fmt.Sprintf("user-%d", i))
			if b < 0 || b >= flags.FullRollout {
				t.Fatalf("%s: bucket %d", h, b)
			}
			if b < 25_000 {
				in++
			}
		}
		if share := 100 * float64(in) / ids; math.Abs(share-25) > 0.5 {
			t.Errorf("%s: 25 %% holds for %.2f %%", h, share)
		}
		if n := testing.AllocsPerRun(100, func() { h.Bucket(salt, longest) }); n != 0 {
			t.Errorf("%s: %v allocations", h, n)
		}
	}
}
