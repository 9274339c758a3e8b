package flags_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// steps is a set with a flag at each of the percentages from, from+0.001, …, as
// thousandths, all under one salt.
func steps(t *testing.T, h flags.Hash, from, n int) *flags.Set {
	t.Helper()
	var b strings.Builder
	b.WriteByte('{') // JSON, which is read faster
	for i := range n {
		p := from + i
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"p-%06d":{"salt":"a.b","hash":%q,"rolloutPercentage":%d.%03d}`, p, h, p/1000, p%1000)
	}
	b.WriteByte('}')
	set, err := flags.Parse("flags.json", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// follow checks that each id is off up to its bucket and on from there.
func follow(t *testing.T, h flags.Hash, set *flags.Set, from int, ids []string) (flips int) {
	t.Helper()
	for _, id := range ids {
		bucket, before := h.Bucket("a.b", id), false
		for i, d := range set.EvaluateAll(id) { // by key, so by percentage
			if want := bucket < from+i; d.On != want || before && !d.On {
				t.Fatalf("%s: %s, bucket %d, at %d thousandths: %t", h, id, bucket, from+i, d.On)
			}
			if d.On && !before && i > 0 {
				flips++
			}
			before = d.On
		}
	}
	return flips
}

func sample(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%d", i)
	}
	return ids
}

// Every percentage from 0 to 100 in steps of 0.001. To read so many flags is what
// takes time.
func TestRaisingAPercentageOnlyAddsUsers(t *testing.T) {
	if raceEnabled {
		t.Skip("too slow under the race detector, which has nothing to see here")
	}
	const ids = 20
	flips := 0
	for from := 0; from <= flags.FullRollout; from += flags.MaxFlags {
		n := min(flags.MaxFlags, flags.FullRollout+1-from)
		flips += follow(t, flags.HashFlagd2, steps(t, flags.HashFlagd2, from, n), from, sample(ids))
	}
	if flips != ids {
		t.Errorf("%d of %d ids flip once between 0 and 100 %%", flips, ids)
	}
}

// The others likewise, from 20 to 25 %, on more ids.
func TestRaisingAPercentageOnlyAddsUsersWithEveryHash(t *testing.T) {
	const from, n, ids = 20_000, 5_000, 100
	for _, h := range allHashes {
		t.Run(string(h), func(t *testing.T) {
			t.Parallel()
			set := steps(t, h, from, n)
			if flips := follow(t, h, set, from, sample(ids)); flips == 0 {
				t.Error("no id of the sample flips between 20 and 25 %")
			}
		})
	}
}
