package flags

import (
	"cmp"
	"reflect"
	"slices"
)

// hashes is how many there are to pick a variant by.
const hashes = 1 << 32

// segment is a run of hashes, up to before end, that pick one variant.
type segment struct {
	end  uint64
	name string
}

// segments are those of a flag's variants, in order, up to hashes. Nil is a flag
// that is on or off.
func (v *variants) segments() []segment {
	switch {
	case v == nil:
		return []segment{{hashes, variantOn}}
	case v.lone != nil:
		return []segment{{hashes, v.lone.Name}}
	}
	var all []segment
	end := uint64(0)
	for _, one := range v.list {
		if one.Weight > 0 {
			end += uint64(one.Weight)
			all = append(all, segment{(end<<32 + v.total - 1) / v.total, one.Name}) // the first hash whose place is end
		}
	}
	return all
}

// move is the share of those with a flag who get another variant of it.
type move struct {
	from, to string
	share    float64
}

// shifted are the moves from one flag's variants to another's, largest first.
// With the same salt the shares are exact; with another one they are expected.
func shifted(before, after *variants) []move {
	a, b := before.segments(), after.segments()
	if len(a) > 1 && len(b) > 1 && before.salt != after.salt {
		return redrawn(a, b)
	}
	shares := map[[2]string]float64{}
	for start := uint64(0); start < hashes; {
		end := min(a[0].end, b[0].end)
		if a[0].name != b[0].name && end > start {
			shares[[2]string{a[0].name, b[0].name}] += float64(end-start) / hashes
		}
		if a[0].end == end {
			a = a[1:]
		}
		if b[0].end == end {
			b = b[1:]
		}
		start = end
	}
	return largestFirst(shares)
}

// redrawn are the moves when another salt picks anew.
func redrawn(a, b []segment) []move {
	shares := map[[2]string]float64{}
	from := uint64(0)
	for _, was := range a {
		to := uint64(0)
		for _, is := range b {
			if was.name != is.name {
				shares[[2]string{was.name, is.name}] += float64(was.end-from) / hashes * float64(is.end-to) / hashes
			}
			to = is.end
		}
		from = was.end
	}
	return largestFirst(shares)
}

func largestFirst(shares map[[2]string]float64) []move {
	var all []move
	for names, share := range shares {
		all = append(all, move{names[0], names[1], share})
	}
	slices.SortFunc(all, func(a, b move) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	return all
}

// otherValues names variants that stand for another value than before.
func otherValues(before, after []Variant) []string {
	var names []string
	for _, was := range before {
		for _, is := range after {
			if was.Name == is.Name && !reflect.DeepEqual(was.Value, is.Value) {
				names = append(names, was.Name)
			}
		}
	}
	return names
}
