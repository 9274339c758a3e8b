package ratelimit

import "math/bits"

const (
	sketchBits = 7 // 128 registers
	sketchSize = 1 << sketchBits
	maxRank    = 31 // counts to about 2³⁸ members
)

// sketch estimates how many distinct hashes were added to it: registers as those
// of HyperLogLog, and the estimator that follows them as they change (Cohen,
// "All-distances sketches, revisited", 2014; Ting, "Streamed approximate counting
// of distinct elements", 2014). It is without bias at any size, and its standard
// error is 0.84/√128, 7.4%; that of few members is far less. Hashes must be
// those of a function that clients cannot work out.
type sketch struct {
	ranks [sketchSize]uint8

	// taken is Σ(1 − 2^−rank) over ranks, in units of 2^−maxRank: what a new hash
	// must not fall into to change anything.
	taken uint64
	size  float32
}

// add counts hash.
func (s *sketch) add(hash uint64) {
	register := &s.ranks[hash%sketchSize]
	rank := uint8(min(bits.TrailingZeros64(hash>>sketchBits)+1, maxRank))
	if rank <= *register {
		return
	}
	// Before it comes, a hash changes a register with the probability free/all;
	// such a change therefore stands for all/free new hashes.
	const all = sketchSize << maxRank
	s.size += float32(all) / float32(all-s.taken)
	s.taken += 1<<(maxRank-*register) - 1<<(maxRank-rank)
	*register = rank
}
