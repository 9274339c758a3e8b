package flagd

import (
	"math"

	"github.com/twmb/murmur3"
)

// maxWeights bounds the sum of weights.
const maxWeights = math.MaxInt32

// share is what fractional gives to a part of the targeting keys.
type share struct {
	result any
	weight uint64
}

// fractional is the operator whose shares are all known. What is hashed is the
// text that bucket gives; the flag's key and the targeting key where there is
// no bucket, or it gives null.
type fractional struct {
	bucket node // may be nil
	shares []share
	total  uint64
	args   list // the operator as it stands in the file
}

func (f *fractional) eval(r *run) any {
	var stack [256]byte
	switch b := f.bucket.(type) {
	case nil:
	case concatenation:
		joined, ok := b.appendTo(stack[:0], r)
		if !ok {
			return r.fail()
		}
		return pick(f.shares, f.total, joined)
	default:
		switch v := b.eval(r).(type) {
		case string:
			return pick(f.shares, f.total, append(stack[:0], v...))
		case nil:
		default: // may be a share, says flagd
			return fractionalOf(f.args.eval(r), r.flagKey, r.attribute(targetingKeyName))
		}
	}
	key := r.ec.TargetingKey
	if key == "" {
		key, _ = r.attribute(targetingKeyName).(string)
	}
	if key == "" {
		return nil
	}
	flagKey, _ := r.flagKey.(string)
	return pick(f.shares, f.total, append(append(stack[:0], flagKey...), key...))
}

// anyFractional is the operator with rules among the shares.
type anyFractional struct{ args list }

func (f *anyFractional) eval(r *run) any {
	return fractionalOf(f.args.eval(r), r.flagKey, r.attribute(targetingKeyName))
}

// fractionalOf is the operator with its arguments evaluated. Anything wrong
// with them gives null.
func fractionalOf(arguments, flagKey, targetingKey any) any {
	args, _ := arguments.([]any)
	if len(args) == 0 {
		return nil
	}
	bucket, isText := args[0].(string)
	if isText || args[0] == nil {
		args = args[1:]
	}
	if !isText {
		key, _ := targetingKey.(string)
		if key == "" {
			return nil
		}
		flag, _ := flagKey.(string)
		bucket = flag + key
	}
	shares := make([]share, len(args))
	for i, arg := range args {
		entry, _ := arg.([]any)
		s, ok := shareOf(entry)
		if !ok {
			return nil
		}
		shares[i] = s
	}
	total, ok := sum(shares)
	if !ok {
		return nil
	}
	return pick(shares, total, []byte(bucket))
}

// shareOf reads a result and its weight, 1 by default. A negative weight is 0,
// since rules may compute it.
func shareOf(entry []any) (share, bool) {
	if len(entry) == 0 {
		return share{}, false
	}
	s := share{result: plain(entry[0]), weight: 1}
	switch s.result.(type) {
	case []any, map[string]any:
		return share{}, false
	}
	if len(entry) == 1 || entry[1] == nil {
		return s, true
	}
	w, ok := plain(entry[1]).(float64)
	if !ok || w != math.Trunc(w) || w > maxWeights || w < math.MinInt64 {
		return share{}, false
	}
	s.weight = uint64(max(w, 0))
	return s, true
}

func sum(shares []share) (total uint64, ok bool) {
	for _, s := range shares {
		total += s.weight
	}
	return total, total <= maxWeights
}

// pick gives the share that the hash of key falls into; null where no share has
// a weight.
func pick(shares []share, total uint64, key []byte) any {
	place := uint64(murmur3.Sum32(key)) * total >> 32
	end := uint64(0)
	for i := range shares {
		end += shares[i].weight
		if place < end {
			return shares[i].result
		}
	}
	return nil
}
