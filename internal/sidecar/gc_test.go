package sidecar_test

import (
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func TestHeapGrowsToTheSmallHeapAndByHalfBeyond(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		rule    string
		live    uint64
		percent int
	}{
		{"nothing known yet", 0, 500},
		{"next to nothing", 1 * mib, 500},
		{"a small part", 4 * mib, 400},
		{"a third", 7 * mib, 150},
		{"half", 10 * mib, 100},
		{"most", 19 * mib, 100},
		{"more", 500 * mib, 100},
	} {
		if got := sidecar.PercentFor(tt.live); got != tt.percent {
			t.Errorf("%s: %d percent of %d MiB, want %d", tt.rule, got, tt.live/mib, tt.percent)
		}
	}
}
