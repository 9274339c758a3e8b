package flags

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha1"
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/twmb/murmur3"
)

// Hash names the way in which targeting keys are put into buckets. All but
// HashFlagd2 are for flags that move here from elsewhere and keep their users.
type Hash string

const (
	// HashFlagd2 buckets as flagd's fractional operator does since it became
	// integer-only: murmur3_x86_32, seed 0, over the salt and the targeting
	// key with nothing between. It is the default.
	//
	// Source: https://flagd.dev/reference/specifications/custom-operations/fractional-operation-spec/.
	HashFlagd2 Hash = "flagd2"

	// HashUnleash buckets as Unleash's gradual rollout does, in whole
	// percents: murmur3_x86_32 over "salt:key". The salt is Unleash's groupId.
	//
	// Source: https://docs.getunleash.io/reference/stickiness.
	HashUnleash Hash = "unleash"

	// HashLaunchDarkly buckets as LaunchDarkly's rollouts by context key do:
	// 60 bits of the SHA-1 of "salt.key". The salt must be given, as
	// LaunchDarkly's flag key and salt with a dot between.
	//
	// Source: https://launchdarkly.com/docs/sdk/concepts/flag-evaluation-rules.
	HashLaunchDarkly Hash = "launchdarkly"

	// HashGrowthBook2 buckets as GrowthBook's hashVersion 2 does, in
	// hundredths of a percent: FNV-1a of 32 bits over the decimal digits of
	// the FNV-1a of salt and key. The salt is GrowthBook's seed. GrowthBook's
	// libraries agree with one another, and with this one, for ASCII.
	//
	// Source: https://docs.growthbook.io/lib/build-your-own.
	HashGrowthBook2 Hash = "growthbook2"

	// HashPostHog buckets as PostHog's local evaluation does: 60 bits of the
	// SHA-1 of "salt.key". The salt is PostHog's flag key.
	//
	// Source: PostHog/posthog-python, posthog/feature_flags.py.
	HashPostHog Hash = "posthog"
)

// hashNames are the values of hash, the default first.
var hashNames = []string{
	string(HashFlagd2), string(HashUnleash), string(HashLaunchDarkly), string(HashGrowthBook2), string(HashPostHog),
}

// Bucket returns the place of a targeting key, 0 to FullRollout-1, under a salt.
// The flag is on by rollout if and only if the place is below its
// [Definition.RolloutThousandths]. So raising a percentage only adds users, and
// flags with different salts pick their users independently.
//
// An unknown hash gives FullRollout: nobody is in.
func (h Hash) Bucket(salt, targetingKey string) int {
	switch h {
	case HashFlagd2:
		return flagd2Bucket(salt, targetingKey)
	case HashUnleash:
		return unleashBucket(salt, targetingKey)
	case HashLaunchDarkly, HashPostHog:
		return sha1Bucket(salt, targetingKey)
	case HashGrowthBook2:
		return growthBook2Bucket(fnv1a(fnvOffset, salt), targetingKey)
	}
	return FullRollout
}

// bucketer is Bucket for one salt, with what can be done ahead done.
func (h Hash) bucketer(salt string) func(targetingKey string) int {
	switch h {
	case HashFlagd2:
		return func(targetingKey string) int { return flagd2Bucket(salt, targetingKey) }
	case HashLaunchDarkly, HashPostHog:
		return func(targetingKey string) int { return sha1Bucket(salt, targetingKey) }
	case HashGrowthBook2:
		seeded := fnv1a(fnvOffset, salt)
		return func(targetingKey string) int { return growthBook2Bucket(seeded, targetingKey) }
	}
	return func(targetingKey string) int { return h.Bucket(salt, targetingKey) }
}

// maxJoined is the longest salt and targeting key of a request, and what stands
// between. The functions below join them on the stack, and allocate only beyond
// that.
const maxJoined = MaxKeyBytes + 1 + MaxTargetingKeyBytes

func flagd2Bucket(salt, targetingKey string) int {
	return int(uint64(joinedMurmur3(salt, targetingKey)) * FullRollout >> 32)
}

// joinedMurmur3 takes a small buffer when that will do, since clearing it is
// most of the work for a short key.
func joinedMurmur3(salt, targetingKey string) uint32 {
	var stack [128]byte
	if len(salt)+len(targetingKey) > len(stack) {
		return longMurmur3(salt, targetingKey)
	}
	return murmur3.Sum32(append(append(stack[:0], salt...), targetingKey...))
}

//go:noinline
func longMurmur3(salt, targetingKey string) uint32 {
	var stack [maxJoined]byte
	return murmur3.Sum32(append(append(stack[:0], salt...), targetingKey...))
}

// unleashBucket: the hash modulo 100, plus 1, is a percent p from 1 to 100, and
// is in when p is at most the rollout. So its place is the last of percent p.
func unleashBucket(salt, targetingKey string) int {
	var stack [maxJoined]byte
	joined := append(append(append(stack[:0], salt...), ':'), targetingKey...)
	return int(murmur3.Sum32(joined)%100+1)*(FullRollout/100) - 1
}

// sha1Bucket: the first 15 hex digits of the SHA-1, over the largest such
// number. A hash right on a threshold, 1 in 2^60, is out as with LaunchDarkly;
// PostHog has it in.
func sha1Bucket(salt, targetingKey string) int {
	const largest = 1<<60 - 1
	var stack [maxJoined]byte
	joined := append(append(append(stack[:0], salt...), '.'), targetingKey...)
	var sum [sha1.Size]byte
	if fips140.Enforced() {
		sum = unenforcedSHA1(joined)
	} else {
		sum = sha1.Sum(joined)
	}
	high, low := bits.Mul64(binary.BigEndian.Uint64(sum[:8])>>4, FullRollout)
	quotient, _ := bits.Div64(high, low, largest)
	return min(int(quotient), FullRollout-1)
}

// unenforcedSHA1 is for where only what FIPS 140 approves is allowed: nothing here
// is secret or proven by the hash.
//
//go:noinline
func unenforcedSHA1(text []byte) (sum [sha1.Size]byte) {
	text = bytes.Clone(text) // the caller's stays on its stack
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(text) })
	return sum
}

// growthBook2Bucket: ten thousand places. Seeded is the hash of the salt, which
// that of salt and key goes on from.
func growthBook2Bucket(seeded uint32, targetingKey string) int {
	inner := fnv1a(seeded, targetingKey)
	var digits [10]byte
	outer := fnv1a(fnvOffset, strconv.AppendUint(digits[:0], uint64(inner), 10))
	return int(outer%10_000) * (FullRollout / 10_000)
}

const fnvOffset = 2166136261

// fnv1a goes on with a hash; hash/fnv would allocate.
func fnv1a[T string | []byte](h uint32, text T) uint32 {
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return h
}
