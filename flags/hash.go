package flags

import "github.com/twmb/murmur3"

// Hash names the way in which targeting keys are put into buckets.
type Hash string

// HashFlagd2 buckets as flagd's fractional operator does since its integer
// bucketing: murmur3_x86_32 with seed 0 over the salt and the targeting key,
// one after the other with nothing between.
//
// Source: https://flagd.dev/reference/specifications/custom-operations/fractional-operation-spec/.
const HashFlagd2 Hash = "flagd2"

// hashNames are the values of hash, the default first.
var hashNames = []string{string(HashFlagd2)}

// Bucket returns the place of a targeting key, 0 to FullRollout-1, under a salt.
// The flag is on by rollout if and only if the place is below its
// [Definition.RolloutThousandths]. So raising a percentage only adds users, and
// flags with different salts pick their users independently.
//
// A hash that this version does not know gives FullRollout: nobody is in.
func (h Hash) Bucket(salt, targetingKey string) int {
	if h != HashFlagd2 {
		return FullRollout
	}
	return flagd2Bucket(salt, targetingKey)
}

// flagd2Bucket joins salt and key on the stack, in a small buffer when that
// will do, since clearing it is most of the work for a short key.
func flagd2Bucket(salt, targetingKey string) int {
	var stack [128]byte
	if len(salt)+len(targetingKey) > len(stack) {
		return longFlagd2Bucket(salt, targetingKey)
	}
	return place(append(append(stack[:0], salt...), targetingKey...))
}

// longFlagd2Bucket holds the longest salt and targeting key of a request;
// only beyond that does it allocate.
//
//go:noinline
func longFlagd2Bucket(salt, targetingKey string) int {
	var stack [MaxKeyBytes + MaxTargetingKeyBytes]byte
	return place(append(append(stack[:0], salt...), targetingKey...))
}

// place scales a hash to 0 to FullRollout-1.
func place(joined []byte) int {
	return int(uint64(murmur3.Sum32(joined)) * FullRollout >> 32)
}
